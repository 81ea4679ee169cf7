// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readerCount = 20
	killPeriod  = time.Second
	// comeBack is the time in which a service that comes back by itself has begun to.
	comeBack = 200 * time.Millisecond
)

// killedService kills the service again and again while readers check what they get.
func killedService(b *bench, ctx context.Context, r *result) error {
	file, err := b.largeBundle(ctx)
	if err != nil {
		return err
	}
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	var readers []*program
	ended := make(chan verified, readerCount)
	defer func() {
		for _, p := range readers {
			p.kill()
		}
	}()
	for range readerCount {
		p, err := b.begin(b.inBundle(ctx, file, "", "verify", filepath.Join(b.prefix, "data", listName)))
		if err != nil {
			return err
		}
		readers = append(readers, p)
		if _, err := p.line(); err != nil {
			return err
		}
		go func() {
			v := verified{Errors: 1, First: "the reader has ended"}
			if said, err := p.line(); err != nil {
				v.First = err.Error()
			} else if err := json.Unmarshal([]byte(said), &v); err != nil {
				v.First = err.Error()
			}
			ended <- v
		}()
	}
	kills, restarts := 0, 0
	total := time.Duration(b.KillTime * float64(time.Second))
	for begin := time.Now(); time.Since(begin) < total && len(ended) < readerCount; {
		if err := pause(ctx, killPeriod); err != nil {
			return err
		}
		byItself, err := s.killOnce(ctx)
		if err != nil {
			return err
		}
		kills++
		if !byItself {
			restarts++
		}
	}
	if err := pause(ctx, killPeriod); err != nil {
		return err
	}
	var sum verified
	for _, p := range readers {
		p.in.Close()
	}
	quiet := time.After(5 * time.Second)
	hung := 0
	for range readers {
		select {
		case v := <-ended:
			sum.Reads += v.Reads
			sum.Bytes += v.Bytes
			sum.Errors += v.Errors
			sum.Longest = max(sum.Longest, v.Longest)
			if sum.First == "" {
				sum.First = v.First
			}
		case <-quiet:
			hung++
			quiet = time.After(0)
		}
	}
	r.note("%d kills, after %d of them it came back by itself; %d files read, %.0f MB", kills, kills-restarts, sum.Reads, float64(sum.Bytes)/1e6)
	if sum.First != "" {
		r.note("the first error: %s", sum.First)
	}
	if hung > 0 {
		r.note("%d readers hang", hung)
	}
	if sum.Errors >= giveUp*readerCount {
		r.note("readers give up after %d errors each", giveUp)
	}
	longest := atMost("longest stall", "s", sum.Longest, 1)
	longest.Met = longest.Met && sum.Errors == 0 && hung == 0
	r.claim(atMost("errors", "", float64(sum.Errors+hung), 0), longest)
	return nil
}

// killOnce kills the process that serves files, and starts the service again when it does not come back by itself, which it reports.
func (s *service) killOnce(ctx context.Context) (byItself bool, err error) {
	before := s.processes()
	pid := s.main()
	if pid == 0 {
		return false, fmt.Errorf("there is no service to kill")
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return false, err
	}
	if pid == s.cmd.Process.Pid {
		_ = s.cmd.Wait()
	}
	for end := time.Now().Add(comeBack); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if slices.ContainsFunc(s.processes(), func(p int) bool { return !slices.Contains(before, p) }) {
			return true, nil
		}
	}
	return false, s.start(ctx)
}
