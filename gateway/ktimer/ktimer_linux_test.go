package ktimer

import (
	"testing"
	"time"
)

func TestTimer(t *testing.T) {
	timer, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{5 * time.Millisecond, 0, -time.Second, time.Millisecond} {
		start := time.Now()
		timer.Set(time.Hour) // forgotten
		timer.Set(d)
		if err := timer.Wait(); err != nil || time.Since(start) < d {
			t.Fatalf("a timer of %v expired after %v: %v", d, time.Since(start), err)
		}
	}
	timer.Set(0)
	timer.Stop()
	ended := make(chan error)
	go func() { ended <- timer.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("a timer that was stopped expired: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := timer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the wait for a closed timer did not fail")
	}
}
