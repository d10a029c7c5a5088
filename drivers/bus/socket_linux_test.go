package bus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// pair connects a link to a peer.
func pair(t *testing.T) (*tcpLink, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := newDialer(Options{Endpoint: l.Addr().String()})(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	link := dialled.(*tcpLink)
	if link.sock == nil {
		t.Fatal("the connection has no socket of its own")
	}
	t.Cleanup(func() { _, _ = link.close(), peer.Close() })
	return link, peer
}

// A connection takes what fits at once and waits with the rest.
func TestSocketWritesMoreThanFits(t *testing.T) {
	link, peer := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	got := make(chan []byte, 1)
	go func() {
		b := make([]byte, len(sent))
		n, _ := io.ReadFull(peer, b)
		got <- b[:n]
	}()
	if err := link.write(sent, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if b := <-got; !bytes.Equal(b, sent) {
		t.Errorf("%d of %d bytes have come, or others", len(b), len(sent))
	}
}

func TestSocketReads(t *testing.T) {
	link, peer := pair(t)
	var b [8]byte
	if n, err := link.read(t.Context(), b[:], past); !errors.Is(err, errTimeout) {
		t.Errorf("nothing has come: read %d, %v", n, err)
	}
	if n, err := link.read(t.Context(), b[:], time.Now().Add(10*time.Millisecond)); !errors.Is(err, errTimeout) {
		t.Errorf("nothing comes in time: read %d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := link.read(ctx, b[:], time.Now().Add(time.Minute)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: read %d, %v", n, err)
	}
	if !link.standing() {
		t.Error("the connection does not stand")
	}
	if _, err := peer.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if n, err := link.read(t.Context(), b[:], time.Now().Add(time.Minute)); err != nil || string(b[:n]) != "answer" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	_ = peer.Close()
	if n, err := link.read(t.Context(), b[:], time.Now().Add(time.Minute)); err == nil || n > 0 {
		t.Errorf("closed: read %d, %v", n, err)
	}
	if link.standing() {
		t.Error("the connection stands after its end")
	}
}
