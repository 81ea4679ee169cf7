// SPDX-License-Identifier: MIT

package signature

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

const (
	armorBegin = "-----BEGIN SSH SIGNATURE-----\n"
	armorEnd   = "\n-----END SSH SIGNATURE-----"
	armorWidth = 70 // columns, as ssh-keygen's
)

// Armor returns a binary SSHSIG as text, byte for byte as ssh-keygen writes it (PROTOCOL.sshsig, "Armored format").
func Armor(raw []byte) []byte {
	var out bytes.Buffer
	out.WriteString(armorBegin)
	text := base64.StdEncoding.EncodeToString(raw)
	for len(text) > armorWidth {
		out.WriteString(text[:armorWidth] + "\n")
		text = text[armorWidth:]
	}
	out.WriteString(text + armorEnd + "\n")
	return out.Bytes()
}

// dearmor is the way back. Lines may have any length, and may end as on Windows; around the text there may be white space, nothing else.
func dearmor(text []byte) ([]byte, error) {
	if len(text) > MaxArmored {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", len(text), MaxArmored, ErrFormat)
	}
	text = bytes.ReplaceAll(bytes.TrimSpace(text), []byte("\r\n"), []byte("\n"))
	body, begins := bytes.CutPrefix(text, []byte(armorBegin))
	body, ends := bytes.CutSuffix(body, []byte(armorEnd))
	if !begins || !ends {
		return nil, fmt.Errorf("no text between the lines %q and %q: %w", armorBegin[:len(armorBegin)-1], armorEnd[1:], ErrFormat)
	}
	// The decoder passes over line ends.
	raw, err := base64.StdEncoding.Strict().AppendDecode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("not base64: %w", ErrFormat)
	}
	return raw, nil
}
