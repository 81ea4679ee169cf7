// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// instanceEnd kills instances and waits until the service has let go of their file and their folder.
func instanceEnd(b *bench, ctx context.Context, r *result) error {
	file, _, err := b.tinyBundle(ctx)
	if err != nil {
		return err
	}
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	var gone []float64
	for range b.runs(50) {
		_, p, err := b.startStaying(ctx, file)
		if err != nil {
			return err
		}
		folder, err := instanceFolder(p)
		if err == nil && !s.holds(file) {
			err = errors.New("the service does not hold the file of a running bundle")
		}
		if err != nil {
			p.kill()
			return err
		}
		begin := time.Now()
		_ = p.cmd.Process.Kill()
		err = b.await(ctx, "the release of a bundle", func() bool {
			_, err := os.Lstat(folder)
			return errors.Is(err, os.ErrNotExist) && !s.holds(file)
		})
		took := time.Since(begin).Seconds()
		_ = p.cmd.Wait()
		if err != nil {
			return err
		}
		gone = append(gone, took*1e3)
	}
	one := newSeries("glick", "ms", gone)
	r.Series = append(r.Series, one)
	c := atMost("until all is released, 90 of 100 times", "ms", one.P90, 50)
	c.Low, c.High = one.P10, one.P90
	r.claim(c)
	return nil
}

// instanceFolder is where a running bundle's files are for others.
func instanceFolder(p *program) (string, error) {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.cmd.Process.Pid))
	if err != nil {
		return "", err
	}
	for _, v := range strings.Split(string(env), "\x00") {
		if folder, ok := strings.CutPrefix(v, "BUNDLE_PREFIX="); ok {
			_, err := os.Stat(folder)
			return folder, err
		}
	}
	return "", errors.New("a bundle's process has no BUNDLE_PREFIX")
}
