// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"glick.org/glick/bundle/keyfile"
)

// BuildOptions say what cannot be found out from the tree, or shall be otherwise. The zero value asks for finding out all.
type BuildOptions struct {
	ID, Version, Name string
	Exec              string // main program: relative to the prefix, or absolute below the prefix
	Prefix            string // DefaultPrefix when empty
	Arch              string // "x86_64" or "aarch64"; when empty that of the stub, else of the main program
	DesktopFile       string // a file; found in the tree by its path there when it does not exist otherwise
	Metainfo          string // likewise
	Icons             []string
	Export, Commands  []string
	// Slices are files that ReadSlice has read, of which the bundle is to have a copy; later ones lie over earlier ones, the tree over all. Their
	// readers stay open until the bundle is written.
	Slices []*Bundle
	// Sign, when not nil, makes the bundle's signature.
	Sign SignFunc

	// Stub is the program that every start of the bundle begins with. Plan works without, Build does not.
	Stub []byte
	// Icon makes icons in sizes that the application does not bring; nil: there are none but those that it brings.
	Icon IconMaker
	// Progress, when not nil, is called with bytes done and bytes in total, from one goroutine at a time, often.
	Progress func(done, total int64)
}

// IconMaker makes PNG pictures. Package icon has one.
type IconMaker interface {
	Scale(png []byte, size int) ([]byte, error)
	Render(svg []byte, size int) ([]byte, error)
}

// Plan is a bundle that is going to be made: everything but the content of its files.
type Plan struct {
	Manifest    *Manifest // without the digests and slices, which are known when it is written
	DesktopFile []byte
	Metainfo    []byte
	SVG         []byte
	Icons       map[int][]byte // by size in pixels
	Notes       []string       // for the person: what was left out or looks odd
	Files       int
	Folders     int
	Links       int
	Size        int64 // bytes of the files as they are, hard links counted once
	Stub        []byte
	Sign        SignFunc
	Progress    func(done, total int64)

	tree      *source
	libraries []*library
}

// Report tells what was written.
type Report struct {
	Size     int64 // bytes of the bundle file
	Content  int64 // bytes of different content, uncompressed
	Stored   int64 // bytes of it as stored
	Files    int
	Distinct int // files of different content
	Digest   Digest
	Notes    []string
}

// Build makes a bundle of the tree dir, which becomes the content of the prefix, and writes it to w. The same tree and options give the
// same bytes, anywhere. w is written in one go when it can seek; else the bundle is first made in a temporary file.
//
// On an error w holds something incomplete, which the caller removes.
func Build(ctx context.Context, w io.Writer, dir string, o BuildOptions) (*Report, error) {
	p, err := NewPlan(dir, o)
	if err != nil {
		return nil, err
	}
	return p.Write(ctx, w)
}

// NewPlan looks at the tree dir and finds out what a bundle of it is to be. It writes nothing.
func NewPlan(dir string, o BuildOptions) (*Plan, error) {
	src, err := scanFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot make a bundle: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot make a bundle: %w", err)
	}
	defer root.Close()
	p := &Plan{
		Manifest: &Manifest{
			ID: o.ID, Version: o.Version, Name: o.Name, Exec: o.Exec, Prefix: o.Prefix, Arch: o.Arch,
			Commands: o.Commands, Export: o.Export, digests: make(map[string]Digest),
		},
		Icons: make(map[int][]byte), Notes: src.notes, Stub: o.Stub, Sign: o.Sign, Progress: o.Progress,
		Files: src.files, Folders: src.folders, Links: src.links, Size: src.size, tree: src,
	}
	if err := p.takeSlices(o.Slices); err != nil {
		return nil, err
	}
	f := finder{plan: p, root: root, options: o}
	for _, step := range []func() error{f.desktopFile, f.metainfo, f.exec, f.arch, f.icons} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("cannot make a bundle of %s: %w", dir, err)
		}
	}
	if p.Manifest.Name == "" {
		p.Manifest.Name = p.Manifest.ID[strings.LastIndexByte(p.Manifest.ID, '.')+1:]
	}
	if err := p.Manifest.check(); err != nil {
		return nil, fmt.Errorf("cannot make a bundle of %s: %w", dir, err)
	}
	for _, c := range p.Manifest.Commands {
		if !p.has("bin/" + c) {
			return nil, fmt.Errorf("cannot make a bundle of %s: the command %q is not in bin", dir, c)
		}
	}
	for _, e := range p.Manifest.Export {
		if !p.has(e) {
			return nil, fmt.Errorf("cannot make a bundle of %s: the exported path %q is not there", dir, e)
		}
	}
	return p, nil
}

