package localbroker

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// reunion is how long clients have to come back after a start, however old their sessions look: a board without a clock may have noted
// a time of leaving that lies years back.
const reunion = time.Hour

// offlineSince tells since when a recovered session has been without a connection, on this process's own clock: what happens to the wall
// clock from now on does not age it.
func offlineSince(disconnected, now time.Time, maxAge time.Duration) time.Time {
	if disconnected.IsZero() || maxAge < 0 {
		return now
	}
	age := min(now.Sub(disconnected), maxAge-min(maxAge, reunion))
	return now.Add(-max(age, 0))
}

// How often tend looks for what is due when it knows of nothing earlier, and at most.
const (
	lookEvery = time.Minute
	lookPause = 10 * time.Millisecond
)

// tend drops the sessions whose clients stay away too long and publishes wills whose delay has passed, until ctx ends.
func (b *Broker) tend(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-b.soon:
		}
		now := b.opts.Now()
		timer.Reset(max(b.look(now).Sub(now), lookPause))
	}
}

// expect notes that something is due at a moment, which is zero when nothing is. The broker's mu is held.
func (b *Broker) expect(at time.Time) {
	if at.IsZero() || !at.Before(b.nextLook) {
		return
	}
	b.nextLook = at
	select {
	case b.soon <- struct{}{}:
	default: // it is told already
	}
}

// look does what is due at a moment, and returns when to look again.
func (b *Broker) look(now time.Time) (next time.Time) {
	for id, cl := range b.due(now) {
		select {
		case cl.turn <- struct{}{}:
			b.tendClient(id, cl, now)
			b.release(id, cl)
		default: // its client is just coming back
			b.leave(id, cl)
		}
	}
	if now.Sub(b.swept) >= lookEvery {
		b.swept = now
		b.forgetExpired(now)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextLook = now.Add(lookEvery)
	for _, cl := range b.clients {
		if at := cl.deadline(&b.opts); !at.IsZero() && at.Before(b.nextLook) {
			b.nextLook = at
		}
	}
	return b.nextLook
}

// due returns the clients of whom something is due, each of them counted as in use.
func (b *Broker) due(now time.Time) map[string]*client {
	b.mu.Lock()
	defer b.mu.Unlock()
	due := make(map[string]*client)
	for id, cl := range b.clients {
		if at := cl.deadline(&b.opts); !at.IsZero() && !now.Before(at) {
			cl.users++
			due[id] = cl
		}
	}
	return due
}

// deadline returns when the client's session expires, or its will is to be published; zero when nothing is due. The broker's mu is held.
func (cl *client) deadline(o *Options) (at time.Time) {
	if cl.conn != nil {
		return at
	}
	if cl.will != nil {
		at = cl.will.Due
	}
	if cl.session == nil {
		return at
	}
	if end := cl.session.end(o); !end.IsZero() && (at.IsZero() || end.Before(at)) {
		at = end
	}
	return at
}

// tendClient does what is due of one client, whose turn the caller has.
func (b *Broker) tendClient(id string, cl *client, now time.Time) {
	b.mu.Lock()
	s, away, w := cl.session, cl.conn == nil, cl.will
	b.mu.Unlock()
	if !away {
		return
	}
	if w != nil && !now.Before(w.Due) {
		b.publishWill(b.takeWill(cl))
	}
	if s != nil && s.over(now, &b.opts) {
		b.dropSession(cl, nil)
		b.stats.expired.Add(1)
		b.log.Info("session expired", "client", id, "after", b.opts.lifetime(s.expiry))
	}
}

// end returns when a session without a connection ends; zero when it does not.
func (s *session) end(o *Options) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := o.lifetime(s.expiry)
	if kept < 0 || s.offline.IsZero() {
		return time.Time{}
	}
	return s.offline.Add(kept)
}

// over reports whether a session has been without a connection for as long as it was to be kept.
func (s *session) over(now time.Time, o *Options) bool {
	end := s.end(o)
	return !end.IsZero() && !now.Before(end)
}

// forgetExpired removes the retained messages that have expired (MQTT 5, 3.3.2.3.3).
func (b *Broker) forgetExpired(now time.Time) {
	b.retained.order.Lock()
	defer b.retained.order.Unlock()
	for _, m := range b.retained.expired(now) {
		topic := m.Topic
		b.retained.set(topic, &message{Message: gateway.Message{Topic: topic}}, false)
		b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.PutRetained{Message: &gateway.Message{Topic: topic}}}}, nil)
		b.stats.dropped.Add(1)
	}
}

// expired returns the messages that have expired.
func (r *retained) expired(now time.Time) (list []*message) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.byTopic {
		if expires(&k.msg.Message) {
			if _, ok := remaining(&k.msg.Message, now.Sub(k.msg.came())); !ok {
				list = append(list, k.msg)
			}
		}
	}
	return list
}
