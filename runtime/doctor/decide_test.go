// SPDX-License-Identifier: MIT

package doctor

import (
	"slices"
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	const none = State("not looked at")
	for name, tc := range map[string]struct {
		differs map[string]State // from a computer on which all is well
		way     Way
		because []string
	}{
		"all is well": {nil, WayService, nil},
		"what only makes it slower does not count": {map[string]State{IDPrefix: Degraded, IDKernel: Degraded, IDStub: Degraded, IDBus: Missing,
			IDSystemd: Missing, IDOverlay: Missing, IDHome: Missing, IDRuntimeDir: Degraded}, WayService, nil},
		"no service":                 {map[string]State{IDService: Missing}, WaySelf, []string{IDService}},
		"service of another version": {map[string]State{IDService: Degraded}, WaySelf, []string{IDService}},
		"neither service nor fusermount": {map[string]State{IDService: Missing, IDFusermount: Missing, IDRuntimeDir: Missing},
			WaySelf, []string{IDService}},
		"a mount that could not be tried": {map[string]State{IDFuseMount: Unknown}, WayService, nil},
		"no device":                       {map[string]State{IDFuseDevice: Missing, IDFuseMount: Missing}, WayExtract, []string{IDFuseDevice, IDFuseMount}},
		"no mounts":                       {map[string]State{IDFuseMount: Missing}, WayExtract, []string{IDFuseMount}},
		"no device and no cache": {map[string]State{IDFuseDevice: Missing, IDFuseMount: Missing, IDCache: Missing}, WayNone,
			[]string{IDFuseDevice, IDFuseMount, IDCache}},
		"no namespaces":                {map[string]State{IDNamespaces: Missing, IDFuseMount: Unknown}, WayFixed, []string{IDNamespaces}},
		"no namespaces, cache only":    {map[string]State{IDNamespaces: Missing, IDFuseDevice: Missing}, WayFixed, []string{IDNamespaces}},
		"no namespaces, no cache":      {map[string]State{IDNamespaces: Missing, IDCache: Missing}, WayNone, []string{IDNamespaces, IDCache}},
		"no namespaces, nothing else":  {map[string]State{IDNamespaces: Missing, IDCache: Missing, IDFusermount: Missing}, WayNone, []string{IDNamespaces, IDCache}},
		"namespaces cannot be tried":   {map[string]State{IDNamespaces: Unknown}, WayNone, []string{IDNamespaces}},
		"no stub":                      {map[string]State{IDStub: Missing}, WayNone, []string{IDStub}},
		"the prefix is no folder":      {map[string]State{IDPrefix: Missing}, WayNone, []string{IDPrefix}},
		"nothing was found out at all": {map[string]State{"": none}, WayNone, []string{IDNamespaces}},
	} {
		t.Run(name, func(t *testing.T) {
			var checks []Check
			for _, p := range probes {
				c := Check{ID: p.id, State: OK, Detail: "About " + p.id + "."}
				if s, ok := tc.differs[p.id]; ok {
					c.State = s
				}
				if tc.differs[""] == "" {
					checks = append(checks, c)
				}
			}
			d := Decide(checks)
			if d.Way != tc.way || !slices.Equal(d.Because, tc.because) {
				t.Errorf("%s because of %q, want %s because of %q", d.Way, d.Because, tc.way, tc.because)
			}
			if len(checks) > 0 && d.Way == WayNone && !strings.Contains(d.Summary, "About "+tc.because[0]+".") || d.Summary == "" {
				t.Errorf("the summary does not say why: %q", d.Summary)
			}
		})
	}
}
