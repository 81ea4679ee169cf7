// SPDX-License-Identifier: MIT

package work

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/adrg/xdg"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
	"glick.org/glick/runtime/doctor"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
)

// Examine finds out what this computer lacks for a bundle, and what installing it adds. It tries things, which takes a fraction of a second.
func Examine(ctx context.Context, file string) state.Examined {
	ex := state.Examined{Lacks: append(lacksOfProgram(file), lacksOfHost(ctx)...)}
	if a, err := adds(file); err == nil {
		ex.Adds = a
	}
	return ex
}

// lacksOfHost says in which way bundles are started here, where it is not the best.
func lacksOfHost(ctx context.Context) []state.Lack {
	home, err := apps.Home()
	if err != nil {
		home = "" // one of the checks says so
	}
	checks := doctor.Run(ctx, doctor.Options{
		BusName: xdgexport.BusName, Apps: home, DataHome: xdg.DataHome, DataDirs: xdg.DataDirs, Cache: xdg.CacheHome,
	})
	if ctx.Err() != nil {
		return nil
	}
	return lackOfWay(doctor.Decide(checks), checks)
}

func lackOfWay(d doctor.Decision, checks []doctor.Check) []state.Lack {
	kinds := map[doctor.Way]state.Lacking{doctor.WayExtract: state.LackFUSE, doctor.WayFixed: state.LackNamespaces, doctor.WayNone: state.LackStart}
	kind, ok := kinds[d.Way]
	if !ok {
		return nil
	}
	l := state.Lack{Kind: kind}
	for _, c := range checks {
		if l.Detail == "" && slices.Contains(d.Because, c.ID) {
			l.Detail, l.Mend = c.Detail, c.Mend
		}
	}
	return []state.Lack{l}
}

// What of a program is read at most, in bytes.
const (
	maxSegment = 4 << 20
	maxNames   = 4096
)

// lacksOfProgram looks at the main program of a bundle, without running it: whether its loader, its libraries and the version of the C library that it
// asks for are in the bundle or on this computer. What cannot be found out is not lacking.
func lacksOfProgram(file string) []state.Lack {
	f, size, err := open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := bundle.Read(f, size)
	if err != nil {
		return nil
	}
	t, err := b.Tree()
	if err != nil {
		return nil
	}
	n, err := t.Resolve(b.Manifest().Exec)
	if err != nil || !t.Info(n).IsFile() {
		return nil
	}
	p, err := readProgram(treeFile{t, n})
	if err != nil {
		return nil
	}
	return p.lacks(b.Manifest().Prefix, namesOf(t), thisHost())
}

// treeFile reads a file of a tree.
type treeFile struct {
	t *bundle.Tree
	n bundle.Node
}

func (f treeFile) ReadAt(p []byte, off int64) (int, error) { return f.t.ReadAt(f.n, p, off) }

// namesOf lists the names of all files and links in a tree.
func namesOf(t *bundle.Tree) map[string]bool {
	names := map[string]bool{}
	for n := range bundle.Node(t.Len()) {
		if info := t.Info(n); !info.IsDir() {
			names[info.Name] = true
		}
	}
	return names
}

// program is what an ELF program asks of the system.
type program struct {
	loader  string   // path; empty for a static program
	needed  []string // names of libraries
	version string   // newest version of the C library that it asks for, such as "2.38"; may be empty
}

// host is what a system offers.
type host struct {
	has     func(path string) bool
	library func(name string) bool // nil when that cannot be known
	version string                 // of the C library; empty when it has none that is known
}

// lacks compares what a program asks for to what the bundle with the given names, and the host, have.
func (p program) lacks(prefix string, names map[string]bool, h host) []state.Lack {
	if p.loader == "" || strings.HasPrefix(p.loader, strings.TrimSuffix(prefix, "/")+"/") && names[path.Base(p.loader)] {
		return nil // it brings all of its system
	}
	if !h.has(p.loader) {
		return []state.Lack{{Kind: state.LackLoader, Detail: p.loader}}
	}
	var lacks []state.Lack
	if h.version != "" && p.version != "" && !names["libc.so.6"] && bundle.CompareVersions(p.version, h.version) > 0 {
		lacks = append(lacks, state.Lack{Kind: state.LackLibc, Detail: p.version, Here: h.version})
	}
	var missing []string
	for _, name := range p.needed {
		if h.library != nil && !names[name] && !h.library(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		lacks = append(lacks, state.Lack{Kind: state.LackLibraries, Detail: tr.List(missing)})
	}
	return lacks
}

// thisHost asks the system that the program runs on.
func thisHost() host {
	h := host{has: func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}}
	// The loader's list of libraries holds their names, or paths that end with them, each ended by a zero byte (ldconfig(8)).
	if cache, err := os.ReadFile("/etc/ld.so.cache"); err == nil && len(cache) < 16<<20 {
		h.library = func(name string) bool {
			return bytes.Contains(cache, []byte("\x00"+name+"\x00")) || bytes.Contains(cache, []byte("/"+name+"\x00"))
		}
	}
	for _, dir := range []string{"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib"} {
		// The file is the system's own; its text has the versions that it defines.
		if data, err := os.ReadFile(path.Join(dir, "libc.so.6")); err == nil && len(data) < 64<<20 {
			h.version = newestGlibc(bytes.Split(data, []byte{0}))
			break
		}
	}
	return h
}

