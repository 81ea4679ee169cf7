// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// series is what was measured of one contender, in the order of the runs.
type series struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Median  float64   `json:"median"`
	P10     float64   `json:"p10"`
	P90     float64   `json:"p90"`
	Samples []float64 `json:"samples"`
}

func newSeries(name, unit string, samples []float64) series {
	s := slices.Sorted(slices.Values(samples))
	return series{Name: name, Unit: unit, Median: quantile(s, 0.5), P10: quantile(s, 0.1), P90: quantile(s, 0.9), Samples: samples}
}

// quantile interpolates between the values of a sorted list; it is 0 for an empty one.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// claim compares a figure with what it should be at most. Without a limit it is for information.
type claim struct {
	What  string  `json:"what"`
	Unit  string  `json:"unit"` // "×" for a ratio
	Value float64 `json:"value"`
	Low   float64 `json:"low"` // p10 and p90 where there are several runs, otherwise both are the value
	High  float64 `json:"high"`
	Limit float64 `json:"limit"`
	Bound bool    `json:"bound"` // there is a limit
	Met   bool    `json:"met"`
}

// atMost makes a claim of one figure.
func atMost(what, unit string, value, limit float64) claim {
	return claim{What: what, Unit: unit, Value: value, Low: value, High: value, Limit: limit, Bound: true, Met: value <= limit}
}

// ratio is the ratio of two medians. Its spread is that of the ratios of the single runs, which took turns: what slows the
// machine for a while slows both.
func ratio(what string, a, b series) claim {
	each := make([]float64, 0, len(a.Samples))
	for i := range min(len(a.Samples), len(b.Samples)) {
		each = append(each, a.Samples[i]/b.Samples[i])
	}
	s := newSeries("", "×", each)
	return claim{What: what, Unit: "×", Value: a.Median / b.Median, Low: s.P10, High: s.P90}
}

func (c claim) atMost(limit float64) claim {
	c.Limit, c.Bound, c.Met = limit, true, c.Value <= limit
	return c
}

// contender is one of those who take turns.
type contender struct {
	name string
	run  func(context.Context) (float64, error)
}

// turns lets the contenders run one after the other, each as often as the others; who begins changes. The first rounds only warm
// the caches.
func turns(ctx context.Context, unit string, warm, runs int, who []contender) ([]series, error) {
	samples := make([][]float64, len(who))
	for r := range warm + runs {
		for k := range who {
			i := (k + r) % len(who)
			v, err := who[i].run(ctx)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", who[i].name, err)
			}
			if r >= warm {
				samples[i] = append(samples[i], v)
			}
		}
	}
	all := make([]series, len(who))
	for i, c := range who {
		all[i] = newSeries(c.name, unit, samples[i])
	}
	return all, nil
}

// result is what a row has to say.
type result struct {
	Row     string   `json:"row"`
	What    string   `json:"what"`
	Series  []series `json:"series,omitempty"`
	Claims  []claim  `json:"claims,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Skipped string   `json:"skipped,omitempty"` // why
	Failed  string   `json:"failed,omitempty"`  // what went wrong
	Seconds float64  `json:"seconds"`           // that it took
}

func (r *result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *result) claim(c ...claim) { r.Claims = append(r.Claims, c...) }

// find returns a contender's series of this row, if it took part.
func (r *result) find(name string) (series, bool) {
	i := slices.IndexFunc(r.Series, func(s series) bool { return s.Name == name })
	if i < 0 {
		return series{}, false
	}
	return r.Series[i], true
}

// compare claims the ratio of two contenders; when the other one did not take part there is nothing to say.
func (r *result) compare(a, b string, limit float64) {
	sa, okA := r.find(a)
	sb, okB := r.find(b)
	if okA && okB {
		r.claim(ratio(a+" / "+b, sa, sb).atMost(limit))
	}
}

// skipped says why a row cannot be measured here.
type skipped string

func (s skipped) Error() string { return string(s) }

// finish takes a row's error into its result.
func (r *result) finish(err error) {
	var skip skipped
	switch {
	case errors.As(err, &skip):
		r.Skipped = string(skip)
	case err != nil:
		r.Failed = err.Error()
	}
}
