package certs

import (
	"context"
	"fmt"
	"time"
)

// When the end of a certificate is told of in the log.
const (
	warnBefore = 14 * 24 * time.Hour
	warnEvery  = 24 * time.Hour
	watchEvery = time.Hour // the clock may be set, and files replaced, at any time
)

// Expiry is when the certificate ends that the next client is shown. It reads files that were replaced, as a handshake does.
func (s *Server) Expiry() time.Time {
	s.current()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expiry
}

// Watch warns in the log, once a day from 14 days before the certificate ends, until ctx does.
func (s *Server) Watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var told time.Time
	if now := s.opts.Now(); now.After(s.Expiry()) {
		told = now // New has said so
	}
	for {
		told = s.warn(told)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// warn says how long the certificate is good for, if that is due, and returns when that was said last.
func (s *Server) warn(told time.Time) time.Time {
	now, expiry := s.opts.Now(), s.Expiry()
	left, since := expiry.Sub(now), now.Sub(told)
	if left > warnBefore || since >= 0 && since < warnEvery {
		return told
	}
	log := s.opts.Logger.With("certificate", s.opts.CertFile, "expires", expiry.UTC().Format(time.RFC3339))
	if left <= 0 {
		log.Warn("the certificate has expired, clients refuse it: renew it, or set the clock if that is wrong")
	} else {
		log.Warn("the certificate ends soon, and clients will refuse it then: renew it, or set the clock if that is wrong", "left", days(left))
	}
	return now
}

// days is a time as a person counts it.
func days(d time.Duration) string {
	if n := int(d / (24 * time.Hour)); n > 1 {
		return fmt.Sprint(n, " days")
	}
	return fmt.Sprint(int(d/time.Hour), " hours")
}
