// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	installedCount = 100
	runningCount   = 20
	restTime       = 10 * time.Second
	settleTime     = 70 * time.Second
)

// install fills the user's bundle folder with small applications, each with a menu entry.
func (b *bench) install(ctx context.Context, count int) ([]string, error) {
	apps := filepath.Join(b.dir, "home", "Apps")
	_, err := b.once("home/Apps", func(string) error {
		tree := filepath.Join(b.dir, "app.tree")
		if err := os.MkdirAll(apps, 0o755); err != nil {
			return err
		}
		for i := range count {
			if err := os.RemoveAll(tree); err != nil {
				return err
			}
			id := fmt.Sprintf("org.example.App%c%c", 'A'+i/26, 'a'+i%26)
			entries := filepath.Join(tree, "share", "applications")
			err := errors.Join(
				os.MkdirAll(filepath.Join(tree, "bin"), 0o755), os.MkdirAll(entries, 0o755),
				copyFile("/bin/sleep", filepath.Join(tree, "bin", "sleep")),
				os.WriteFile(filepath.Join(entries, id+".desktop"), []byte("[Desktop Entry]\nType=Application\nName="+id+"\nExec=sleep 1\n"), 0o644),
				os.WriteFile(filepath.Join(tree, "own"), text(uint64(i), 20<<10), 0o644))
			if err != nil {
				return err
			}
			if err := b.build(ctx, id, "bin/sleep", tree, filepath.Join(apps, id+".bundle")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(apps, "*.bundle"))
}

func atRest(b *bench, ctx context.Context, r *result) error {
	files, err := b.install(ctx, installedCount)
	if err != nil {
		return err
	}
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, f := range files[:runningCount] {
		p, err := b.begin(b.inBundle(ctx, f, "", "1000000"))
		if err != nil {
			return err
		}
		defer p.kill()
	}
	// What starting and installing have set off comes to its end first. A minute after the last change the service looks once for files that were put
	// aside.
	begin := time.Now()
	last, settled := s.wakeups(), false
	for range 15 {
		if err := pause(ctx, 10*time.Second); err != nil {
			return err
		}
		now := s.wakeups()
		if settled = now == last && time.Since(begin) > settleTime; settled {
			break
		}
		last = now
	}
	if !settled {
		r.note("the service did not come to rest")
	}
	shown, _ := filepath.Glob(filepath.Join(b.dir, "home", ".local", "share", "applications", "*.desktop"))
	r.note("%d menu entries, %d processes of the service", len(shown), len(s.processes()))
	before := s.wakeups()
	if err := pause(ctx, restTime); err != nil {
		return err
	}
	woken := s.wakeups() - before
	r.claim(
		atMost("resident memory", "MB", float64(s.memory("Rss"))/1e6, 30),
		atMost(fmt.Sprintf("wake-ups in %v", restTime), "", float64(woken), 0))
	r.note("%.1f MB of the resident memory belong to the service alone", float64(s.memory("Private_Clean")+s.memory("Private_Dirty"))/1e6)
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
