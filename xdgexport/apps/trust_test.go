// SPDX-License-Identifier: MIT

package apps

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/signature"
	"glick.org/glick/bundle/signature/sshkey"
	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps/trust"
)

// newKey makes a key that signs.
func newKey(t testing.TB) signature.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := sshkey.NewSigner(file, sshkey.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// build makes a bundle, signed unless key is nil.
func build(t testing.TB, dir, id, version string, key signature.Signer) string {
	t.Helper()
	file := sample.Build(t, t.TempDir(), id, version, sample.App(id))
	out := filepath.Join(dir, filepath.Base(file))
	if key == nil {
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(out, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Read(in, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := b.Rewrite(t.Context(), w, bundle.RewriteOptions{Sign: key.Sign}); err != nil {
		t.Fatal(err)
	}
	return out
}

// drop builds a bundle in the folder of applications under a name.
func drop(t testing.TB, home, name, id, version string, key signature.Signer) string {
	t.Helper()
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, name)
	if err := os.Rename(build(t, t.TempDir(), id, version, key), file); err != nil {
		t.Fatal(err)
	}
	return file
}

// fresh makes the process forget what it knows of the folders, as another process would not know it.
func fresh() {
	currentMu.Lock()
	currentIs = nil
	currentMu.Unlock()
}

// of gives what is listed under a file name.
func of(t *testing.T, name string) App {
	t.Helper()
	all, _, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if filepath.Base(a.File) == name {
			return a
		}
	}
	t.Fatalf("%s is not listed among %+v", name, all)
	return App{}
}

func wantState(t *testing.T, name string, state trust.State, isDefault bool) App {
	t.Helper()
	a := of(t, name)
	if a.State != state || a.Default != isDefault {
		t.Errorf("%s is %v, default %v; want %v, %v", name, a.State, a.Default, state, isDefault)
	}
	return a
}

func TestTrustOnFirstUse(t *testing.T) {
	home := newHome(t)
	mine, other := newKey(t), newKey(t)
	drop(t, home, "1", id, "1", mine)
	a := wantState(t, "1", trust.FirstSeen, true)
	if a.Key.Fingerprint != mine.Key().Fingerprint || a.Key.Public != string(mine.Key().Public) {
		t.Errorf("the key is %+v", a.Key)
	}
	drop(t, home, "2", id, "2", mine)
	drop(t, home, "3", id, "3", other)
	drop(t, home, "4", id, "4", nil)
	for range 2 { // again with what was written down only
		wantState(t, "1", trust.FirstSeen, false)
		wantState(t, "2", trust.Verified, true)
		wantState(t, "3", trust.Changed, false)
		wantState(t, "4", trust.Changed, false)
		fresh()
	}
	if a, err := Find(id); err != nil || a.Version != "2" {
		t.Errorf("found %+v, %v", a, err)
	}
	// Deleting all of it is no way to be trusted anew.
	for _, name := range []string{"1", "2"} {
		if err := Remove(t.Context(), filepath.Join(home, name)); err != nil {
			t.Fatal(err)
		}
	}
	wantState(t, "3", trust.Changed, false)
	fresh()
	wantState(t, "3", trust.Changed, false)
	if _, err := Find(id); !errors.Is(err, ErrChanged) {
		t.Errorf("found: %v", err)
	}
	if a, err := Find(filepath.Join(home, "3")); err != nil || a.State != trust.Changed {
		t.Errorf("by its path it is %+v, %v", a, err)
	}
	if err := Forget(id); err != nil {
		t.Fatal(err)
	}
	wantState(t, "3", trust.FirstSeen, true)
	wantState(t, "4", trust.Changed, false)
}

func TestAccept(t *testing.T) {
	home := newHome(t)
	mine, other := newKey(t), newKey(t)
	drop(t, home, "1", id, "1", mine)
	drop(t, home, "2", id, "2", other)
	drop(t, home, "3", id, "3", nil)
	drop(t, home, "4", id, "4", nil)
	list(t)
	for _, bad := range []string{"", "SHA256:x", "xyz", other.Key().Fingerprint[7:]} {
		if Accept(id, bad) == nil {
			t.Errorf("accepted %q", bad)
		}
	}
	if err := Accept(id, other.Key().Fingerprint); err != nil {
		t.Fatal(err)
	}
	wantState(t, "2", trust.Verified, true)
	wantState(t, "3", trust.Changed, false)
	fresh()
	if a := wantState(t, "2", trust.Verified, true); a.Key.Public != string(other.Key().Public) {
		t.Errorf("the key is %+v", a.Key)
	}
	if err := Accept(id, of(t, "3").Digest.String()); err != nil {
		t.Fatal(err)
	}
	wantState(t, "3", trust.Unsigned, true)
	wantState(t, "4", trust.Changed, false)
	key := of(t, "1").Key
	key.Comment = "the maker"
	if err := AcceptKey(id, key); err != nil {
		t.Fatal(err)
	}
	if a := wantState(t, "1", trust.Verified, false); a.Key.Comment != "the maker" {
		t.Errorf("the comment is %q", a.Key.Comment)
	}
	if r := Known(id); r == nil || len(r.Keys) != 2 {
		t.Errorf("known is %+v", r)
	}
	if Known("org.example.None") != nil {
		t.Error("something is known of what was never there")
	}
}

// An unsigned application has a record too, and can begin to sign without being asked about.
func TestUnsignedIsRemembered(t *testing.T) {
	home := newHome(t)
	drop(t, home, "1", id, "1", nil)
	wantState(t, "1", trust.Unsigned, true)
	if r := Known(id); r == nil || !r.Known || len(r.Keys) > 0 {
		t.Errorf("known is %+v", r)
	}
	drop(t, home, "2", id, "2", newKey(t))
	wantState(t, "2", trust.FirstSeen, true)
	wantState(t, "1", trust.Unsigned, false) // going back stays possible
	drop(t, home, "3", id, "3", nil)
	wantState(t, "3", trust.Changed, false)
}

func TestInstallAsksBeforeItTrusts(t *testing.T) {
	home := newHome(t)
	dir := t.TempDir()
	mine, other := newKey(t), newKey(t)
	one, two, three := build(t, dir, id, "1", mine), build(t, dir, id, "2", other), build(t, dir, id, "3", nil)
	if a := mustInstall(t, one, InstallOptions{}); a.State != trust.FirstSeen || !a.Default {
		t.Errorf("installed %+v", a)
	}
	for _, file := range []string{two, three} {
		for _, both := range []bool{false, true} {
			if _, err := Install(t.Context(), file, InstallOptions{KeepBoth: both}); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "signed") {
				t.Errorf("installing %s: %v", file, err)
			}
			wantNames(t, home, id+"-1.bundle")
		}
	}
	if a := mustInstall(t, two, InstallOptions{Accept: true}); a.State != trust.Verified {
		t.Errorf("installed %+v", a)
	}
	if a := mustInstall(t, three, InstallOptions{Accept: true}); a.State != trust.Unsigned || !a.Default {
		t.Errorf("installed %+v", a)
	}
	wantNames(t, home, id+"-3.bundle")
	// Removed with everything, the keys stay.
	if err := Remove(t.Context(), filepath.Join(home, id+"-3.bundle")); err != nil {
		t.Fatal(err)
	}
	list(t)
	if _, err := Install(t.Context(), build(t, dir, id, "4", newKey(t)), InstallOptions{}); !errors.Is(err, ErrChanged) {
		t.Errorf("installing a stranger's: %v", err)
	}
	mustInstall(t, one, InstallOptions{})
}

// A wrong signature is damage, not a missing one.
func TestWrongSignature(t *testing.T) {
	home := newHome(t)
	file := drop(t, home, "x.bundle", id, "1", newKey(t))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(data), "BEGIN SSH SIGNATURE")
	if i < 0 {
		t.Fatal("no signature")
	}
	data[i+150] ^= 3
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	a := wantState(t, "x.bundle", trust.Damaged, false)
	_, problems, _ := List()
	if !strings.Contains(a.Damage, "signature") || len(problems) != 1 || !errors.Is(problems[0], bundle.ErrDamaged) || problems[0].Incomplete() {
		t.Errorf("%+v; %v", a, problems)
	}
	if Known(id) != nil {
		t.Error("a damaged bundle has decided on the key")
	}
	if _, err := Install(t.Context(), file, InstallOptions{}); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("installing it: %v", err)
	}
}

