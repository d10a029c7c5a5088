package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The longest of the silences counts: that of the line, of the bus, and of the request.
func TestGapOfARequest(t *testing.T) {
	for name, opts := range map[string]Options{"TCP": tcpOptions, "Serial": serialOptions} {
		t.Run(name, func(t *testing.T) {
			opts.Gap = 20 * time.Millisecond
			synctest.Test(t, func(t *testing.T) {
				l := newFakeLink()
				b := fakeBus(t, opts, func() (link, error) { return l, nil })
				l.answer = func([]byte) { l.in <- []byte("yes") }
				mustExchange(t, b, ask("0", "yes"), "yes")
				for _, tc := range []struct{ gap, want time.Duration }{{0, 20 * time.Millisecond}, {5 * time.Millisecond, 20 * time.Millisecond}, {300 * time.Millisecond, 300 * time.Millisecond}} {
					before := time.Now()
					c := ask("?", "yes")
					c.Gap = tc.gap
					mustExchange(t, b, c, "yes")
					if got := l.sentAt[len(l.sentAt)-1].Sub(before); got != tc.want {
						t.Errorf("gap %v: sent after %v, want %v", tc.gap, got, tc.want)
					}
				}
			})
		})
	}
}

// A line whose frames are marked needs no silence.
func TestMarkedFramesNeedNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := serialOptions
		opts.Marked = true
		l := newFakeLink()
		b := fakeBus(t, opts, func() (link, error) { return l, nil })
		l.answer = func([]byte) { l.in <- []byte("yes") }
		start := time.Now()
		for range 3 {
			mustExchange(t, b, ask("?", "yes"), "yes")
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("three conversations waited %v", took)
		}
	})
}

// Nobody answers a broadcast: it returns at once, and the next request waits until the devices are done.
func TestBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, start := newFakeLink(), time.Now()
		b := fakeBus(t, serialOptions, func() (link, error) { return l, nil })
		if answer, err := b.Exchange(t.Context(), Conversation{Request: []byte("all"), Timeout: 200 * time.Millisecond}); answer != nil || err != nil {
			t.Fatalf("Exchange() = %q, %v, want nothing", answer, err)
		}
		sent := l.sentAt[0]
		if waited := time.Since(sent); waited != 0 || sent.Sub(start) > time.Second {
			t.Errorf("the broadcast was waited for, %v", waited)
		}
		l.answer = func([]byte) { l.in <- []byte("yes") }
		mustExchange(t, b, ask("?", "yes"), "yes")
		if got, want := l.sentAt[1].Sub(sent), serialOptions.Mode.Chars(3)+200*time.Millisecond; got != want {
			t.Errorf("next request after %v, want %v", got, want)
		}
	})
}

func TestIdleClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := tcpOptions
		opts.IdleClose = 5 * time.Second
		var links []*fakeLink
		b := fakeBus(t, opts, func() (link, error) {
			l := newFakeLink()
			l.answer = func([]byte) { l.in <- []byte("yes") }
			links = append(links, l)
			return l, nil
		})
		for range 4 { // used again and again, it stays
			mustExchange(t, b, ask("?", "yes"), "yes")
			<-time.After(4 * time.Second)
		}
		if len(links) != 1 || !b.Stats().Open {
			t.Fatalf("%d connections, open: %v, want one that stays", len(links), b.Stats().Open)
		}
		<-time.After(1001 * time.Millisecond)
		synctest.Wait()
		if !links[0].closed || b.Stats().Open {
			t.Fatal("a connection that was not used for 5 s is open")
		}
		mustExchange(t, b, ask("?", "yes"), "yes") // and is made again without a wait
		if len(links) != 2 {
			t.Errorf("%d connections, want 2", len(links))
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A conversation that lasts longer than the idle time keeps its connection.
func TestIdleCloseWaitsForConversations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := tcpOptions
		opts.IdleClose = 100 * time.Millisecond
		l := newFakeLink()
		b := fakeBus(t, opts, func() (link, error) { return l, nil })
		l.answer = func([]byte) { l.in <- []byte("yes") }
		mustExchange(t, b, ask("?", "yes"), "yes")
		l.answer = func([]byte) { time.AfterFunc(900*time.Millisecond, func() { l.in <- []byte("yes") }) }
		mustExchange(t, b, ask("?", "yes"), "yes")
		if !b.Stats().Open {
			t.Error("closed under a conversation")
		}
		<-time.After(101 * time.Millisecond)
		synctest.Wait()
		if !l.closed {
			t.Error("open after the idle time")
		}
	})
}