// takeSlices makes the bundle contain slices from files.
func (p *Plan) takeSlices(files []*Bundle) error {
	known := make(map[Digest]bool)
	for _, file := range files {
		lib, err := newLibrary(file)
		if err != nil {
			return fmt.Errorf("cannot make a bundle: cannot use a slice: %w", err)
		}
		if known[lib.info.Digest] {
			return fmt.Errorf("cannot make a bundle: the slice %s is given twice", lib.info.Name)
		}
		known[lib.info.Digest] = true
		p.libraries = append(p.libraries, lib)
	}
	if len(p.libraries) >= maxSlices {
		return fmt.Errorf("cannot make a bundle: more than %d slices", maxSlices)
	}
	return nil
}

// has says whether there is something at a path relative to the prefix.
func (p *Plan) has(name string) bool {
	if _, ok := p.tree.find(name); ok {
		return true
	}
	return slices.ContainsFunc(p.libraries, func(l *library) bool {
		_, ok := l.tree.Find(name)
		return ok
	})
}

// program finds an executable file by its path relative to the prefix, in the tree and then in the slices below it. It returns the beginning of
// the program, as much as tells what it is for; none when it is a link to a program of the host.
func (p *Plan) program(name string) (head []byte, err error) {
	if e, ok := p.tree.follow(name, p.Manifest.Prefix); ok {
		switch {
		case e == nil:
			return nil, nil
		case e.mode&modeType != modeFile:
			return nil, fs.ErrNotExist
		case e.mode&0o111 == 0:
			return nil, fmt.Errorf("the program %s is not executable", name)
		}
		file, err := p.tree.open(e)
		if err != nil {
			return nil, fmt.Errorf("cannot read the program: %w", err)
		}
		defer file.Close()
		return firstBytes(file)
	}
	for _, lib := range slices.Backward(p.libraries) {
		n, err := lib.tree.Resolve(name)
		if err != nil {
			continue
		}
		if info := lib.tree.Info(n); info.IsFile() && info.Mode&0o111 != 0 {
			return firstBytes(lib.tree.Open(n))
		}
	}
	return nil, fs.ErrNotExist
}

// firstBytes reads as much of a file as tells its kind.
func firstBytes(r io.Reader) ([]byte, error) {
	head := make([]byte, elfHeaderSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("cannot read the program: %w", err)
	}
	return head[:n], nil
}

// String lists what the bundle is going to be, for --dry-run.
func (p *Plan) String() string {
	var b strings.Builder
	m := p.Manifest
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-13s %s\n", key+":", value)
		}
	}
	line("Id", m.ID)
	line("Version", m.Version)
	line("Name", m.Name)
	line("Exec", m.Exec)
	line("Prefix", m.Prefix)
	line("Architecture", m.Arch)
	line("Commands", strings.Join(m.Commands, " "))
	line("Export", strings.Join(m.Export, " "))
	line("Files", fmt.Sprintf("%d, %d bytes; %d folders, %d links", p.Files, p.Size, p.Folders, p.Links))
	for _, lib := range p.libraries {
		line("Slice", fmt.Sprintf("%s, %d bytes stored as %d, %s", strings.TrimSpace(lib.info.Name+" "+lib.info.Version), lib.info.Size, lib.info.DataSize, lib.info.Digest))
	}
	for _, s := range p.sections() {
		line("Section", fmt.Sprintf("%s, %d bytes", s.name, len(s.data)))
	}
	for _, n := range p.Notes {
		line("Note", n)
	}
	return b.String()
}