// What the desktop would be told of is compared to its digest, and so are the contents as far as that is quick.
func TestDamagedContent(t *testing.T) {
	home := newHome(t)
	file := drop(t, home, "x.bundle", id, "1", nil)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Read(strings.NewReader(string(good)), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range b.Sections() {
		if s.Size == 0 || s.Name == ".glick.manifest" || s.Name == ".note.glick" {
			continue
		}
		bad := []byte(string(good))
		bad[s.Offset+s.Size/2] ^= 1
		if err := os.WriteFile(file, bad, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Log(s.Name)
		wantState(t, "x.bundle", trust.Damaged, false)
	}
	if err := os.WriteFile(file, good, 0o755); err != nil {
		t.Fatal(err)
	}
	wantState(t, "x.bundle", trust.Unsigned, true)
}

// Of a large bundle the contents are compared later.
func TestCheck(t *testing.T) {
	old := small
	small = 100 << 10
	t.Cleanup(func() { small = old })
	home := newHome(t)
	tree := sample.App(id)
	noise := make([]byte, small+1)
	for i := range noise {
		noise[i] = byte(i * i >> 7)
	}
	tree["share/large"] = string(noise)
	file := filepath.Join(home, "x.bundle")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(sample.Build(t, t.TempDir(), id, "1", tree), file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Read(strings.NewReader(string(data)), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range b.Sections() {
		if s.Name == ".glick.data" {
			data[s.Offset+s.Size/2] ^= 1
		}
	}
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * settled)
	wantState(t, "x.bundle", trust.Unsigned, true)
	if bad, err := Check(t.Context()); !bad || err != nil {
		t.Fatalf("checked: %v, %v", bad, err)
	}
	for range 2 {
		wantState(t, "x.bundle", trust.Damaged, false)
		fresh()
	}
	if bad, err := Check(t.Context()); bad || err != nil {
		t.Errorf("checked again: %v, %v", bad, err)
	}
}

// Two processes that see different bundles of a new id first agree on one key.
func TestTrustIsOneForAllProcesses(t *testing.T) {
	home := newHome(t)
	one, two := drop(t, home, "1", id, "1", newKey(t)), build(t, t.TempDir(), id, "2", newKey(t))
	libs := make([]*library, 8)
	for i := range libs {
		libs[i] = newLibrary(settingsNow())
	}
	var wg sync.WaitGroup
	for i, l := range libs {
		wg.Go(func() {
			if i == 3 {
				_ = os.Remove(one)
				_ = os.Rename(two, filepath.Join(home, "2"))
			}
			_, _, _ = l.List()
		})
	}
	wg.Wait()
	var keys string
	for _, l := range libs {
		_, _, _ = l.List()
		r := l.book.Record(id)
		if r == nil || len(r.Keys) != 1 || keys != "" && r.Keys[0].Fingerprint != keys {
			t.Fatalf("the record is %+v", r)
		}
		keys = r.Keys[0].Fingerprint
	}
}

func TestKnownFileOfStrangers(t *testing.T) {
	home := newHome(t)
	drop(t, home, "1", id, "1", newKey(t))
	list(t)
	file := knownFile()
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read or write it: %v", info.Mode())
	}
	other := func() {
		t.Helper()
		fresh()
		_ = os.Remove(filepath.Join(home, "2"))
		drop(t, home, "2", id, "2", newKey(t))
	}
	// The power went while a line was written: it has no end, and the others count.
	write := func(data string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(data), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(string(good)+`{"id":"org.example.Oth`, 0o600)
	other()
	wantState(t, "2", trust.Changed, false)
	if err := SetDefault(id, "1"); err != nil {
		t.Fatal(err)
	}
	fresh()
	if _, problems, _ := List(); len(problems) != 0 {
		t.Errorf("a line that was cut short is a problem: %v", problems)
	}
	// A line that is none is told of; the others count.
	write("garbage\n"+string(good)+"{}\n", 0o600)
	other()
	wantState(t, "2", trust.Changed, false)
	if _, problems, _ := List(); len(problems) != 1 || problems[0].File != file || !strings.Contains(problems[0].Error(), "2 lines") {
		t.Errorf("problems: %v", problems)
	}
	// A file that others can write is not believed, and not written.
	write(string(good), 0o666)
	fresh()
	if _, problems, _ := List(); len(problems) != 1 || !errors.Is(problems[0].Err, errJournal) {
		t.Errorf("problems: %v", problems)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != string(good) {
		t.Errorf("it was written: %s %v", data, err)
	}
	if err := Forget(id); !errors.Is(err, errJournal) {
		t.Errorf("forgot: %v", err)
	}
	// Nor is one that is not a file.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	fresh()
	if _, problems, _ := List(); len(problems) != 1 {
		t.Errorf("problems: %v", problems)
	}
}

// Where nothing can be written, what this process has learned still counts for it.
func TestTrustWithoutRoomToWrite(t *testing.T) {
	home := newHome(t)
	stop := failing(t, func(op string) error {
		if op == "write" || op == "create" {
			return unix.ENOSPC
		}
		return nil
	})
	drop(t, home, "1", id, "1", newKey(t))
	wantStateIn := func(name string, state trust.State) {
		t.Helper()
		if a := of(t, name); a.State != state {
			t.Errorf("%s is %v", name, a.State)
		}
	}
	wantStateIn("1", trust.FirstSeen)
	drop(t, home, "2", id, "2", newKey(t))
	wantStateIn("2", trust.Changed)
	if _, problems, _ := List(); len(problems) != 1 || !errors.Is(problems[0].Err, unix.ENOSPC) {
		t.Errorf("problems: %v", problems)
	}
	if err := Forget(id); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("forgot: %v", err)
	}
	stop()
	if _, problems, _ := List(); len(problems) != 0 {
		t.Errorf("problems: %v", problems)
	}
	fresh()
	wantStateIn("2", trust.Changed)
}

// The book is written anew now and then, and stays whole.
func TestBookStaysSmall(t *testing.T) {
	home := newHome(t)
	drop(t, home, "1", id, "1", newKey(t))
	drop(t, home, "2", id, "2", newKey(t))
	list := func() { _, _, _ = List() }
	list()
	for i := range 2 * slack {
		if err := SetDefault(id, []string{"1", ""}[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(knownFile())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "\n"); n > slack+10 {
		t.Errorf("%d lines about one application", n)
	}
	fresh()
	wantState(t, "1", trust.FirstSeen, true)
	wantState(t, "2", trust.Changed, false)
	wantNames(t, filepath.Dir(knownFile()), filepath.Base(knownFile()))
}

func TestSetDefault(t *testing.T) {
	home := newHome(t)
	drop(t, home, "1", id, "1.9", nil)
	drop(t, home, "2", id, "1.10", nil)
	wantState(t, "2", trust.Unsigned, true)
	if err := SetDefault(id, "1.9"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantState(t, "1", trust.Unsigned, true)
		wantState(t, "2", trust.Unsigned, false)
		fresh()
	}
	if all := list(t); !all[0].Default || all[0].Version != "1.9" {
		t.Errorf("the default is not the first of %+v", all)
	}
	if a, err := Find(id); err != nil || a.Version != "1.9" {
		t.Errorf("found %+v, %v", a, err)
	}
	// The choice waits for its version to come back.
	aside := filepath.Join(t.TempDir(), "1")
	if err := os.Rename(filepath.Join(home, "1"), aside); err != nil {
		t.Fatal(err)
	}
	wantState(t, "2", trust.Unsigned, true)
	drop(t, home, "3", id, "2", nil)
	wantState(t, "3", trust.Unsigned, true)
	if err := os.Rename(aside, filepath.Join(home, "1")); err != nil {
		t.Fatal(err)
	}
	wantState(t, "1", trust.Unsigned, true)
	if err := SetDefault(id, ""); err != nil {
		t.Fatal(err)
	}
	wantState(t, "3", trust.Unsigned, true)
	for _, c := range [][2]string{{id, "7"}, {"org.example.None", "1"}} {
		if err := SetDefault(c[0], c[1]); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("chose version %s of %s: %v", c[1], c[0], err)
		}
	}
	if SetDefault("x", "") == nil {
		t.Error("chose for what is no id")
	}
}

// A chosen version is not used when its signature is not right.
func TestChoiceIsNoTrust(t *testing.T) {
	home := newHome(t)
	mine := newKey(t)
	drop(t, home, "1", id, "1", mine)
	drop(t, home, "2", id, "2", mine)
	list(t)
	if err := SetDefault(id, "1"); err != nil {
		t.Fatal(err)
	}
	drop(t, home, "1", id, "1", newKey(t))
	wantState(t, "1", trust.Changed, false)
	wantState(t, "2", trust.Verified, true)
	if err := SetDefault(id, "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("chosen: %v", err)
	}
}

func TestMain(m *testing.M) {
	if runKilled() {
		return
	}
	code := m.Run()
	if many.dir != "" {
		os.RemoveAll(many.dir)
	}
	os.Exit(code)
}

// An application starts with the session when the user has said so, through updates and reinstallations, and not for who comes in its place.
func TestSetAutostart(t *testing.T) {
	home := newHome(t)
	is := func(want bool) {
		t.Helper()
		for _, a := range list(t) {
			if a.Autostart != want {
				t.Errorf("%s %s: it starts with the session: %t", a.ID, a.Version, a.Autostart)
			}
		}
		fresh()
		for _, a := range list(t) {
			if a.Autostart != want {
				t.Errorf("%s %s: another process: it starts with the session: %t", a.ID, a.Version, a.Autostart)
			}
		}
	}
	if err := SetAutostart(id, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is not there: %v", err)
	}
	mustDo(t, os.MkdirAll(home, 0o755))
	sample.Build(t, home, id, "1", sample.App(id))
	is(false)
	mustDo(t, SetAutostart(id, true))
	is(true)
	mustDo(t, os.Remove(filepath.Join(home, id+"-1.bundle")))
	list(t)
	sample.Build(t, home, id, "2", sample.App(id))
	sample.Build(t, home, id, "3", sample.App(id))
	is(true)
	mustDo(t, SetDefault(id, "2"))
	is(true)
	mustDo(t, SetAutostart(id, false))
	is(false)
	mustDo(t, SetAutostart(id, true))
	mustDo(t, Forget(id))
	is(false)
	mustDo(t, SetAutostart("org.example.None", false))
	if err := SetAutostart("no id", false); err == nil {
		t.Error("no id can be kept from starting")
	}
}
