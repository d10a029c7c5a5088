package bridge

import (
	"net/url"
	"strings"
	"testing"
)

// TestPoisonIsSetAside has an upstream that closes the connection whenever it gets one certain message. What stands before and behind it must come
// through, and only that one is set aside.
func TestPoisonIsSetAside(t *testing.T) {
	for name, form := range map[string]Route{
		"messages": {Filter: "#", QoS: 1},
		"batches":  {Filter: "#", QoS: 1, Form: FormBatch, Batch: Batch{Topic: "batch", MaxRecords: 8, Linger: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			u, q := newUpstream(t), newFakeQueue()
			for i := range 20 {
				payload := "good"
				if i == 9 {
					payload = "poison"
				}
				q.add(text("a", payload))
			}
			b := runTuned(t, Options{Servers: []*url.URL{u.url()}, Lanes: one(q), Out: []Route{form}}, impatient)
			go u.cutAt("poison")
			q.waitAcks(t, 20)
			q.mu.Lock()
			defer q.mu.Unlock()
			if len(q.parked) != 1 || !strings.Contains(q.parked[10], "5 times in a row") {
				t.Errorf("parked %v", q.parked)
			}
			if cuts := b.Stats().Failures; cuts < poisonCuts || cuts > 2*poisonCuts {
				t.Errorf("%d connections were cut", cuts)
			}
		})
	}
}

// cutAt serves connections for ever, and closes each on which the payload comes.
func (u *upstream) cutAt(payload string) {
	for {
		c, err := u.l.Accept()
		if err != nil {
			return
		}
		u.serveUntil(c, payload)
		c.Close()
	}
}
