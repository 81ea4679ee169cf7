// SPDX-License-Identifier: MIT

package doctor

// Way is a way in which bundles are started.
type Way string

// The ways, best first. Programs may rely on the words.
const (
	WayService Way = "service"    // namespaces, FUSE, and the session service serves the files
	WaySelf    Way = "self"       // namespaces, FUSE, and each bundle serves its own files
	WayExtract Way = "extract"    // namespaces, and the files are checked and unpacked into a cache
	WayFixed   Way = "fixed-path" // no namespaces: the files are at /proc/self/fd/1023
	WayNone    Way = "none"       // bundles cannot be started
)

// Decision says how bundles are started here.
type Decision struct {
	Way     Way
	Summary string   // one sentence; it may hold text of strangers
	Because []string // IDs of the checks that keep Glick from a better way; none when it is the best
}

// Decide finds out from all checks in which way bundles are started here.
func Decide(checks []Check) Decision {
	is := func(id string) bool {
		s := find(checks, id).State
		return s == OK || s == Degraded
	}
	// A mount that could not be tried may still work; nothing is known against it.
	fuse := is(IDFuseDevice) && find(checks, IDFuseMount).State != Missing
	d := Decision{Way: WayNone}
	lacks := func(ids ...string) {
		for _, id := range ids {
			if !is(id) {
				d.Because = append(d.Because, id)
			}
		}
	}
	switch {
	case find(checks, IDStub).State == Missing, find(checks, IDPrefix).State == Missing:
		lacks(IDStub, IDPrefix)
	case find(checks, IDNamespaces).State == Unknown:
		lacks(IDNamespaces)
	case is(IDNamespaces) && fuse && find(checks, IDService).State == OK:
		d.Way, d.Summary = WayService, "Bundles start here with namespaces and FUSE, served by the session service."
	case is(IDNamespaces) && fuse:
		d.Way, d.Summary = WaySelf, "Bundles start here with namespaces and FUSE; each serves its own files."
		d.Because = []string{IDService}
	case is(IDNamespaces) && is(IDCache):
		d.Way, d.Summary = WayExtract, "Bundles start here with namespaces; without FUSE, their files are unpacked into a cache."
		lacks(IDFuseDevice, IDFuseMount)
	case is(IDNamespaces):
		lacks(IDFuseDevice, IDFuseMount, IDCache)
	case is(IDCache):
		d.Way = WayFixed
		d.Summary = "Bundles start here at the fixed path /proc/self/fd/1023, without namespaces, which not every application bears."
		lacks(IDNamespaces)
	default:
		lacks(IDNamespaces, IDCache)
	}
	if d.Way == WayNone {
		d.Summary = "Bundles cannot be started here. " + find(checks, d.Because[0]).Detail
	}
	return d
}
