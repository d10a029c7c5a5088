package bridge

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/tidegate/tidegate/gateway"
)

const (
	// maxUnconfirmed bounds the inbound messages that the local broker has not yet confirmed.
	maxUnconfirmed = 256
	// inboundPatience is how long a full inbound side may hold up the connection. While paho's handler waits, pings wait too.
	inboundPatience = 5 * time.Second
	// subackFailure is the return code of a refused filter (MQTT 3.1.1, 3.9.3). Paho reports it as success.
	subackFailure = 0x80
)

var errInboundFull = errors.New("the local broker does not take inbound messages fast enough")

// inbound is a message on its way from the upstream to the local broker.
type inbound struct {
	m    mqtt.Message
	done chan error // buffered: the local broker never waits for us
}

// subscribe asks for filters, in packets of no more than the upstream takes, and returns those that it refused.
func (e *epoch) subscribe(filters map[string]byte) (refused map[string]byte, err error) {
	names := slices.Sorted(maps.Keys(filters))
	size := len(names)
	if e.b.opts.SubscribeBatch > 0 {
		size = e.b.opts.SubscribeBatch
	}
	refused = map[string]byte{}
	for part := range slices.Chunk(names, max(1, size)) {
		if err := e.subscribeTo(part, filters, refused); err != nil {
			return nil, err
		}
	}
	return refused, nil
}

// insist asks again for filters that were refused, until none is left. Meanwhile what goes out goes out: a cluster that chooses a leader refuses
// for a while, and a mistake in the access rules of what comes in is no reason to hold that up.
func (e *epoch) insist(filters map[string]byte) {
	for len(filters) > 0 {
		e.b.refused(slices.Sorted(maps.Keys(filters)))
		timer := time.NewTimer(e.b.insistence())
		select {
		case <-timer.C:
		case <-e.ctx.Done():
			timer.Stop()
			return
		}
		left, err := e.subscribe(filters)
		if err != nil {
			e.cancel(err)
			return
		}
		filters = left
	}
}

// refused says which filters the upstream does not want to serve.
func (b *Bridge) refused(filters []string) {
	err := fmt.Errorf("subscribe to %q: the upstream refused it: check its access rules", filters)
	b.mu.Lock()
	b.lastError = err.Error()
	b.mu.Unlock()
	b.log.Warn("nothing comes in by some routes, what goes out goes on", "error", err)
}

func inwardFilters(routes []Route) map[string]byte {
	filters := make(map[string]byte, len(routes))
	for _, r := range routes {
		filters[r.Remote()] = max(filters[r.Remote()], byte(r.QoS))
	}
	return filters
}

// subscribeTo sends one SUBSCRIBE, and adds to refused what the upstream will not serve: paho reports that as success.
func (e *epoch) subscribeTo(names []string, qos, refused map[string]byte) error {
	filters := make(map[string]byte, len(names))
	for _, name := range names {
		filters[name] = qos[name]
	}
	e.conn.Load().asked.Store(int64(len(names)))
	t := e.client.SubscribeMultiple(filters, nil)
	if err := e.wait(e.ctx, t, e.b.opts.AckTimeout); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	st, ok := t.(*mqtt.SubscribeToken)
	if !ok {
		return fmt.Errorf("subscribe: unexpected token %T", t)
	}
	for filter, code := range st.Result() {
		if code == subackFailure {
			refused[filter] = filters[filter]
		}
	}
	return nil
}

// receive is paho's handler: it hands the message over and returns. The slot keeps its place for the confirmation.
func (e *epoch) receive(m mqtt.Message) {
	rec, ok := e.b.incoming(m)
	foreign := ok && !e.b.echoes.heard(m.Topic(), m.Payload(), m.Retained())
	slot := &inbound{m: m, done: make(chan error, 1)}
	timer := time.NewTimer(inboundPatience)
	defer timer.Stop()
	select {
	case e.slots <- slot:
		if !foreign {
			slot.done <- nil // it waits for its turn to be confirmed
			return
		}
		e.b.counters.received.Add(1)
		e.b.opts.Local.Publish(rec, func(err error) { slot.done <- err })
	case <-e.ctx.Done():
	case <-timer.C:
		e.b.counters.dropped.Add(1)
		e.cancel(errInboundFull)
	}
}

// incoming makes a record of an upstream's message; ok is false for one that no route asked for.
func (b *Bridge) incoming(m mqtt.Message) (*gateway.Record, bool) {
	r, local := firstInward(b.opts.In, m.Topic())
	if r == nil {
		return nil, false
	}
	retain := r.Retain.apply(m.Retained())
	if _, _, _, command := b.opts.Topics.ParseCommand(local); command {
		retain = m.Retained() // a retained command is refused for its flag, and no other may look like one
	}
	return &gateway.Record{
		Time:   b.opts.Now(),
		Origin: b.opts.Name,
		Body: &gateway.Message{
			Topic: local, Payload: m.Payload(), QoS: gateway.QoS(m.Qos()), Retain: retain,
		},
	}, true
}

// confirmInbound sends the PUBACKs, in the order of arrival (MQTT-4.6.0-2), each when the local broker holds the message safely.
func (e *epoch) confirmInbound() {
	for {
		select {
		case <-e.ctx.Done():
			return
		case slot := <-e.slots:
			if !e.confirmOne(slot) {
				return
			}
		}
	}
}

func (e *epoch) confirmOne(slot *inbound) bool {
	select {
	case <-e.ctx.Done():
		return false
	case err := <-slot.done:
		if errors.Is(err, ErrNotTaken) && e.b.opts.InboundPersistent {
			e.cancel(fmt.Errorf("inbound message on %q: %w", slot.m.Topic(), err)) // the upstream offers it again
			return false
		}
		if err != nil {
			e.refused(slot.m, err)
		}
		slot.m.Ack()
		return true
	}
}

// refused reports a message that the local broker will not have. It is confirmed all the same: it would be refused again for ever, or the session
// ends with the connection and the upstream does not keep it.
func (e *epoch) refused(m mqtt.Message, err error) {
	e.b.counters.dropped.Add(1)
	e.b.log.Warn("inbound message was refused", "topic", m.Topic(), "error", err)
}
