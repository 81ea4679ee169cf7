// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

const (
	flatpakApp     = "org.example.Tiny"
	flatpakRuntime = "org.example.Runtime"
	flatpakBranch  = "1"
)

// flatpak installs an application of the tiny program, which needs nothing of its runtime, for the benchmark's user alone, and returns how
// it is started.
func (b *bench) flatpak(ctx context.Context) ([]string, error) {
	program, err := exec.LookPath("flatpak")
	if err != nil {
		return nil, errors.New("it is not installed")
	}
	if _, failed := b.made["flatpak.failed"]; failed {
		return nil, errors.New(b.made["flatpak.failed"])
	}
	tools, err := b.tools(ctx)
	if err != nil {
		return nil, err
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	_, err = b.once("flatpak", func(at string) error {
		platform := flatpakRuntime + "/" + arch + "/" + flatpakBranch
		app, base, repo := filepath.Join(at, "app"), filepath.Join(at, "base"), filepath.Join(at, "repo")
		err := errors.Join(
			os.MkdirAll(filepath.Join(app, "files", "bin"), 0o755), os.MkdirAll(filepath.Join(app, "export"), 0o755),
			os.MkdirAll(filepath.Join(base, "usr", "bin"), 0o755), os.MkdirAll(filepath.Join(base, "files"), 0o755),
			copyFile(tools.tiny, filepath.Join(app, "files", "bin", "tiny")),
			os.WriteFile(filepath.Join(app, "metadata"),
				[]byte("[Application]\nname="+flatpakApp+"\nruntime="+platform+"\nsdk="+platform+"\ncommand=tiny\n"), 0o644),
			os.WriteFile(filepath.Join(base, "metadata"), []byte("[Runtime]\nname="+flatpakRuntime+"\nruntime="+platform+"\nsdk="+platform+"\n"), 0o644))
		if err != nil {
			return err
		}
		for _, args := range [][]string{
			{"build-export", "--disable-sandbox", "--runtime", repo, base, flatpakBranch},
			{"build-export", "--disable-sandbox", repo, app, flatpakBranch},
			{"remote-add", "--user", "--no-gpg-verify", "bench", repo},
			{"install", "--user", "--noninteractive", "bench", "runtime/" + platform},
			{"install", "--user", "--noninteractive", "bench", "app/" + flatpakApp + "/" + arch + "/" + flatpakBranch},
		} {
			cmd := b.command(ctx, program, args...)
			// It asks the system's bus for parental controls; a bus where nobody answers has none.
			cmd.Env = append(cmd.Env, "DBUS_SYSTEM_BUS_ADDRESS="+b.busAddress())
			if _, err := capture(cmd); err != nil {
				return err
			}
		}
		_, err = capture(b.command(ctx, program, "run", "--user", flatpakApp))
		return err
	})
	if err != nil {
		b.made["flatpak.failed"] = err.Error() // once is enough
		return nil, err
	}
	return []string{program, "run", "--user", flatpakApp}, nil
}