// newestGlibc is the newest version among texts such as "GLIBC_2.36".
func newestGlibc(texts [][]byte) string {
	newest := ""
	for _, t := range texts {
		v, ok := bytes.CutPrefix(t, []byte("GLIBC_"))
		if !ok || len(v) == 0 || len(v) > 16 || v[0] < '0' || v[0] > '9' {
			continue
		}
		if s := string(v); newest == "" || bundle.CompareVersions(s, newest) > 0 {
			newest = s
		}
	}
	return newest
}

// readerAt is what readProgram reads from.
type readerAt interface {
	ReadAt(p []byte, off int64) (int, error)
}

// readProgram reads of a 64-bit ELF file which loader, libraries and version of the C library it asks for (System V ABI, generic, chapters 4 and 5). The
// file is a stranger's: every number is checked before it is used.
func readProgram(r readerAt) (program, error) {
	var p program
	head := make([]byte, 64)
	if err := readFull(r, head, 0); err != nil {
		return p, err
	}
	le := binary.LittleEndian
	if string(head[:4]) != elf.ELFMAG || head[4] != byte(elf.ELFCLASS64) || head[5] != byte(elf.ELFDATA2LSB) {
		return p, fmt.Errorf("not an ELF program: %w", bundle.ErrUnsupported)
	}
	phoff, phsize, phnum := le.Uint64(head[32:]), le.Uint16(head[54:]), le.Uint16(head[56:])
	if phsize != 56 || phnum > 256 {
		return p, bundle.ErrUnsupported
	}
	type segment struct{ kind, off, addr, size uint64 }
	var segments []segment
	for i := range uint64(phnum) {
		ph := make([]byte, 56)
		if err := readFull(r, ph, phoff+i*56); err != nil {
			return p, err
		}
		segments = append(segments, segment{uint64(le.Uint32(ph)), le.Uint64(ph[8:]), le.Uint64(ph[16:]), le.Uint64(ph[32:])})
	}
	// at reads n bytes at an address of the loaded program.
	at := func(addr, n uint64) ([]byte, error) {
		for _, s := range segments {
			if s.kind == uint64(elf.PT_LOAD) && addr >= s.addr && addr-s.addr < s.size && n <= s.size-(addr-s.addr) && n <= maxSegment {
				data := make([]byte, n)
				return data, readFull(r, data, s.off+addr-s.addr)
			}
		}
		return nil, bundle.ErrDamaged
	}
	var dynamic []byte
	for _, s := range segments {
		if s.size > maxSegment {
			continue
		}
		switch elf.ProgType(s.kind) {
		case elf.PT_INTERP:
			data := make([]byte, min(s.size, 4096))
			if err := readFull(r, data, s.off); err != nil {
				return p, err
			}
			p.loader = string(bytes.TrimRight(data, "\x00"))
		case elf.PT_DYNAMIC:
			dynamic = make([]byte, min(s.size, 64<<10))
			if err := readFull(r, dynamic, s.off); err != nil {
				return p, err
			}
		}
	}
	values := map[elf.DynTag]uint64{}
	var needed []uint64
	for ; len(dynamic) >= 16; dynamic = dynamic[16:] {
		tag, value := elf.DynTag(int64(le.Uint64(dynamic))), le.Uint64(dynamic[8:])
		if tag == elf.DT_NULL {
			break
		}
		values[tag] = value
		if tag == elf.DT_NEEDED && len(needed) < maxNames {
			needed = append(needed, value)
		}
	}
	texts, err := at(values[elf.DT_STRTAB], values[elf.DT_STRSZ])
	if err != nil {
		return p, nil // a static program has none
	}
	text := func(off uint64) string {
		if off >= uint64(len(texts)) {
			return ""
		}
		end := bytes.IndexByte(texts[off:], 0)
		if end < 0 || end > 255 {
			return ""
		}
		return string(texts[off : off+uint64(end)])
	}
	for _, off := range needed {
		if name := text(off); name != "" && !strings.Contains(name, "/") {
			p.needed = append(p.needed, name)
		}
	}
	// Versions: a list of needed files, each with a list of the versions of it.
	var versions [][]byte
	addr := values[elf.DT_VERNEED]
	for range min(values[elf.DT_VERNEEDNUM], maxNames) {
		need, err := at(addr, 16)
		if err != nil {
			break
		}
		aux := addr + uint64(le.Uint32(need[8:]))
		for range le.Uint16(need[2:]) {
			v, err := at(aux, 16)
			if err != nil || len(versions) > maxNames {
				break
			}
			versions = append(versions, []byte(text(uint64(le.Uint32(v[8:])))))
			next := uint64(le.Uint32(v[12:]))
			if next == 0 {
				break
			}
			aux += next
		}
		next := uint64(le.Uint32(need[12:]))
		if next == 0 {
			break
		}
		addr += next
	}
	p.version = newestGlibc(versions)
	return p, nil
}

// readFull reads all of p, or fails.
func readFull(r readerAt, p []byte, off uint64) error {
	if off > 1<<62 {
		return bundle.ErrDamaged
	}
	return bundle.ReadFull(r, p, int64(off))
}
