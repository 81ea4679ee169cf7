// SPDX-License-Identifier: MIT

package fuse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"syscall"
)

// Requests, see enum fuse_opcode.
const (
	opLookup        = 1
	opForget        = 2
	opGetAttr       = 3
	opSetAttr       = 4
	opReadlink      = 5
	opSymlink       = 6
	opMknod         = 8
	opMkdir         = 9
	opUnlink        = 10
	opRmdir         = 11
	opRename        = 12
	opLink          = 13
	opOpen          = 14
	opRead          = 15
	opWrite         = 16
	opStatFS        = 17
	opRelease       = 18
	opInit          = 26
	opReadDir       = 28
	opReleaseDir    = 29
	opCreate        = 35
	opInterrupt     = 36
	opDestroy       = 38
	opIoctl         = 39
	opBatchForget   = 42
	opFallocate     = 43
	opReadDirPlus   = 44
	opRename2       = 45
	opCopyFileRange = 47
	opTmpfile       = 51
	opCopyFile64    = 53
)

// Notifications, see enum fuse_notify_code.
const (
	notifyInvalInode = 2
	notifyInvalEntry = 3
	notifyResend     = 7
)

// Flags of INIT.
const (
	flagAsyncRead     = 1 << 0
	flagBigWrites     = 1 << 5
	flagReadDirPlus   = 1 << 13
	flagReadDirAuto   = 1 << 14
	flagNoOpen        = 1 << 17
	flagParallelDirs  = 1 << 18
	flagMaxPages      = 1 << 22
	flagCacheSymlinks = 1 << 23
	flagNoOpenDir     = 1 << 24
	flagExplicitInval = 1 << 25
	flagInitExt       = 1 << 30
	flagHasResend     = 1 << 39
)

// wanted are the flags that are used when the kernel has them.
const wanted = flagAsyncRead | flagBigWrites | flagReadDirPlus | flagReadDirAuto | flagNoOpen | flagParallelDirs |
	flagMaxPages | flagCacheSymlinks | flagNoOpenDir | flagExplicitInval | flagInitExt | flagHasResend

const (
	protocolMajor = 7
	protocolMinor = 40 // nothing that came later is used
	oldestMinor   = 31 // the first with all that an application's start without requests needs

	headerSize  = 40 // struct fuse_in_header
	replySize   = 16 // struct fuse_out_header
	initInSize  = 16 // struct fuse_init_in, what all kernels send of it
	initOutSize = 64 // struct fuse_init_out

	// Nothing is written, and so the kernel accepts small buffers for requests. The largest is an ioctl with its argument.
	maxWrite  = 4096
	inputSize = 32 << 10
	// A predecessor may have agreed on more than MaxRead.
	mostRead = 16 << 20

	maxBackground = 64
)

// request is a request as the kernel has sent it.
type request struct {
	opcode uint32
	unique uint64 // names the request; the highest bit says that it is delivered again, and belongs to the name
	node   uint64
	body   []byte // without extensions
}

var errRequest = errors.New("a request from the kernel has an impossible size")

// parse splits a request. When it fails only unique is right, or 0.
func parse(raw []byte) (request, error) {
	if len(raw) < headerSize {
		return request{}, errRequest
	}
	e := binary.NativeEndian
	r := request{opcode: e.Uint32(raw[4:]), unique: e.Uint64(raw[8:]), node: e.Uint64(raw[16:])}
	end := len(raw) - 8*int(e.Uint16(raw[36:]))
	if int64(e.Uint32(raw)) != int64(len(raw)) || end < headerSize {
		return r, errRequest
	}
	r.body = raw[headerSize:end]
	return r, nil
}

// name takes the name out of a body that is nothing else.
func (r *request) name() (string, bool) {
	last := len(r.body) - 1
	if last < 1 || r.body[last] != 0 {
		return "", false
	}
	for _, c := range r.body[:last] {
		if c == 0 || c == '/' {
			return "", false
		}
	}
	return string(r.body[:last]), true
}

