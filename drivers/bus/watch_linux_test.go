package bus

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// watchPatience is how long a test waits for what should come at once.
const watchPatience = 20 * time.Second

// eachWatch runs a test for reads that the kernel's timer ends, and for those that the connection's own deadlines end.
func eachWatch(t *testing.T, test func(t *testing.T, link *tcpLink, peer net.Conn)) {
	t.Helper()
	for name, kernel := range map[string]bool{"Timer": true, "Deadline": false} {
		t.Run(name, func(t *testing.T) {
			link, peer := pair(t)
			if link.watch == nil {
				t.Fatal("the connection has no watch")
			}
			if !kernel {
				link.watch.close()
				link.watch = nil
			}
			test(t, link, peer)
		})
	}
}

// say has the peer send something and reads it.
func say(ctx context.Context, t *testing.T, link *tcpLink, peer net.Conn) {
	t.Helper()
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	var b [8]byte
	if n, err := link.read(ctx, b[:], time.Now().Add(watchPatience)); n != 1 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
}

// silence reads for a while when nothing comes.
func silence(ctx context.Context, link *tcpLink, d time.Duration) (took time.Duration, err error) {
	var b [8]byte
	start := time.Now()
	_, err = link.read(ctx, b[:], start.Add(d))
	return time.Since(start), err
}

// Reads last as long as they may: neither the timer of one before nor the end that it brought counts for the next.
func TestReadsEndInTime(t *testing.T) {
	eachWatch(t, func(t *testing.T, link *tcpLink, peer net.Conn) {
		for _, d := range []time.Duration{20, 1, 5, 30, 2} {
			d *= time.Millisecond
			if took, err := silence(t.Context(), link, d); !errors.Is(err, errTimeout) || took < d {
				t.Errorf("a read of %v ended after %v: %v", d, took, err)
			}
			say(t.Context(), t, link, peer)
		}
	})
}

// The timer that one read has set does for the next, which lasts as long as it may all the same.
func TestReadsOfABurstEndInTime(t *testing.T) {
	eachWatch(t, func(t *testing.T, link *tcpLink, peer net.Conn) {
		for range 3 {
			if _, err := peer.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			var b [1]byte
			if _, err := link.read(t.Context(), b[:], time.Now().Add(earliness)); err != nil {
				continue // a machine that is busy with other things
			}
			const longer = earliness + earliness/2
			if took, err := silence(t.Context(), link, longer); !errors.Is(err, errTimeout) || took < longer {
				t.Errorf("a read of %v ended after %v: %v", longer, took, err)
			}
		}
	})
}

// An answer that comes at the moment at which its read ends is read by that or by the next.
func TestReadsLoseNothingAtTheirEnd(t *testing.T) {
	eachWatch(t, func(t *testing.T, link *tcpLink, peer net.Conn) {
		const rounds = 300
		go func() {
			for range rounds {
				time.AfterFunc(time.Millisecond, func() { _, _ = peer.Write([]byte("x")) })
				<-time.After(2 * time.Millisecond)
			}
		}()
		var b [8]byte
		for got, end := 0, time.Now().Add(watchPatience); got < rounds; {
			n, err := link.read(t.Context(), b[:], time.Now().Add(time.Millisecond))
			if err != nil && !errors.Is(err, errTimeout) || time.Now().After(end) {
				t.Fatalf("%d of %d have come: %v", got, rounds, err)
			}
			got += n
		}
	})
}

// The end of a context ends the read under way, and no other.
func TestReadsEndWithTheirContext(t *testing.T) {
	eachWatch(t, func(t *testing.T, link *tcpLink, peer net.Conn) {
		for range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			say(ctx, t, link, peer)
			time.AfterFunc(time.Millisecond, cancel)
			if _, err := silence(ctx, link, watchPatience); !errors.Is(err, context.Canceled) {
				t.Fatalf("its context has ended: %v", err)
			}
			if _, err := silence(ctx, link, watchPatience); !errors.Is(err, context.Canceled) {
				t.Fatalf("its context had ended: %v", err)
			}
			say(t.Context(), t, link, peer)
		}
	})
}

// A context that ends between reads ends those of others neither before nor while they wait.
func TestReadsSurviveOtherContexts(t *testing.T) {
	eachWatch(t, func(t *testing.T, link *tcpLink, peer net.Conn) {
		for range 300 {
			ctx, cancel := context.WithCancel(t.Context())
			say(ctx, t, link, peer)
			go cancel()
			time.AfterFunc(time.Millisecond, func() { _, _ = peer.Write([]byte("x")) })
			var b [8]byte
			if n, err := link.read(t.Context(), b[:], time.Now().Add(watchPatience)); n != 1 || err != nil {
				t.Fatalf("another context has ended: read %d, %v", n, err)
			}
			say(context.Background(), t, link, peer)
		}
	})
}

func TestCloseEndsTheWatch(t *testing.T) {
	link, peer := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	say(ctx, t, link, peer)
	if err := link.close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-link.watch.ended:
	default:
		t.Error("the watch goes on")
	}
	if link.watch.stop != nil {
		t.Error("the context is still looked after")
	}
}

// A timer that expires before its time is set anew: else the read would last for ever.
func TestTheWatchOutlivesAnEarlyTimer(t *testing.T) {
	link, _ := pair(t)
	w := link.watch
	if err := w.begin(t.Context(), time.Now().Add(50*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.timer.Set(0)
	w.mu.Unlock()
	if err := link.conn.SetReadDeadline(time.Now().Add(watchPatience)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var b [1]byte
	if _, err := link.sock.read(b[:]); err == nil || time.Since(start) >= watchPatience {
		t.Errorf("the read ended after %v: %v", time.Since(start), err)
	}
	w.end()
}
