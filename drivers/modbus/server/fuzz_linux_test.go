package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/tidegate/tidegate/drivers/modbus/server"
)

// pair returns two connected sockets, of which either direction can be closed.
func pair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(file)
		_ = file.Close() // the connection has a descriptor of its own
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// FuzzServer sends anything: the server answers with whole frames that repeat the transaction, or ends the connection.
func FuzzServer(f *testing.F) {
	f.Add(adu(1, 1, 3, 0, 0, 0, 2))
	f.Add(append(adu(1, 1, 16, 0, 0, 0, 2, 4, 1, 2, 3, 4), adu(2, 1, 43, 14, 1, 0)...))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := pair(t)
		l := &oneConn{conn: theirs, closed: make(chan struct{})}
		r := newRig(t)
		r.usual()
		s, err := server.New(server.Options{Listener: l, Handler: r.Map})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		go func() {
			_, _ = ours.Write(b) // until the server has had enough
			_ = ours.CloseWrite()
		}()
		answers, _ := io.ReadAll(ours)
		_ = ours.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for rest := b; len(answers) > 0; {
			if len(answers) < 7 || len(answers) < 6+int(binary.BigEndian.Uint16(answers[4:])) {
				return // cut by the end of the connection
			}
			size := 6 + int(binary.BigEndian.Uint16(answers[4:]))
			if !bytes.Equal(answers[:4], rest[:4]) || answers[6] != rest[6] || size < 9 || size > 260 {
				t.Fatalf("answer % x to % x", answers, rest)
			}
			answers, rest = answers[size:], rest[6+int(binary.BigEndian.Uint16(rest[4:])):]
		}
	})
}

// FuzzMap asks a map anything: each answer is one to its function, no longer than a PDU may be, and a second read brings the same.
func FuzzMap(f *testing.F) {
	for _, pdu := range [][]byte{
		{3, 0, 0, 0, 7},
		{1, 0, 8, 0, 3},
		{5, 0, 8, 0xFF, 0},
		{6, 0, 2, 0, 1},
		{15, 0, 8, 0, 2, 1, 2},
		{16, 0, 0, 0, 2, 4, 0, 0, 0, 0},
		{22, 0, 4, 0x7F, 0xFF, 0, 0},
		{23, 0, 3, 0, 2, 0, 2, 0, 1, 2, 0, 1},
		{43, 14, 4, 2},
	} {
		f.Add(pdu)
	}
	f.Fuzz(func(t *testing.T, pdu []byte) {
		if len(pdu) == 0 || len(pdu) > 253 {
			return
		}
		r := newRig(t)
		r.usual()
		before := bytes.Clone(pdu)
		answer := r.Serve(t.Context(), 1, pdu)
		if !bytes.Equal(before, pdu) {
			t.Fatal("the request was changed")
		}
		switch {
		case len(answer) < 2 || len(answer) > 253 || answer[0]&0x7F != pdu[0]&0x7F:
			t.Fatalf("answer % x", answer)
		case answer[0]&0x80 != 0 && (len(answer) != 2 || answer[1] < 1 || answer[1] > 11):
			t.Fatalf("exception % x", answer)
		case pdu[0] <= 4 && !bytes.Equal(answer, r.Serve(t.Context(), 1, pdu)):
			t.Fatalf("two answers to % x", pdu)
		case answer[0]&0x80 != 0 && len(r.plant.set) > 0:
			t.Fatalf("refused and written: %v", r.plant.set)
		}
	})
}
