package localbroker

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway"
)

// However messages come and go, what is counted is what the queues hold: a message that several hold, once.
func TestMemoryIsWhatTheQueuesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &memory{max: 1 << 20}
		queues := make([]outqueue, 4)
		for i := range queues {
			queues[i].memory = m
		}
		check := func() {
			want, seen := 0, map[*message]bool{}
			got := int(m.held.Load())
			for i := range queues {
				q := &queues[i]
				got += q.due
				for j := range q.n {
					it := q.at(j)
					if it.msg == nil {
						continue
					}
					want += itemSize
					if !it.replay && !seen[it.msg] {
						want += cost(&it.msg.Message)
						seen[it.msg] = true
					}
				}
			}
			if got != want {
				t.Fatalf("%d bytes are counted, the queues hold %d", got, want)
			}
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			q := &queues[rapid.IntRange(0, len(queues)-1).Draw(t, "queue")]
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				q.end()
				q.memory = m
			case 1, 2, 3:
				if _, ok := q.peek(); ok {
					q.pop()
				}
			default:
				msg := &message{Message: gateway.Message{Topic: "a", Payload: make([]byte, rapid.IntRange(0, 3000).Draw(t, "size"))}}
				it := item{msg: msg, qos: rapid.SampledFrom([]gateway.QoS{0, 1}).Draw(t, "QoS"), replay: rapid.IntRange(0, 9).Draw(t, "replay") == 0}
				q.push(it, 10, 12_000)
			}
			check()
		}
		for i := range 30 { // to all
			msg := &message{Message: gateway.Message{Topic: "a", Payload: make([]byte, 100*i)}, shared: true}
			for j := range queues {
				queues[j].push(item{msg: msg, qos: gateway.QoS(i % 2)}, 10+j, 20_000)
			}
			if _, ok := queues[i%4].peek(); ok {
				queues[i%4].pop()
			}
			check()
		}
		for i := range queues {
			queues[i].end()
		}
		if n := m.held.Load(); n != 0 {
			t.Fatalf("%d bytes are counted when all queues have ended", n)
		}
	})
}

func TestMemoryIsSharedOutWhenItRunsShort(t *testing.T) {
	const most = 1000
	m := &memory{max: 4000}
	m.conns.Store(10)
	for _, tt := range []struct {
		held        int64
		take, press int
	}{
		{held: 0, take: most, press: most},
		{held: 1000, take: most, press: most},
		{held: 1001, take: most, press: 200}, // those wait who can
		{held: 2000, take: most, press: 200},
		{held: 2001, take: 200, press: 200}, // who holds more than an equal part of the other half gets no more
	} {
		m.held.Store(tt.held)
		if take, press := m.limit(most, 2), m.limit(most, 4); take != tt.take || press != tt.press {
			t.Errorf("with %d held: %d may wait, publishers wait from %d on; want %d and %d", tt.held, take, press, tt.take, tt.press)
		}
	}
	m.conns.Store(1)
	if got := m.limit(most, 2); got != most {
		t.Errorf("one connection alone may hold %d, want %d", got, most)
	}
}
