package bustest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// IO is one turn of a conversation, in hexadecimal with spaces where one likes.
type IO struct {
	W string // what the bus must send
	R string // what the device then sends; "" for a device that stays silent

	parts  []part // of R that come at their own times, from a trace
	hangUp bool   // the device then closes the connection
}

// part is a piece of an answer.
type part struct {
	at   time.Duration // after the request was there
	data []byte
}

// player answers requests as a conversation has them.
type player struct {
	t    testing.TB
	mu   sync.Mutex
	rest []IO
	left string // what was sent beyond the conversation
	over chan struct{}
}

func newPlayer(t testing.TB, ops []IO) *player {
	p := &player{t: t, rest: ops, over: make(chan struct{})}
	t.Cleanup(func() {
		close(p.over)
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.rest) > 0 {
			t.Errorf("%d requests were not sent; the next would be %s", len(p.rest), p.rest[0].W)
		}
		if p.left != "" {
			t.Errorf("sent beyond the conversation: %s", p.left)
		}
	})
	return p
}

// play serves one connection until it ends.
func (p *player) play(conn io.ReadWriter) {
	var buf [1024]byte
	n := 0
	for {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return
		}
		n += m
		used, op := p.turn(buf[:n])
		n = copy(buf[:], buf[used:n])
		if !p.answer(conn, op) || op.hangUp {
			return
		}
	}
}

// answer sends what the device says, and returns false when nobody listens any more.
func (p *player) answer(conn io.Writer, op IO) bool {
	if op.R != "" {
		op.parts = append([]part{{data: bytesOf(p.t, op.R)}}, op.parts...)
	}
	begin := time.Now()
	for _, part := range op.parts {
		if !p.wait(part.at - time.Since(begin)) {
			return false
		}
		if _, err := conn.Write(part.data); err != nil {
			return false
		}
	}
	return true
}

// wait returns false when the test is over.
func (p *player) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.over:
		return false
	}
}

// turn takes a request if it is complete, and returns its length and the turn that it begins.
func (p *player) turn(received []byte) (used int, op IO) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rest) == 0 {
		p.left += fmt.Sprintf("% x ", received)
		return len(received), IO{}
	}
	want := bytesOf(p.t, p.rest[0].W)
	if len(received) < len(want) && bytes.HasPrefix(want, received) {
		return 0, IO{}
	}
	if !bytes.HasPrefix(received, want) {
		p.t.Errorf("sent % x\nwant % x", received, want)
		p.rest = nil
		return len(received), IO{}
	}
	op = p.rest[0]
	p.rest = p.rest[1:]
	return len(want), op
}

// bytesOf reads hexadecimal.
func bytesOf(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Errorf("%q: %v", s, err)
	}
	return b
}

// PlayTCP plays a conversation back on a TCP endpoint, which it returns. When a connection ends the next one goes on with the conversation.
func PlayTCP(t testing.TB, ops []IO) (endpoint string) {
	t.Helper()
	p := newPlayer(t, ops)
	return serve(t, func(conn net.Conn) { p.play(conn) })
}

// serve handles connections one after the other until the end of the test.
func serve(t testing.TB, handle func(net.Conn)) (endpoint string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = conn
			mu.Unlock()
			handle(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		if open != nil {
			_ = open.Close()
		}
		mu.Unlock()
		<-done
	})
	return listener.Addr().String()
}

// RecordTCP passes a conversation on to the device at endpoint and writes it down. It returns the endpoint to use in its place, and a
// function that returns what was said so far.
func RecordTCP(t testing.TB, device string) (endpoint string, ops func() []IO) {
	t.Helper()
	var mu sync.Mutex
	var said []IO
	note := func(request, answer []byte) {
		mu.Lock()
		defer mu.Unlock()
		if request != nil {
			said = append(said, IO{W: fmt.Sprintf("% x", request)})
		}
		if answer != nil && len(said) > 0 {
			last := &said[len(said)-1]
			last.R = strings.TrimSpace(fmt.Sprintf("%s % x", last.R, answer))
		}
	}
	endpoint = serve(t, func(conn net.Conn) { relay(t, conn, device, note) })
	return endpoint, func() []IO {
		mu.Lock()
		defer mu.Unlock()
		return append([]IO(nil), said...)
	}
}

// relay copies both ways until either side ends.
func relay(t testing.TB, conn net.Conn, device string, note func(request, answer []byte)) {
	peer, err := net.Dial("tcp", device)
	if err != nil {
		t.Errorf("record: %v", err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tee(conn, peer, func(b []byte) { note(nil, b) })
		_ = conn.Close()
	}()
	tee(peer, conn, func(b []byte) { note(b, nil) })
	_ = peer.Close()
	<-done
}

// tee copies from src to dst and notes what it copies before it passes it on.
func tee(dst io.Writer, src io.Reader, note func([]byte)) {
	var buf [1024]byte
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			note(buf[:n])
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