// Without an id an answer that comes late would be taken for the next one, over a device server as well.
func TestUntaggedStreamIsEmptiedFirst(t *testing.T) {
	received := make(chan struct{})
	endpoint := tcpServer(t, func(_ int, conn net.Conn) {
		go func() {
			defer conn.Close()
			var b [4]byte
			for range 3 {
				if _, err := io.ReadFull(conn, b[:]); err != nil {
					return
				}
				if _, err := io.WriteString(conn, "pong!late!"); err != nil { // the second half comes unasked
					return
				}
				received <- struct{}{}
			}
			_, _ = io.Copy(io.Discard, conn)
		}()
	})
	b, err := New(Options{Endpoint: endpoint, Untagged: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	c := ask("ping", "pong!")
	c.Find = func(received []byte) (Found, error) { // takes the first answer whatever it is
		if len(received) >= 5 {
			return Found{Frame: received[:5]}, nil
		}
		return Found{Need: 5 - len(received)}, nil
	}
	for range 3 {
		mustExchange(t, b, c, "pong!")
		<-received
	}
}

func TestUDP(t *testing.T) {
	device, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	done := make(chan struct{})
	defer func() { _ = device.Close(); <-done }()
	go func() {
		defer close(done)
		var b [64]byte
		for n := 0; ; n++ {
			_, from, err := device.ReadFrom(b[:])
			if err != nil {
				return
			}
			for _, s := range []string{"", "noise", "po", "ng!", "pong!"} { // parts of several are no answer
				_, _ = device.WriteTo([]byte(s), from)
			}
		}
	}()
	b, err := New(Options{Endpoint: device.LocalAddr().String(), Network: NetworkUDP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	for range 5 {
		mustExchange(t, b, ask("ping", "pong!"), "pong!")
	}
}

// Nobody there: the host says so, or nothing does.
func TestUDPWithoutDevice(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := closed.LocalAddr().String()
	_ = closed.Close()
	b, err := New(Options{Endpoint: endpoint, Network: NetworkUDP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	_, err = b.Exchange(t.Context(), ask("ping", "pong!"))
	var offline *OfflineError
	if !errors.As(err, &offline) || !strings.Contains(err.Error(), "connection refused: the host is there but nothing listens on this port") {
		t.Errorf("error = %v, want that nothing listens", err)
	}
}

// What a person is told when the other side of a TLS connection is not what it should be. The good case is tested with real servers
// where Modbus is spoken.
func TestTLSInWords(t *testing.T) {
	plain := tcpServer(t, func(_ int, conn net.Conn) { go echo(conn, -1, "this is no TLS record at all") })
	b, err := New(Options{Endpoint: plain, Network: NetworkTLS, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	_, err = b.Exchange(t.Context(), ask("ping", "pong!"))
	if err == nil || !strings.Contains(err.Error(), "the device does not speak TLS on this port: Modbus TCP Security is on port 802") {
		t.Errorf("error = %v, want that this is no TLS", err)
	}
	if certificateReason(io.EOF) != nil || certificateReason(tls.AlertError(116)) == nil {
		t.Error("certificateReason() takes other errors, or not an alert")
	}
}

// The exchange ends with its context, also while an unanswered broadcast holds the line.
func TestCancelWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLink()
		b := fakeBus(t, serialOptions, func() (link, error) { return l, nil })
		if _, err := b.Exchange(t.Context(), Conversation{Request: []byte("all"), Timeout: time.Hour}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Exchange(ctx, ask("?", "yes")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want the context's", err)
		}
	})
}
