package localbroker_test

import (
	"sync/atomic"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
)

// waiterSpy counts the commits of records for durable consumers, by whether somebody waits for them.
type waiterSpy struct {
	localbroker.Store
	waited, unwaited atomic.Int32
}

func (s *waiterSpy) Commit(c *gateway.Change, done func(error)) {
	switch {
	case len(c.To) == 0:
	case done != nil:
		s.waited.Add(1)
	default:
		s.unwaited.Add(1)
	}
	s.Store.Commit(c, done)
}

// TestPublishWithoutDoneLetsTheStoreTakeItsTime: a store that believes that somebody waits writes within a fraction of the time, and a
// gateway whose upstream is slow for a moment would write readings that are about to be acknowledged.
func TestPublishWithoutDoneLetsTheStoreTakeItsTime(t *testing.T) {
	spy := &waiterSpy{}
	r := start(t, func(o *localbroker.Options) {
		spy.Store = o.Store
		o.Store = spy
	})
	r.queue("upstream/x", localbroker.QueueSub{Filters: []string{"#"}})
	batch := &gateway.Batch{Topic: "tg/x/meter", Names: []string{"p"}, Readings: make([]gateway.Reading, 1)}
	r.broker.Publish(&gateway.Record{Body: batch}, nil)
	r.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: "tg/x/meter/availability", QoS: 1, Retain: true}}, nil)
	r.broker.Publish(&gateway.Record{Origin: "y", Body: &gateway.Message{Topic: "a", QoS: 2}}, nil)
	if waited, unwaited := spy.waited.Load(), spy.unwaited.Load(); waited != 1 || unwaited != 2 {
		t.Errorf("%d records with a waiter and %d without, want 1 (QoS 2 spreads after its commit) and 2", waited, unwaited)
	}
}