// smallSection is a section whose content is in memory.
type smallSection struct {
	name string
	data []byte
}

// sections returns what comes before the slices' indexes, in the order of the file.
func (p *Plan) sections() []smallSection {
	var list []smallSection
	if p.DesktopFile != nil {
		list = append(list, smallSection{sectionDesktop, p.DesktopFile})
	}
	sizes := make([]int, 0, len(p.Icons))
	for n := range p.Icons {
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	for _, n := range sizes {
		list = append(list, smallSection{sectionIcon + strconv.Itoa(n), p.Icons[n]})
	}
	if p.SVG != nil {
		list = append(list, smallSection{sectionSVG, p.SVG})
	}
	if p.Metainfo != nil {
		list = append(list, smallSection{sectionMetainfo, p.Metainfo})
	}
	return list
}

// finder fills a plan with what it finds in the tree.
type finder struct {
	plan    *Plan
	root    *os.Root // reading through it never leaves the tree, whatever links say
	options BuildOptions
	entry   *keyfile.Group // of the desktop file
	head    []byte         // of the main program
}

func (f *finder) note(format string, a ...any) {
	f.plan.Notes = append(f.plan.Notes, fmt.Sprintf(format, a...))
}

// read returns a file of the tree; fs.ErrNotExist when it is not there.
func (f *finder) read(name string, limit int64) ([]byte, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readLimited(file, name, limit)
}

// readGiven returns a file that the person named: any file, or one in the tree.
func (f *finder) readGiven(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) && filepath.IsLocal(name) {
		if data, err := f.read(name, limit); !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readLimited(file, name, limit)
}

func readLimited(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than the %d bytes allowed", name, limit)
	}
	return data, nil
}

// desktopFile finds the main desktop entry, and from it id and name.
func (f *finder) desktopFile() error {
	const dir = "share/applications"
	m := f.plan.Manifest
	name := f.options.DesktopFile
	var data []byte
	var err error
	switch {
	case name != "":
		if data, err = f.readGiven(name, maxDesktop); err != nil {
			return fmt.Errorf("cannot read the desktop file: %w", err)
		}
	default:
		var found []string
		for _, n := range f.plan.tree.names(dir) {
			if strings.HasSuffix(n, ".desktop") {
				found = append(found, n)
			}
		}
		switch {
		case m.ID != "" && slices.Contains(found, m.ID+".desktop"):
			name = path.Join(dir, m.ID+".desktop")
		case len(found) == 1:
			name = path.Join(dir, found[0])
		case len(found) > 1:
			return fmt.Errorf("there are several desktop files in %s: %s; choose the main one with --desktop-file, or by --id",
				dir, strings.Join(found, ", "))
		case m.ID == "":
			return fmt.Errorf("there is no desktop file in %s; give one with --desktop-file, or at least --id and --exec", dir)
		default:
			f.note("no desktop file: the application will not be in the menu")
			return nil
		}
		if data, err = f.read(name, maxDesktop); err != nil {
			return fmt.Errorf("cannot read the desktop file: %w", err)
		}
	}
	file, err := keyfile.Parse(data)
	if err != nil {
		return fmt.Errorf("the desktop file %s is wrong: %w", name, err)
	}
	if f.entry = file.Group("Desktop Entry"); f.entry == nil {
		return fmt.Errorf("the desktop file %s has no group [Desktop Entry]", name)
	}
	f.plan.DesktopFile = data
	base := strings.TrimSuffix(path.Base(filepath.ToSlash(name)), ".desktop")
	if m.ID == "" {
		m.ID = base
		if err := ValidID(m.ID); err != nil {
			return fmt.Errorf("the desktop file's name gives no id: %w; give one with --id", err)
		}
	} else if base != m.ID && !strings.HasPrefix(base, m.ID+".") {
		f.note("the desktop file is called %s, not %s: on Wayland the window will not be matched to its entry unless the application says that name", base, m.ID)
	}
	if m.Name == "" {
		m.Name = f.entry.String("Name")
	}
	return ValidID(m.ID)
}

