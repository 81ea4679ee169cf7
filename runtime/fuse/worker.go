// SPDX-License-Identifier: MIT

package fuse

import (
	"encoding/binary"
	"fmt"
	"math"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// worker takes one request after the other. What it needs for them is made once.
type worker struct {
	server *Server
	in     []byte // the request
	out    [replySize + entrySize]byte
	vector [2]unix.Iovec
	read   ReadRequest
	list   DirList

	unique    uint64        // guarded by Server.mu: request that is worked on, or 0
	cancel    chan struct{} // replaced under Server.mu while there is no request
	cancelled bool          // guarded by Server.mu: cancel is closed
}

// interrupt cancels what the worker works on. The caller holds Server.mu.
func (w *worker) interrupt() {
	if !w.cancelled {
		w.cancelled = true
		close(w.cancel)
	}
}

func (w *worker) run() {
	for {
		n, err := read(w.server.fd, w.in)
		if err != nil {
			w.server.stop(w, err)
			return
		}
		r, err := parse(w.in[:n])
		w.server.take(w, r.unique)
		if err == nil {
			w.handle(&r)
		} else if r.unique != 0 {
			w.fail(r.unique, syscall.EINVAL)
		}
		if !w.server.release(w) {
			return
		}
	}
}

// handle answers a request.
func (w *worker) handle(r *request) {
	answered := false
	defer func() {
		w.read.done()
		w.list.done()
		if v := recover(); v != nil {
			// Input that was not foreseen must not take all other applications down with it.
			w.server.log.Error("a request to the file system failed for a reason inside Glick", "reason", fmt.Sprint(v), "request", r.opcode)
			if !answered && r.opcode != opForget && r.opcode != opBatchForget {
				w.fail(r.unique, syscall.EIO)
			}
		}
	}()
	body, payload, errno := w.answer(r)
	answered = true
	switch {
	case errno == noAnswer:
	case errno != 0:
		w.fail(r.unique, errno)
	default:
		w.send(r.unique, body, payload)
	}
}

// noAnswer is not an error: the kernel expects nothing.
const noAnswer = syscall.Errno(math.MaxInt32)

// answer gives the answer to a request: body is what follows the header in w.out, payload follows that.
func (w *worker) answer(r *request) (body, payload []byte, errno syscall.Errno) {
	files := w.server.files
	body = w.out[replySize:replySize]
	if r.node == settleNode || w.server.settling.Load() > 0 && r.opcode == opLookup && r.node == RootID {
		if body, errno, ok := settle(r, body); ok {
			return body, nil, errno
		}
	}
	switch r.opcode {
	case opLookup:
		name, ok := r.name()
		if !ok {
			return nil, nil, syscall.EINVAL
		}
		var e Entry
		errno := files.Lookup(r.node, name, &e)
		return e.append(body), nil, errno

	case opForget:
		if len(r.body) >= 8 {
			files.Forget(r.node, binary.NativeEndian.Uint64(r.body))
		}
		return nil, nil, noAnswer

	case opBatchForget:
		if len(r.body) >= 8 {
			count := int64(binary.NativeEndian.Uint32(r.body))
			for list := r.body[8:]; count > 0 && len(list) >= 16; count-- {
				files.Forget(binary.NativeEndian.Uint64(list), binary.NativeEndian.Uint64(list[8:]))
				list = list[16:]
			}
		}
		return nil, nil, noAnswer

	case opGetAttr:
		var a Attr
		valid, errno := files.GetAttr(r.node, &a)
		return appendAttr(body, r.node, &a, valid), nil, errno

	case opReadlink:
		target, errno := files.Readlink(r.node)
		if errno == 0 && len(target) >= unix.PathMax {
			errno = syscall.ENAMETOOLONG
		}
		return body, []byte(target), errno

	case opRead:
		offset, size, ok := r.readIn()
		if !ok {
			return nil, nil, syscall.EINVAL
		}
		w.read = ReadRequest{Node: r.node, Offset: offset, Size: size, Cancel: w.cancel}
		data, errno := files.Read(&w.read)
		return body, data[:min(len(data), size)], errno

	case opReadDir, opReadDirPlus:
		offset, size, ok := r.readIn()
		if !ok {
			return nil, nil, syscall.EINVAL
		}
		w.list = DirList{Offset: uint64(offset), Plus: r.opcode == opReadDirPlus, buffer: getBuffer(size)[:0:size]}
		errno := files.ReadDir(r.node, &w.list)
		return body, w.list.buffer, errno

	case opStatFS:
		var s StatFS
		errno := files.StatFS(&s)
		return s.append(body), nil, errno

	case opInterrupt:
		if len(r.body) < 8 {
			return nil, nil, syscall.EINVAL
		}
		return w.interruptOther(binary.NativeEndian.Uint64(r.body))

	case opRelease, opReleaseDir, opDestroy:
		return body, nil, 0

	case opIoctl: // the usual one is the question whether the file is a terminal
		return nil, nil, syscall.ENOTTY

	case opSetAttr, opSymlink, opMknod, opMkdir, opUnlink, opRmdir, opRename, opLink, opWrite, opCreate, opFallocate,
		opRename2, opCopyFileRange, opTmpfile, opCopyFile64:
		return nil, nil, syscall.EROFS
	}
	// OPEN, OPENDIR, FLUSH, ACCESS, GETXATTR, POLL and others: the kernel remembers that it need not ask.
	return nil, nil, syscall.ENOSYS
}

// interruptOther answers an INTERRUPT.
func (w *worker) interruptOther(unique uint64) (body, payload []byte, errno syscall.Errno) {
	if w.server.interrupt(unique) {
		return nil, nil, noAnswer
	}
	if w.server.resumed && !w.server.Resumable() {
		// A process that has ended had taken it, most probably: nobody else will ever answer it.
		w.fail(unique, syscall.EINTR)
		return nil, nil, noAnswer
	}
	// It was read by another worker, who has not yet said so, or is answered already: the kernel asks again in the first case.
	return nil, nil, syscall.EAGAIN
}

// settle answers requests for the file of Settle; false when the request is none.
func settle(r *request, body []byte) ([]byte, syscall.Errno, bool) {
	a := Attr{Mode: syscall.S_IFREG | 0o444, Links: 1}
	switch {
	case r.opcode == opLookup:
		if name, ok := r.name(); r.node != RootID || !ok || name != settleName {
			return nil, 0, false
		}
		e := Entry{Node: settleNode, Attributes: a}
		return e.append(body), 0, true
	case r.opcode == opGetAttr:
		return appendAttr(body, r.node, &a, 0), 0, true
	case r.opcode == opForget:
		return nil, noAnswer, true
	}
	return nil, 0, false
}

// appendAttr writes a struct fuse_attr_out.
func appendAttr(b []byte, node uint64, a *Attr, valid time.Duration) []byte {
	b = binary.NativeEndian.AppendUint64(b, uint64(valid/time.Second))
	b = binary.NativeEndian.AppendUint32(b, uint32(valid%time.Second))
	b = binary.NativeEndian.AppendUint32(b, 0)
	return a.append(b, node)
}

// fail answers a request with an error.
func (w *worker) fail(unique uint64, errno syscall.Errno) {
	appendReply(w.out[:0], replySize, -int32(errno), unique)
	w.write(w.out[:replySize], nil)
}

// send answers a request. body is in w.out, behind the header.
func (w *worker) send(unique uint64, body, payload []byte) {
	head := w.out[:replySize+len(body)]
	appendReply(w.out[:0], len(head)+len(payload), 0, unique)
	w.write(head, payload)
}

// write writes an answer in one piece without copying it.
func (w *worker) write(head, payload []byte) {
	w.vector[0] = unix.Iovec{Base: &head[0]}
	w.vector[0].SetLen(len(head))
	count := 1
	if len(payload) > 0 {
		w.vector[1] = unix.Iovec{Base: &payload[0]}
		w.vector[1].SetLen(len(payload))
		count = 2
	}
	var errno syscall.Errno
	for {
		_, _, errno = syscall.Syscall(syscall.SYS_WRITEV, uintptr(w.server.fd), uintptr(unsafe.Pointer(&w.vector)), uintptr(count))
		if errno != syscall.EINTR {
			break
		}
	}
	w.vector = [2]unix.Iovec{} // a worker at rest holds on to nothing
	// Who has asked may be gone, and so may be the whole file system.
	if errno != 0 && errno != syscall.ENOENT && errno != syscall.ENODEV {
		w.server.log.Warn("the kernel does not take the answer to a request", "error", errno)
	}
}
