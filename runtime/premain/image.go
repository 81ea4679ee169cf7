// SPDX-License-Identifier: MIT

package premain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// What the first argument of a process says when this package has to do with it.
const (
	PlanMarker   = "glick:plan"   // the second argument is the descriptor of an image to execute
	FailedMarker = "glick:failed" // the second argument is the descriptor of an image that could not be executed
)

// An image is an array of 64-bit words in the machine's byte order (both supported machines are little endian):
//
//	0  magic        1  size in bytes
//	2  relocations: offset     3  count
//	4  operations: offset      5  count
//	6  outcome: 1 + the operation that failed, errno (two words, written by the executor)
//	8  notes: offset           9  size: length-prefixed strings, one for each operation, then the context's
//
// A relocation is the offset of a word to which the executor adds the address of the image. An operation is kind, system
// call number, six arguments, the least result that counts as success, and flags.
const (
	magic    = 0x316e616c506b6c47 // "GlkPlan1"
	maxImage = 16 << 20

	headMagic      = 0
	headTotal      = 1
	headRelocs     = 2
	headRelocCount = 3
	headOps        = 4
	headOpCount    = 5
	headOutcome    = 6
	headNotes      = 8
	headNotesSize  = 9
	headSize       = 80

	opKind   = 0
	opNumber = 8
	opArgs   = 16
	opLeast  = 64
	opFlags  = 72
	opSize   = 80

	kindCall      = 0
	kindOpen      = 1
	kindWriteFile = 2
	kindProgram   = 3

	flagOptional = 1

	noFD = 1 << 31
)

// The messages by which the fast way gets its image from the session service, on a SOCK_SEQPACKET socket. The request is 'P',
// [RequestVersion], from byte 8 on four words (the number of the socket, and three numbers that the plan may give to
// descriptors), and then three strings, each with a zero byte behind it: the working folder, the path of the bundle, and the
// value of GLICK_EXEC. With it comes the descriptor of the bundle. The answer is 'P', and from byte [ReplyHead] on the image.
const (
	RequestVersion = 1
	RequestNumbers = 8
	RequestStrings = 40
	ReplyHead      = 8
	MaxReply       = 64 << 10
)

// NoFD is the descriptor number for [Image.Open] that closes the file at once.
const NoFD = noFD

// Image is a list of system calls with all that their arguments point to. The zero value is empty and ready.
type Image struct {
	data   []byte // starts behind the head
	relocs []uint64
	ops    [][opSize / 8]uint64
	marks  []uint64 // positions in ops, as op<<8|word, that hold a pointer into data
	notes  []string
	err    error // the first mistake of who makes the image
}

func (m *Image) fail(format string, a ...any) {
	if m.err == nil {
		m.err = fmt.Errorf("the plan is wrong: "+format, a...)
	}
}

// Ref is the place of something that was put into an image.
type Ref uint64

// Bytes puts b into the image.
func (m *Image) Bytes(b []byte) Ref {
	for len(m.data)%8 != 0 {
		m.data = append(m.data, 0)
	}
	at := Ref(headSize + len(m.data))
	m.data = append(m.data, b...)
	return at
}

// CString puts s and a closing zero byte into the image.
func (m *Image) CString(s string) Ref { return m.Bytes(append([]byte(s), 0)) }

// Words puts 64-bit words into the image; those that are a Ref become pointers.
func (m *Image) Words(words ...any) Ref {
	b := make([]byte, 0, 8*len(words))
	var refs []int
	for i, w := range words {
		switch w := w.(type) {
		case Ref:
			refs = append(refs, i)
			b = binary.LittleEndian.AppendUint64(b, uint64(w))
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, w)
		case int:
			b = binary.LittleEndian.AppendUint64(b, uint64(w))
		default:
			m.fail("a word cannot be a %T", w)
		}
	}
	at := m.Bytes(b)
	for _, i := range refs {
		m.relocs = append(m.relocs, uint64(at)+uint64(i)*8)
	}
	return at
}

// Strings puts an array of pointers to strings, ended by a null pointer, into the image.
func (m *Image) Strings(list []string) Ref {
	words := make([]any, 0, len(list)+1)
	for _, s := range list {
		words = append(words, m.CString(s))
	}
	return m.Words(append(words, 0)...)
}

func (m *Image) add(note string, optional bool, kind uint64, number uintptr, least uint64, args ...any) {
	op := [opSize / 8]uint64{opKind / 8: kind, opNumber / 8: uint64(number), opLeast / 8: least}
	if optional {
		op[opFlags/8] = flagOptional
	}
	for i, a := range args {
		switch a := a.(type) {
		case Ref:
			op[opArgs/8+i] = uint64(a)
			m.marks = append(m.marks, uint64(len(m.ops))<<8|uint64(opArgs/8+i))
		case string:
			op[opArgs/8+i] = uint64(m.CString(a))
			m.marks = append(m.marks, uint64(len(m.ops))<<8|uint64(opArgs/8+i))
		case int:
			op[opArgs/8+i] = uint64(a)
		case uintptr:
			op[opArgs/8+i] = uint64(a)
		default:
			m.fail("an argument cannot be a %T", a)
		}
	}
	m.ops = append(m.ops, op)
	m.notes = append(m.notes, note)
}