// metainfo finds the AppStream file, and from it the version.
func (f *finder) metainfo() error {
	m := f.plan.Manifest
	name := f.options.Metainfo
	if name != "" {
		data, err := f.readGiven(name, maxMetainfo)
		if err != nil {
			return fmt.Errorf("cannot read the metainfo: %w", err)
		}
		f.plan.Metainfo = data
	} else {
	search:
		for _, dir := range []string{"share/metainfo", "share/appdata"} {
			for _, suffix := range []string{".metainfo.xml", ".appdata.xml", ".desktop.metainfo.xml", ".desktop.appdata.xml"} {
				name = path.Join(dir, m.ID+suffix)
				data, err := f.read(name, maxMetainfo)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return fmt.Errorf("cannot read the metainfo: %w", err)
				}
				f.plan.Metainfo = data
				break search
			}
		}
	}
	if f.plan.Metainfo == nil {
		if m.Version == "" {
			f.note("no version: there is no metainfo and no --bundle-version")
		}
		return nil
	}
	version, err := NewestRelease(f.plan.Metainfo)
	if err != nil {
		return fmt.Errorf("the metainfo %s is wrong: %w", name, err)
	}
	if m.Version == "" {
		if m.Version = version; version == "" {
			f.note("no version: the metainfo lists no release, and there is no --bundle-version")
		}
	}
	return nil
}

// NewestRelease returns the version of the newest release that an AppStream file lists, or "".
func NewestRelease(text []byte) (string, error) {
	var component struct {
		Releases []struct {
			Version   string `xml:"version,attr"`
			Date      string `xml:"date,attr"`
			Timestamp int64  `xml:"timestamp,attr"`
		} `xml:"releases>release"`
	}
	if err := xml.Unmarshal(text, &component); err != nil {
		return "", err
	}
	best, bestDate := "", ""
	for _, r := range component.Releases {
		// Only the day is compared; a time stamp counts when there is no date.
		date := r.Date[:min(len(r.Date), len("2006-01-02"))]
		if date == "" && r.Timestamp > 0 {
			date = dayOf(r.Timestamp)
		}
		if best == "" || date > bestDate || date == bestDate && CompareVersions(r.Version, best) > 0 {
			best, bestDate = r.Version, date
		}
	}
	return best, nil
}

// exec finds the main program.
func (f *finder) exec() error {
	m := f.plan.Manifest
	if m.Prefix == "" {
		m.Prefix = DefaultPrefix
	}
	if err := checkPrefix(m.Prefix); err != nil {
		return err
	}
	word, from := m.Exec, "--exec"
	if word == "" {
		if f.entry == nil {
			return errors.New("there is no desktop file that names the program; give --exec")
		}
		from = "the desktop file"
		line, _ := f.entry.Get("Exec")
		if word = firstWord(keyfile.Unescape(line)); word == "" {
			return errors.New("the desktop file has no Exec; give --exec")
		}
	}
	var tried []string
	switch {
	case strings.HasPrefix(word, m.Prefix+"/"):
		tried = append(tried, strings.TrimPrefix(word, m.Prefix+"/"))
	case strings.HasPrefix(word, "/"):
		// A tree that was installed for another prefix: the same place in this one.
		for _, p := range []string{"/usr/local/", "/usr/", "/app/", "/"} {
			if rest, ok := strings.CutPrefix(word, p); ok {
				tried = append(tried, rest)
			}
		}
	case m.Exec != "" && strings.Contains(word, "/"):
		tried = append(tried, path.Clean(word))
	case m.Exec != "":
		tried = append(tried, word, "bin/"+word)
	default:
		tried = append(tried, "bin/"+word, "games/"+word, "sbin/"+word, "libexec/"+word)
	}
	for _, t := range tried {
		head, err := f.plan.program(t)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if head == nil {
			f.note("the program %s is a link out of the tree", t)
		}
		m.Exec, f.head = t, head
		return nil
	}
	return fmt.Errorf("the program %q of %s is not in it (looked for %s): %w; name it with --exec", word, from, strings.Join(tried, ", "), fs.ErrNotExist)
}

