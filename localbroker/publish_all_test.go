package localbroker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
)

// readings is a batch of a device with so many points.
func readings(device string, mode gateway.PublishMode, points int) *gateway.Batch {
	b := &gateway.Batch{Topic: "tg/x/" + device, Publish: mode}
	for i := range points {
		b.Names = append(b.Names, fmt.Sprintf("p%d", i))
		b.Readings = append(b.Readings, gateway.Reading{Quality: gateway.QualityGood, Value: gateway.Int(int64(i))})
	}
	return b
}

// Sessions and queues get what is published together in its order, each batch with a seq of its own.
func TestPublishAllKeepsTheOrder(t *testing.T) {
	r := start(t)
	up := r.queue("cloud", localbroker.QueueSub{Filters: []string{"tg/#"}})
	c, s := r.clean("c"), r.persistent("s", false)
	c.subscribe("tg/#", 1)
	s.subscribe("tg/#", 1)
	var recs []*gateway.Record
	for _, body := range []gateway.Body{
		readings("a", gateway.PublishDevice, 2),
		readings("b", gateway.PublishBoth, 1),
		message("tg/x/c/availability", "online", 1, true),
		readings("c", gateway.PublishPoints, 2),
		readings("a", gateway.PublishDevice, 1),
	} {
		recs = append(recs, &gateway.Record{Body: body})
	}
	r.broker.PublishAll(recs)
	want := []string{"tg/x/a", "tg/x/b", "tg/x/b/p0", "tg/x/c/availability", "tg/x/c/p0", "tg/x/c/p1", "tg/x/a"}
	for _, sub := range []*raw{c, s} {
		seqs := []uint64{recs[0].Seq, recs[1].Seq, recs[4].Seq}
		for i, topic := range want {
			p := sub.nextPublish()
			if string(p.Topic) != topic || p.QoS != 1 || p.ID != uint16(i+1) {
				t.Errorf("got %s at QoS %d with id %d, want %s", p.Topic, p.QoS, p.ID, topic)
			}
			if strings.Count(topic, "/") > 2 {
				continue // it has no seq
			}
			if !strings.Contains(string(p.Payload), fmt.Sprintf(`"seq":%d,`, seqs[0])) {
				t.Errorf("got %s, want seq %d", p.Payload, seqs[0])
			}
			seqs = seqs[1:]
		}
		sub.nothing()
	}
	for i, d := range up.read(len(recs)) {
		if d.Record != recs[i] || i > 0 && recs[i].Seq <= recs[i-1].Seq {
			t.Errorf("the queue got %+v as number %d", d, i)
		}
	}
}
