package localbroker

import "slices"

// maxDirect is to how many subscribers a publisher's reader writes itself.
const maxDirect = 64

// sink gathers what follows from publishing, so that it is done once for many messages: whom to wake, and for whom to wait.
type sink struct {
	wakes   []*conn
	pressed []*session
	dropped uint64
}

// spread gives a message to the sessions that get it through memory.
func (k *sink) spread(r *route, m *message) {
	for i := range r.sessions {
		t := &r.sessions[i]
		qos := min(m.QoS, t.qos)
		if qos > 0 && t.session.persistent() {
			continue // gets it through its queue in the store
		}
		o := t.session.offer(item{msg: m, to: t.tag(), qos: qos, retain: m.Retain && t.retain})
		if o.gone && t.share != nil {
			k.instead(t.share, m)
			continue
		}
		k.note(t.session, o)
	}
}

// instead gives a message to another member of a shared subscription that has it through memory, because the one that was elected has just
// left, and to yet another one if that happens again. It may be called back by the store, so that it cannot give it to one that has it through
// the store.
func (k *sink) instead(sh *share, m *message) {
	for {
		t, ok := sh.electIf(m.Topic, func(mb *member, online bool) int {
			if online && (min(m.QoS, mb.sub.QoS) == 0 || !mb.session.persistent()) {
				return 1
			}
			return 0
		})
		if !ok {
			k.dropped++
			return
		}
		if o := t.session.offer(item{msg: m, to: t.tag(), qos: min(m.QoS, t.qos), retain: m.Retain && t.retain}); !o.gone {
			k.note(t.session, o)
			return
		}
	}
}

// press notes for whom to wait before a message that is spread later.
func (k *sink) press(r *route) {
	for i := range r.sessions {
		if s := r.sessions[i].session; !s.persistent() && s.pressed() {
			k.addPressed(s)
		}
	}
}

func (k *sink) addPressed(s *session) {
	if !slices.Contains(k.pressed, s) {
		k.pressed = append(k.pressed, s)
	}
}

func (k *sink) note(s *session, o outcome) {
	if o.wake != nil {
		k.wakes = append(k.wakes, o.wake)
	}
	if o.pressed {
		k.addPressed(s)
	}
	k.dropped += uint64(o.dropped)
}

// flush wakes the writers, or writes itself, to as many as direct says. It returns how many may still be written to.
func (k *sink) flush(b *Broker, direct int) int {
	for i, c := range k.wakes {
		if direct > 0 {
			c.writeAtOnce()
			direct--
		} else {
			c.wake()
		}
		k.wakes[i] = nil
	}
	k.wakes = k.wakes[:0]
	if k.dropped > 0 {
		b.stats.dropped.Add(k.dropped)
		k.dropped = 0
	}
	return direct
}
