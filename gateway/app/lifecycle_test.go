package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStopGoesInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []string
		l := newLifecycle(slog.New(slog.DiscardHandler))
		for _, name := range []string{"buffer", "broker", "engine"} {
			l.start(t.Context(), name, time.Second, func(ctx context.Context) error {
				<-ctx.Done()
				time.AfterFunc(0, func() {}) // yield to the bubble's clock
				ended = append(ended, name)
				return nil
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.wait(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"engine", "broker", "buffer"}, ended); diff != "" {
			t.Error(diff)
		}
		if err := l.stop(); err != nil {
			t.Errorf("second stop: %v", err)
		}
	})
}

func TestStepThatFailsEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLifecycle(slog.New(slog.DiscardHandler))
		l.start(t.Context(), "buffer", time.Second, func(ctx context.Context) error { <-ctx.Done(); return nil })
		l.start(t.Context(), "broker", time.Second, func(context.Context) error { return errors.New("boom") })
		err := l.wait(t.Context(), nil)
		if err == nil || err.Error() != "broker: boom" {
			t.Errorf("got %v", err)
		}
		if err := l.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
}

func TestStepThatHangsIsNamedAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stopped := false
		l := newLifecycle(slog.New(slog.DiscardHandler))
		l.start(t.Context(), "buffer", time.Second, func(ctx context.Context) error { <-ctx.Done(); stopped = true; return nil })
		l.start(t.Context(), "bridge cloud", 3*time.Second, func(context.Context) error { <-release; return nil })
		err := l.stop()
		if err == nil || !strings.Contains(err.Error(), "stop bridge cloud: not done within 3s") {
			t.Errorf("got %v", err)
		}
		if !stopped {
			t.Error("the buffer was not stopped")
		}
		close(release)
	})
}

// TestManyStepsLeaveNothing: each listener and upstream is a step, and nobody bounds how many a file has.
func TestManyStepsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLifecycle(slog.New(slog.DiscardHandler))
		for range 100 {
			l.start(t.Context(), "listener", time.Second, func(ctx context.Context) error { <-ctx.Done(); return nil })
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	}) // fails when a goroutine is left
}