// firstWord returns the program of an Exec line (Desktop Entry Specification, "The Exec key").
func firstWord(line string) string {
	line = strings.TrimLeft(line, " \t")
	if !strings.HasPrefix(line, `"`) {
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			line = line[:i]
		}
		return line
	}
	var b strings.Builder
	for i := 1; i < len(line) && line[i] != '"'; i++ {
		if line[i] == '\\' && i+1 < len(line) {
			i++
		}
		b.WriteByte(line[i])
	}
	return b.String()
}

// arch finds the processor: the stub's, else the main program's, else this computer's.
func (f *finder) arch() error {
	m := f.plan.Manifest
	program := ""
	if bytes.HasPrefix(f.head, []byte("\x7fELF")) {
		var err error
		if program, err = elfArch(f.head); err != nil {
			return fmt.Errorf("the program %s: %w", m.Exec, err)
		}
	}
	if m.Arch == "" {
		m.Arch = program
	}
	if f.plan.Stub != nil {
		stub, err := elfArch(f.plan.Stub)
		if err != nil {
			return fmt.Errorf("the stub: %w", err)
		}
		if m.Arch == "" {
			m.Arch = stub
		}
		if m.Arch != stub {
			return fmt.Errorf("the stub is for %s, the bundle for %s: %w", stub, m.Arch, ErrArch)
		}
	}
	if m.Arch == "" {
		m.Arch = hostArch()
	}
	if program != "" && program != m.Arch {
		return fmt.Errorf("the program %s is for %s, the bundle for %s: %w", m.Exec, program, m.Arch, ErrArch)
	}
	for _, lib := range f.plan.libraries {
		if lib.info.Arch != "" && lib.info.Arch != m.Arch {
			return fmt.Errorf("the slice %s is for %s, the bundle for %s: %w", lib.info.Name, lib.info.Arch, m.Arch, ErrArch)
		}
	}
	return nil
}

//go:embed plain-48.png
var plainIcon []byte

// icons finds the application's icons and makes the one that must always be there.
func (f *finder) icons() error {
	p := f.plan
	if len(f.options.Icons) > 0 {
		for _, name := range f.options.Icons {
			data, err := f.readGiven(name, maxIcon)
			if err != nil {
				return fmt.Errorf("cannot read the icon: %w", err)
			}
			if err := f.addIcon(name, data); err != nil {
				return err
			}
		}
	} else if f.entry != nil {
		if err := f.findIcons(f.entry.String("Icon")); err != nil {
			return err
		}
	}
	return f.makeIcons(p)
}

// findIcons takes what the icon theme hicolor has under that name.
func (f *finder) findIcons(name string) error {
	if name == "" {
		return nil
	}
	var files []string
	if strings.HasPrefix(name, "/") {
		rest, ok := strings.CutPrefix(name, f.plan.Manifest.Prefix+"/")
		if !ok {
			rest = strings.TrimPrefix(strings.TrimPrefix(name, "/usr/"), "/")
		}
		files = append(files, rest)
	} else {
		const theme = "share/icons/hicolor"
		for _, size := range f.plan.tree.names(theme) {
			if size == "scalable" {
				files = append(files, path.Join(theme, size, "apps", name+".svg"))
			} else if a, b, ok := strings.Cut(size, "x"); ok && a == b {
				files = append(files, path.Join(theme, size, "apps", name+".png"))
			}
		}
		// Only when the theme has nothing at all.
		files = append(files, "", path.Join("share/pixmaps", name), path.Join("share/pixmaps", name+".png"), path.Join("share/pixmaps", name+".svg"))
	}
	for _, file := range files {
		if file == "" {
			if len(f.plan.Icons) > 0 || f.plan.SVG != nil {
				return nil
			}
			continue
		}
		data, err := f.read(file, maxIcon)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			f.note("the icon %s is left out: %v", file, err)
			continue
		}
		if err := f.addIcon(file, data); err != nil {
			f.note("the icon %s is left out: %v", file, err)
		}
	}
	return nil
}