// readIn takes offset and size out of a struct fuse_read_in. Nothing is made shorter: that would say where the file ends.
func (r *request) readIn() (offset int64, size int, ok bool) {
	if len(r.body) < 24 {
		return 0, 0, false
	}
	at, length := binary.NativeEndian.Uint64(r.body[8:]), binary.NativeEndian.Uint32(r.body[16:])
	return int64(at), int(length), at <= math.MaxInt64-mostRead && length <= mostRead
}

// appendReply writes a struct fuse_out_header for a reply of size bytes in all.
func appendReply(b []byte, size int, code int32, unique uint64) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(size))
	b = binary.NativeEndian.AppendUint32(b, uint32(code))
	return binary.NativeEndian.AppendUint64(b, unique)
}

// settings are what was agreed with the kernel.
type settings struct {
	minor    uint32
	flags    uint64
	maxWrite uint32 // how many bytes a buffer must have room for besides the headers
}

// negotiate answers an INIT request. The kernel says the same again when it is told another major version.
func negotiate(r request, pageSize int) (s settings, reply []byte, again bool, err error) {
	if r.opcode != opInit || len(r.body) < initInSize {
		return s, nil, false, errors.New("the kernel has not begun with its hello: somebody else has served this file system before")
	}
	e := binary.NativeEndian
	major, minor, readahead := e.Uint32(r.body), e.Uint32(r.body[4:]), e.Uint32(r.body[8:])
	offered := uint64(e.Uint32(r.body[12:]))
	if offered&flagInitExt != 0 && len(r.body) >= initInSize+4 {
		offered |= uint64(e.Uint32(r.body[16:])) << 32
	}
	switch {
	case major > protocolMajor:
		again = true
	case major < protocolMajor, minor < oldestMinor:
		err = fmt.Errorf("the kernel speaks version %d.%d of FUSE; Linux 5.2 or newer is needed: %w", major, minor, syscall.EPROTO)
		return s, appendReply(nil, replySize, -int32(syscall.EPROTO), r.unique), false, err
	default:
		s = settings{minor: min(minor, protocolMinor), flags: offered & wanted, maxWrite: maxWrite}
	}
	b := appendReply(nil, replySize+initOutSize, 0, r.unique)
	b = e.AppendUint32(b, protocolMajor)
	b = e.AppendUint32(b, max(s.minor, oldestMinor))
	b = e.AppendUint32(b, readahead)
	b = e.AppendUint32(b, uint32(s.flags))
	b = e.AppendUint16(b, maxBackground)
	b = e.AppendUint16(b, maxBackground*3/4) // from here on the device counts as congested
	b = e.AppendUint32(b, maxWrite)
	b = e.AppendUint32(b, 1) // granularity of times, in nanoseconds
	b = e.AppendUint16(b, uint16(MaxRead/pageSize))
	b = e.AppendUint16(b, 0)
	b = e.AppendUint32(b, uint32(s.flags>>32))
	return s, append(b, make([]byte, replySize+initOutSize-len(b))...), again, nil
}

const (
	stateVersion = 1
	stateSize    = 3*4 + 8 // version, minor, maxWrite, flags
)

// encode makes a State of the settings.
func (s settings) encode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, stateVersion)
	b = binary.LittleEndian.AppendUint32(b, s.minor)
	b = binary.LittleEndian.AppendUint32(b, s.maxWrite)
	return binary.LittleEndian.AppendUint64(b, s.flags)
}

// decodeState reads what encode has made; what a later version has added behind it is left alone.
func decodeState(state []byte) (settings, error) {
	e := binary.LittleEndian
	if len(state) < stateSize || e.Uint32(state) != stateVersion {
		return settings{}, errors.New("the state of the service before is not understood; please start all applications from bundles again")
	}
	return settings{minor: e.Uint32(state[4:]), maxWrite: e.Uint32(state[8:]), flags: e.Uint64(state[12:])}, nil
}
