// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/signature"
	"glick.org/glick/bundle/signature/sshkey"
)

func newSignCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "sign --key KEY FILE [OUT]",
		Short: "Sign a bundle with an ssh key",
		Long: "sign checks a bundle or slice and gives it a signature in the place of any it had.\n" +
			"It changes FILE, or writes OUT. KEY is the file of an ssh key: a private key, or a\n" +
			"public one whose private half the ssh agent has. The result is the same as that\n" +
			"of \"glick build --sign\".\n\n" +
			"The signature signs the manifest, which has the digests of all else in the file.\n" +
			"\"glick verify\" checks it, and so does ssh-keygen:\n\n" +
			"  glick extract App.bundle --manifest app.manifest\n" +
			"  glick extract App.bundle --signature app.sig\n" +
			"  ssh-keygen -Y verify -n glick -f allowed -I NAME -s app.sig <app.manifest",
		Example: "  glick sign --key ~/.ssh/id_ed25519 App.bundle",
		Args:    wantArgs(1, 2, "a bundle, and the file to make"),
		RunE: func(cmd *cobra.Command, args []string) error {
			signer, err := newSigner(key)
			if err != nil {
				return err
			}
			b, f, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			out := args[len(args)-1]
			if len(args) == 1 {
				out = f.Name()
			}
			if err := verifyBundle(cmd, b, f.Name()); err != nil {
				return err
			}
			if err := rewrite(cmd, b, f.Name(), out, bundle.RewriteOptions{Sign: signer.Sign}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: signed with the %s key %s\n", out, signer.Key().Type, signer.Key().Fingerprint)
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "`FILE` of the ssh key")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

// newSigner finds the key that a person names.
func newSigner(file string) (signature.Signer, error) {
	s, err := sshkey.NewSigner(file, sshkey.Options{Passphrase: askPassphrase()})
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	return s, nil
}

// askPassphrase returns what asks for a passphrase on the terminal, or nil when there is none.
func askPassphrase() func(prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	return func(prompt string) ([]byte, error) {
		fmt.Fprint(tty, prompt)
		defer fmt.Fprintln(tty)
		return term.ReadPassword(int(tty.Fd()))
	}
}

// rewrite writes a changed copy of a bundle to out, which may be the file itself.
func rewrite(cmd *cobra.Command, b *bundle.Bundle, file, out string, o bundle.RewriteOptions) error {
	mode := os.FileMode(0o755)
	if b.Format() == bundle.FormatSlice {
		mode = 0o644
	}
	if info, err := os.Stat(out); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("cannot write %s: it exists and is not a file", out)
	}
	bar := newProgress(cmd.ErrOrStderr(), "Writing")
	defer bar.end()
	o.Progress = bar.update
	return writeFile(cmd.Context(), out, mode, func(w io.Writer) error {
		if err := b.Rewrite(cmd.Context(), w, o); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return nil
	})
}

// signatureFacts is what info and verify say of a signature in their JSON.
type signatureFacts struct {
	State       string `json:"state"` // "none", "good" or "wrong"
	KeyType     string `json:"key-type,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Key         string `json:"key,omitempty"`    // as in authorized_keys
	Signer      string `json:"signer,omitempty"` // who the list of allowed signers says has the key
	Error       string `json:"error,omitempty"`
}

// checkSignature checks the signature of a bundle's manifest. The error is the reason why it is wrong; a missing signature is none.
func checkSignature(b *bundle.Bundle) (signatureFacts, *signature.Key, error) {
	text, err := b.Signature()
	switch {
	case err != nil:
	case text == nil:
		return signatureFacts{State: "none"}, nil, nil
	default:
		var key *signature.Key
		if key, err = signature.Verify(b.ManifestText(), text); err == nil {
			return signatureFacts{State: "good", KeyType: key.Type, Fingerprint: key.Fingerprint, Key: string(key.Public)}, key, nil
		}
		err = fmt.Errorf("its signature is wrong: %w: %w", err, bundle.ErrDamaged)
	}
	return signatureFacts{State: "wrong", Error: err.Error()}, nil, err
}

// words says it to a person.
func (s signatureFacts) words() string {
	switch {
	case s.State == "none":
		return "none"
	case s.State == "wrong":
		return s.Error
	case s.Signer != "":
		return fmt.Sprintf("by %s with the %s key %s", s.Signer, s.KeyType, s.Fingerprint)
	}
	return fmt.Sprintf("with the %s key %s", s.KeyType, s.Fingerprint)
}

// allowed finds whose key it is in a list of allowed signers. The error ends glick with exitUntrusted.
func allowed(list string, key *signature.Key) (string, error) {
	f, err := os.Open(list)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return "", fmt.Errorf("cannot read the allowed signers in %s: %w", list, err)
	}
	defer f.Close()
	signers, err := signature.ParseAllowedSigners(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", list, err)
	}
	if key == nil {
		return "", statusError{exitUntrusted, errors.New("it is not signed")}
	}
	who, err := signers.Find(key, time.Now())
	if err != nil {
		return "", statusError{exitUntrusted, fmt.Errorf("it is signed with the %s key %s: %w", key.Type, key.Fingerprint, err)}
	}
	return who, nil
}