// addIcon takes a PNG or SVG picture into the plan.
func (f *finder) addIcon(name string, data []byte) error {
	if w, h, ok := pngSize(data); ok {
		switch {
		case w != h:
			return fmt.Errorf("%s is not square, but %d×%d pixels", name, w, h)
		case w < 8 || w > 1024:
			return fmt.Errorf("%s has %d pixels a side, not 8 to 1024", name, w)
		}
		if _, ok := f.plan.Icons[w]; !ok {
			f.plan.Icons[w] = data
		}
		return nil
	}
	if bytes.Contains(data[:min(len(data), 4096)], []byte("<svg")) {
		if f.plan.SVG == nil {
			f.plan.SVG = data
		}
		return nil
	}
	return fmt.Errorf("%s is neither a PNG nor an SVG picture", name)
}

// pngSize returns the width and height that a PNG file says (PNG specification, 11.2.2).
func pngSize(data []byte) (w, h int, ok bool) {
	if len(data) < 33 || string(data[:8]) != "\x89PNG\r\n\x1a\n" || string(data[12:16]) != "IHDR" {
		return 0, 0, false
	}
	be := binary.BigEndian
	if be.Uint32(data[16:]) > 1<<24 || be.Uint32(data[20:]) > 1<<24 {
		return 0, 0, false
	}
	return int(be.Uint32(data[16:])), int(be.Uint32(data[20:])), true
}

func (f *finder) makeIcons(p *Plan) error {
	if len(p.Icons) == 0 && p.SVG == nil {
		f.note("no icon: a plain one is used; give one with --icon")
		p.Icons[48] = plainIcon
		return nil
	}
	if p.SVG != nil && f.options.Icon != nil {
		if err := f.drawIcons(p); err != nil {
			return err
		}
	}
	if p.Icons[48] != nil {
		return nil
	}
	from := f.larger(48)
	if from == 0 {
		for size := range p.Icons {
			from = max(from, size)
		}
	}
	if from == 0 || f.options.Icon == nil {
		return errors.New("it has no icon of 48×48 pixels; give one with --icon")
	}
	data, err := f.options.Icon.Scale(p.Icons[from], 48)
	if err != nil {
		return err
	}
	p.Icons[48] = data
	return nil
}

// drawIcons makes icons of the usual sizes, those that there are not, from the scalable one. They are drawn at the same time: that
// is the work of other processes.
func (f *finder) drawIcons(p *Plan) error {
	type drawing struct {
		size int
		data []byte
		err  error
	}
	var all []*drawing
	for _, size := range []int{48, 128, 256, 512} {
		if p.Icons[size] == nil && (size != 48 || f.larger(size) == 0) {
			all = append(all, &drawing{size: size})
		}
	}
	var ready sync.WaitGroup
	for _, d := range all {
		ready.Go(func() { d.data, d.err = f.options.Icon.Render(p.SVG, d.size) })
	}
	ready.Wait()
	for _, d := range all {
		if d.err != nil {
			if f.larger(48) == 0 && p.Icons[48] == nil {
				return d.err
			}
			f.note("no icon of %d pixels: %v", d.size, d.err)
			break
		}
		p.Icons[d.size] = d.data
	}
	return nil
}

// larger returns the smallest size above size of which there is an icon, or 0.
func (f *finder) larger(size int) int {
	var all []int
	for n := range f.plan.Icons {
		if n > size {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return 0
	}
	sort.Ints(all)
	return all[0]
}
