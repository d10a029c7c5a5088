package websocket_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/tidegate/tidegate/gateway/websocket"
)

// counted counts the writes of a connection.
type counted struct {
	net.Conn
	writes atomic.Int32
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestEachPacketHasAMessage writes several packets at once: each comes in a message of its own, and all leave in one write. What is no whole packet
// leaves as it is.
func TestEachPacketHasAMessage(t *testing.T) {
	connack, suback := []byte{0x20, 2, 0, 0}, []byte{0x90, 3, 0, 1, 0}
	publish := append([]byte{0x30, 0x80, 0x01}, bytes.Repeat([]byte("p"), 128)...)
	large := append([]byte{0x30, 0x80, 0x80, 0x40}, bytes.Repeat([]byte("l"), 1<<20)...)
	for name, want := range map[string][][]byte{
		"one":               {connack},
		"two":               {connack, suback},
		"of many sizes":     {connack, publish, {0xd0, 0}, large, suback},
		"half a packet":     {connack, publish[:100]},
		"half a length":     {connack, {0x30, 0x80}},
		"one byte":          {connack, {0x30}},
		"no length at all":  {connack, {0x30, 0xff, 0xff, 0xff, 0xff, 0xff}},
		"not of any packet": {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	} {
		t.Run(name, func(t *testing.T) {
			server, raw, peer := gathered(t)
			before := raw.writes.Load()
			sent := make(chan error, 1)
			go func() {
				_, err := server.Write(slices.Concat(want...))
				sent <- err
			}()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for i, w := range want {
				kind, got, err := peer.Read(ctx)
				if err != nil || kind != coder.MessageBinary || !bytes.Equal(got, w) {
					t.Fatalf("message %d is %v of %d bytes (%v), want %d bytes", i, kind, len(got), err, len(w))
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if n := raw.writes.Load() - before; len(want) > 1 && n != 1 {
				t.Errorf("%d writes to the connection beneath, want 1", n)
			}
		})
	}
}

// gathered connects a client with a server whose writes are counted.
func gathered(t *testing.T) (server net.Conn, raw *counted, peer *coder.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan served, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			done <- served{nil, err}
			return
		}
		raw = &counted{Conn: nc}
		_ = raw.SetDeadline(time.Now().Add(patience))
		c, err := websocket.Serve(context.Background(), raw, paths)
		done <- served{c, err}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	peer, _, err = coder.Dial(ctx, "ws://"+ln.Addr().String()+"/mqtt", &coder.DialOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		t.Fatal(err)
	}
	peer.SetReadLimit(-1)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { cut(got.conn); _ = peer.CloseNow() })
	return got.conn, raw, peer
}
