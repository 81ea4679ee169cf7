// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	instanceCount = 1000
	openCount     = 10000
)

func manyInstances(b *bench, ctx context.Context, r *result) error {
	file, _, err := b.tinyBundle(ctx)
	if err != nil {
		return err
	}
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := b.openMany(ctx, r); err != nil {
		return err
	}
	var all []*program
	end := func() {
		for _, p := range all {
			_ = p.cmd.Process.Kill()
		}
		for _, p := range all {
			_ = p.cmd.Wait()
		}
		all = nil
	}
	defer end()
	memory := []float64{float64(s.memory("Rss"))}
	var times []float64
	for len(all) < instanceCount {
		took, p, err := b.startStaying(ctx, file)
		if err != nil {
			return fmt.Errorf("after %d instances: %w", len(all), err)
		}
		all = append(all, p)
		times = append(times, took)
		if len(all)%(instanceCount/2) == 0 {
			memory = append(memory, float64(s.memory("Rss")))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	r.claim(atMost("instances that could not start", "of 1000", float64(instanceCount-len(all)), 0))
	tenth := instanceCount / 10
	first, last := newSeries("start of 1–100", "s", times[:tenth]), newSeries("start of 901–1000", "s", times[instanceCount-tenth:])
	r.Series = append(r.Series, first, last)
	r.claim(ratio("start of 901–1000 / 1–100", last, first).atMost(1.5))
	low, high := (memory[1]-memory[0])/(instanceCount/2), (memory[2]-memory[1])/(instanceCount/2)
	r.note("the service takes %.1f kB for each of the first 500, %.1f kB for each of the others; %.1f MB with 1,000", low/1e3, high/1e3, memory[2]/1e6)
	if low > 0 {
		r.claim(atMost("memory for each of 501–1000 / 1–500", "×", high/low, 1.5))
	}
	begin := time.Now()
	end()
	err = b.await(ctx, "the end of all instances", func() bool { return !s.holds(file) })
	r.note("%.2f s from killing all to the service's last release", time.Since(begin).Seconds())
	return err
}

// startStaying starts the tiny program so that it stays, and returns the seconds to its main.
func (b *bench) startStaying(ctx context.Context, file string) (float64, *program, error) {
	cmd := b.inBundle(context.WithoutCancel(ctx), file, "", "stay")
	var begin unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &begin); err != nil {
		return 0, nil, err
	}
	p, err := b.begin(cmd)
	if err != nil {
		return 0, nil, err
	}
	var there [16]byte
	if _, err := io.ReadFull(p.out, there[:]); err != nil {
		p.kill()
		return 0, nil, err
	}
	seconds, nanos := binary.NativeEndian.Uint64(there[:]), binary.NativeEndian.Uint64(there[8:])
	return float64(int64(seconds)-begin.Sec) + float64(int64(nanos)-begin.Nsec)/1e9, p, nil
}

// openMany has one instance keep many files open.
func (b *bench) openMany(ctx context.Context, r *result) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max < openCount+100 {
		r.note("10,000 open files are not tried: a process may have only %d", limit.Max)
		return nil
	}
	file, err := b.openBundle(ctx)
	if err != nil {
		return err
	}
	p, err := b.begin(b.inBundle(ctx, file, "", "open", filepath.Join(b.prefix, "data", plainName)))
	if err != nil {
		return err
	}
	defer p.kill()
	answer, err := p.line()
	if err != nil {
		return err
	}
	var opened int
	if _, err := fmt.Sscan(answer, &opened); err != nil {
		r.note("%s", answer)
	}
	r.claim(atMost("files that could not be opened", "of 10000", float64(openCount-opened), 0))
	return nil
}

// openBundle makes the bundle whose files are all opened.
func (b *bench) openBundle(ctx context.Context) (string, error) {
	tree, err := b.once("open.tree", func(at string) error { return b.generate(at, openCount, 100, func(i int) int { return 16 + i%100 }) })
	if err != nil {
		return "", err
	}
	return b.once("open.bundle", func(at string) error { return b.build(ctx, "org.example.Open", "bin/"+insideName, tree, at) })
}
