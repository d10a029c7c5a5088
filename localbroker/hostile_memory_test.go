package localbroker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// Readers that have stopped, each with messages of its own: each stays within its own limit, and all together within theirs. One that reads, and
// loses nothing while nobody else has stopped, loses nothing now.
func TestHostileManyStalledReadersShareOneLimit(t *testing.T) {
	const readers, messages, total = 40, 30, 8 << 20
	r := start(t, func(o *localbroker.Options) { o.StallPatience, o.MaxQueuedTotal = time.Millisecond, total })
	before := heap()
	for i := range readers {
		r.stalledSubscriber(fmt.Sprint("slow", i), fmt.Sprint("to/", i), packet.QoS(i%2))
	}
	good := r.clean("good")
	good.subscribe("#", 1)
	p := r.clean("p")
	for i := range messages * readers { // 75 MB
		p.publish(fmt.Sprint("to/", i%readers), bigPayload, 1, uint16(i+1), false)
		p.checkAck(p.next(), packet.TypePuback, uint16(i+1))
		if got := good.nextPublish(); len(got.Payload) != len(bigPayload) {
			t.Fatalf("got %d bytes", len(got.Payload))
		}
	}
	// Beside what waits, each reader has one write of up to two messages, and its scratch twice that when it has grown.
	bounded(t, before, uint64(total+readers*4*len(bigPayload)))
	if r.broker.Stats().Dropped == 0 {
		t.Error("nothing was counted as dropped")
	}
	r.unaffected()
}
