package certs_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/gateway/certs"
)

const day = 24 * time.Hour

// TestWatchWarnsOnceADay from 14 days before the end of the certificate, and no more once another one is there.
func TestWatchWarnsOnceADay(t *testing.T) {
	ca := transporttest.NewCA(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, o *certs.Options) {
			r.ca, r.pair = ca, ca.Issue(t, transporttest.Leaf{Ends: time.Now().Add(20*day + time.Minute)})
			o.CertFile, o.KeyFile, o.Now = r.pair.CertFile, r.pair.KeyFile, time.Now
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.server.Watch(ctx) }()
		lines := func(after time.Duration, words string, want int) {
			t.Helper()
			<-time.After(after)
			synctest.Wait()
			if got := strings.Count(r.log.String(), words); got != want {
				t.Errorf("%d lines with %q, want %d:\n%s", got, words, want, &r.log)
			}
		}
		lines(6*day, "ends soon", 0)
		lines(time.Hour, `left="13 days"`, 1)
		lines(22*time.Hour, "ends soon", 1)
		lines(12*day+2*time.Hour, "ends soon", 14)
		lines(0, `left="23 hours"`, 1)
		lines(2*day, "has expired", 2)
		r.renew(ca.Issue(t, transporttest.Leaf{Ends: time.Now().Add(100 * day)}))
		r.log.Reset()
		lines(80*day, "level=WARN", 0)
		if left := time.Until(r.server.Expiry()); left > 20*day {
			t.Errorf("Expiry tells %v to the end though nobody has connected", left)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestExpiredAtTheStartIsToldOnce: New and Watch do not both say so.
func TestExpiredAtTheStartIsToldOnce(t *testing.T) {
	r := newRig(t, func(r *rig, _ *certs.Options) { r.clock.advance(1000 * day) })
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.server.Watch(ctx); err != nil || strings.Count(r.log.String(), "has expired") != 1 {
		t.Errorf("%v, the log says:\n%s", err, &r.log)
	}
}
