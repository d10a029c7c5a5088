package localbroker

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// counters are what Stats tells, apart from what can be counted when it is asked for.
type counters struct {
	received, sent    atomic.Uint64
	bytesIn, bytesOut atomic.Uint64
	dropped           atomic.Uint64
	refused           atomic.Uint64
	malformed         atomic.Uint64
	denied            atomic.Uint64
	limited           atomic.Uint64
	sharing           atomic.Int64 // subscriptions beyond the first of each shared one

	// For $SYS alone.
	packetsIn, answers    atomic.Uint64 // packets of any kind received, and those of them that are answered by one
	payloadIn, payloadOut atomic.Uint64 // bytes of payload of PUBLISH packets
	sockets, connects     atomic.Uint64 // connections accepted by listeners, and by CONNACK
	expired               atomic.Uint64 // sessions
}

// Stats returns a snapshot of the broker's figures.
func (b *Broker) Stats() gateway.BrokerStats {
	st := gateway.BrokerStats{
		Subscriptions: b.tree.subscriptions() + int(b.stats.sharing.Load()),
		Received:      b.stats.received.Load(),
		Sent:          b.stats.sent.Load(),
		BytesIn:       b.stats.bytesIn.Load(),
		BytesOut:      b.stats.bytesOut.Load(),
		Dropped:       b.stats.dropped.Load(),
		Refused:       b.stats.refused.Load(),
		Malformed:     b.stats.malformed.Load(),
		Denied:        b.stats.denied.Load(),
		Limited:       b.stats.limited.Load(),
	}
	st.Retained, _ = b.retained.stats()
	b.mu.Lock()
	defer b.mu.Unlock()
	st.Connections, st.Sessions = len(b.conns), b.sessions
	return st
}

// RefusedRetained returns how many messages were delivered but not retained, because of the limits of retained messages.
func (b *Broker) RefusedRetained() uint64 {
	_, refused := b.retained.stats()
	return refused
}

// ClientInfo describes a client that is connected, or has a persistent session.
type ClientInfo struct {
	ID            string
	User          string
	Remote        string    // address and port; "" while offline
	Version       string    // of MQTT: "3.1", "3.1.1", "5"; "" while offline
	Persistent    bool      // the session outlives its connection
	Since         time.Time // connected, or offline, since then
	Subscriptions int
	Queued        int // messages waiting in memory; what waits in the store is told by its own figures
	Inflight      int // QoS 1 and 2 messages sent and not yet confirmed
}

// Clients returns a snapshot of all clients, in the order of their identifiers.
func (b *Broker) Clients() []ClientInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]ClientInfo, 0, len(b.clients))
	for id, cl := range b.clients {
		if s := cmp.Or(cl.online, cl.session); s != nil {
			list = append(list, s.info(id))
		}
	}
	slices.SortFunc(list, func(a, b ClientInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (s *session) info(id string) ClientInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := ClientInfo{
		ID: id, User: s.user, Persistent: s.persistent(), Since: s.offline,
		Subscriptions: len(s.subs), Queued: s.out.live, Inflight: s.window.live,
	}
	if c := s.conn; c != nil {
		in.Remote, in.Version, in.Since = c.remote, c.version.String(), c.since
	}
	return in
}
