package bus

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Real peers that refuse, reset and hang up, and a port that is not there, each have their own counter.
func TestFailuresAreCounted(t *testing.T) {
	reset := func(_ int, conn net.Conn) {
		var p [4]byte
		_, _ = io.ReadFull(conn, p[:])
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	hangUp := func(_ int, conn net.Conn) {
		var p [4]byte
		_, _ = io.ReadFull(conn, p[:])
		_ = conn.Close()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	for want, o := range map[Failure]Options{
		FailureReset:   {Endpoint: tcpServer(t, reset)},
		FailureClosed:  {Endpoint: tcpServer(t, hangUp)},
		FailureRefused: {Endpoint: nobody},
		FailureOpen:    {Port: filepath.Join(t.TempDir(), "ttyUSB0"), Mode: Mode{Baud: 9600}},
	} {
		t.Run(want.String(), func(t *testing.T) {
			b, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range uint64(3) {
				if n := b.Stats().Failures[want.String()]; n != i {
					t.Errorf("%d failures counted, want %d: %v", n, i, b.Stats().Failures)
				}
				if _, err := b.Exchange(t.Context(), ask("ping", "pong!")); err == nil {
					t.Fatal("Exchange() brought an answer")
				}
				_, _ = b.Exchange(t.Context(), ask("ping", "pong!")) // refused by the backoff: nothing was tried
				_ = b.Close()
			}
			for reason, n := range b.Stats().Failures {
				if n > 0 && reason != want.String() {
					t.Errorf("%d counted as %s", n, reason)
				}
			}
		})
	}
}

// A reason is found through what puts it into words.
func TestFailureOf(t *testing.T) {
	dial := func(err error) error {
		return fmt.Errorf("connect: %w", dialReason(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}))
	}
	for want, errs := range map[Failure][]error{
		FailureRefused:     {dial(syscall.ECONNREFUSED), connReason(syscall.ECONNREFUSED)},
		FailureUnreachable: {dial(syscall.EHOSTUNREACH), dial(syscall.ENETUNREACH)},
		FailureTimeout:     {dial(syscall.ETIMEDOUT)},
		FailureReset:       {connReason(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}), connReason(syscall.EPIPE)},
		FailureClosed:      {connReason(io.EOF)},
		FailureLost:        {errBroken},
	} {
		for _, err := range errs {
			if got := failureOf(fmt.Errorf("receive: %w", err), FailureLost); got != want {
				t.Errorf("%v is counted as %v, want %v", err, got, want)
			}
		}
	}
}

// A peer that accepts and hangs up is told a few times an hour.
func TestFlappingBusDoesNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		o := tcpOptions
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		b := fakeBus(t, o, func() (link, error) {
			l := newFakeLink()
			l.readErr = errBroken
			return l, nil
		})
		for end := time.Now().Add(6 * time.Hour); time.Now().Before(end); {
			_, _ = b.Exchange(t.Context(), ask("?", "yes"))
			if err := pause(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(log.String(), "bus open"); n > 90 || n < 70 || b.Stats().Opens < 2000 {
			t.Errorf("told %d times in six hours of %d openings, want no more than 90", n, b.Stats().Opens)
		}
		if !strings.Contains(log.String(), "left_out=") {
			t.Error("the log does not say how many were left out")
		}
	})
}