// Call adds a system call. An argument is an int, a uintptr, a Ref, or a string that the call gets as a C string. A result
// below least counts as failure. The note is for [Failure]; the failure of an optional operation is passed over.
func (m *Image) Call(note string, optional bool, least int, number uintptr, args ...any) {
	m.add(note, optional, kindCall, number, uint64(least), args...)
}

// Open adds the opening of a file, which gets the descriptor number fd (closed on exec), or none with [NoFD].
func (m *Image) Open(note string, optional bool, path string, flags, mode, fd int) {
	m.add(note, optional, kindOpen, 0, 0, path, flags|syscall.O_CLOEXEC, mode, fd)
}

// WriteFile adds the writing of data, by one system call, into a file that exists.
func (m *Image) WriteFile(note string, path, data string) {
	m.add(note, false, kindWriteFile, 0, 0, path, m.Bytes([]byte(data)), len(data))
}

// Program adds the execution of a program by a process on the fast way: with the process's own arguments behind the program's
// path, and with its own environment, but for the variables in drop (names without "="), and the variables in env besides.
func (m *Image) Program(note, path string, env, drop []string) {
	names := make([]string, len(drop))
	for i, name := range drop {
		names[i] = name + "="
	}
	m.add(note, false, kindProgram, 0, 0, path, m.Strings(env), m.Strings(names))
}

// Encode is the finished image. The context comes back in [Failure].
func (m *Image) Encode(context []string) ([]byte, error) {
	if m.err != nil {
		return nil, m.err
	}
	var notes []byte
	for _, list := range [][]string{m.notes, context} {
		for _, s := range list {
			notes = binary.LittleEndian.AppendUint32(notes, uint32(len(s)))
			notes = append(notes, s...)
		}
	}
	notesAt := m.Bytes(notes)
	opsAt := m.Bytes(nil)
	for _, op := range m.ops {
		for _, w := range op {
			m.data = binary.LittleEndian.AppendUint64(m.data, w)
		}
	}
	for _, k := range m.marks {
		m.relocs = append(m.relocs, uint64(opsAt)+(k>>8)*opSize+(k&0xff)*8)
	}
	relocsAt := m.Bytes(nil)
	for _, r := range m.relocs {
		m.data = binary.LittleEndian.AppendUint64(m.data, r)
	}
	total := headSize + len(m.data)
	if total > maxImage {
		return nil, fmt.Errorf("arguments and environment are too long: %w", syscall.E2BIG)
	}
	head := [headSize / 8]uint64{
		headMagic: magic, headTotal: uint64(total),
		headRelocs: uint64(relocsAt), headRelocCount: uint64(len(m.relocs)),
		headOps: uint64(opsAt), headOpCount: uint64(len(m.ops)),
		headNotes: uint64(notesAt), headNotesSize: uint64(len(notes)),
	}
	out := make([]byte, 0, total)
	for _, w := range head {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return append(out, m.data...), nil
}

// Failure is what became of an image.
type Failure struct {
	Op      int           // which operation failed, from 0
	Note    string        // its note
	Errno   syscall.Errno // what the kernel said; ECONNRESET when a result was below the least one
	Context []string      // what was given to Encode
	Args    []string      // the arguments of a process on the fast way, which Encode did not know
}

var errImage = errors.New("the plan is damaged")

// ReadFailure reads from an executed image what failed.
func ReadFailure(r io.ReaderAt) (*Failure, error) {
	var raw [headSize]byte
	if _, err := r.ReadAt(raw[:], 0); err != nil {
		return nil, fmt.Errorf("%w: %w", errImage, err)
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(raw[i*8:]) }
	total, at, size, count := word(headTotal), word(headNotes), word(headNotesSize), word(headOpCount)
	if word(headMagic) != magic || total > maxImage || at > total || size > total-at || word(headOutcome) == 0 {
		return nil, errImage
	}
	notes := make([]byte, size)
	if _, err := r.ReadAt(notes, int64(at)); err != nil {
		return nil, fmt.Errorf("%w: %w", errImage, err)
	}
	var all []string
	for len(notes) > 0 {
		if len(notes) < 4 {
			return nil, errImage
		}
		length := uint64(binary.LittleEndian.Uint32(notes))
		if length > uint64(len(notes)-4) {
			return nil, errImage
		}
		all = append(all, string(notes[4:4+length]))
		notes = notes[4+length:]
	}
	if uint64(len(all)) < count {
		return nil, errImage
	}
	f := &Failure{Op: int(word(headOutcome) - 1), Errno: syscall.Errno(word(headOutcome + 1)), Context: all[count:]}
	if uint64(f.Op) < count {
		f.Note = all[f.Op]
	}
	// Behind the image, each with a zero byte at its end.
	const most = 4 << 20
	rest := make([]byte, most)
	n, err := r.ReadAt(rest, int64(total))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", errImage, err)
	}
	if n > 0 && rest[n-1] == 0 {
		f.Args = strings.Split(string(rest[:n-1]), "\x00")
	}
	return f, nil
}
