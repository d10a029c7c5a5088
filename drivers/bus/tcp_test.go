package bus

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// tcpServer accepts connections and hands each to serve, which owns it.
func tcpServer(t *testing.T, serve func(n int, conn net.Conn)) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(n, conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// echo answers count requests of four bytes and then closes the connection.
func echo(conn net.Conn, count int, answer string) {
	defer conn.Close()
	var b [4]byte
	for ; count != 0; count-- {
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

func tcpBus(t *testing.T, endpoint string) *Bus {
	t.Helper()
	b, err := New(Options{Endpoint: endpoint, ReopenMin: time.Nanosecond, ReopenMax: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestTCP(t *testing.T) {
	b := tcpBus(t, tcpServer(t, func(_ int, conn net.Conn) { go echo(conn, -1, "pong!") }))
	for range 100 {
		mustExchange(t, b, ask("ping", "pong!"), "pong!")
	}
	if n := b.Stats().Opens; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// Many devices close a connection that was idle for a while. That costs no poll.
func TestTCPClosedByPeerWhileIdle(t *testing.T) {
	closed := make(chan struct{})
	b := tcpBus(t, tcpServer(t, func(_ int, conn net.Conn) {
		go func() {
			echo(conn, 1, "pong!")
			closed <- struct{}{}
		}()
	}))
	for range 20 {
		mustExchange(t, b, ask("ping", "pong!"), "pong!")
		<-closed
		waitFor(t, "the end of the stream", func() bool { return !b.link.standing() })
	}
	if n := b.Stats().Opens; n != 20 {
		t.Errorf("%d connections, want 20", n)
	}
}

// waitFor polls for what the kernel does in its own time.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s did not come", what)
		}
	}
}

func TestTCPReset(t *testing.T) {
	b := tcpBus(t, tcpServer(t, func(n int, conn net.Conn) {
		if n%2 == 1 {
			go echo(conn, -1, "pong!")
			return
		}
		var p [4]byte
		_, _ = io.ReadFull(conn, p[:])
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}))
	for range 10 {
		var offline *OfflineError
		if _, err := b.Exchange(t.Context(), ask("ping", "pong!")); !errors.As(err, &offline) {
			t.Fatalf("Exchange() error = %v, want an OfflineError", err)
		}
		waitFor(t, "the end of the backoff", func() bool { return time.Now().After(b.retryAt) })
		mustExchange(t, b, ask("ping", "pong!"), "pong!")
		_ = b.Close()
	}
}

func TestTCPRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := l.Addr().String()
	_ = l.Close()
	_, err = tcpBus(t, endpoint).Exchange(t.Context(), ask("ping", "pong!"))
	want := "connect to " + endpoint + ": connection refused: the host is there but nothing listens on this port"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error = %v\nwant    %v", err, want)
	}
}

func TestTCPCancelEndsTheWait(t *testing.T) {
	asked := make(chan net.Conn)
	b := tcpBus(t, tcpServer(t, func(_ int, conn net.Conn) {
		var p [4]byte
		_, _ = io.ReadFull(conn, p[:])
		asked <- conn
	}))
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		c := ask("ping", "pong!")
		c.Timeout = time.Hour
		_, err := b.Exchange(ctx, c)
		failed <- err
	}()
	conn := <-asked
	defer conn.Close()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Exchange() error = %v, want the context's", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the server read %v, want the end of the connection", err)
	}
}

// A TCP answer may come in any pieces.
func TestTCPAnswerInPieces(t *testing.T) {
	b := tcpBus(t, tcpServer(t, func(_ int, conn net.Conn) {
		defer conn.Close()
		var p [4]byte
		_, _ = io.ReadFull(conn, p[:])
		for _, c := range []byte("pong!") {
			_, _ = conn.Write([]byte{c})
		}
		_, _ = io.Copy(io.Discard, conn)
	}))
	mustExchange(t, b, ask("ping", "pong!"), "pong!")
	_ = b.Close()
}
