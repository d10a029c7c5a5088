package localbroker_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// want5 reads an acknowledgement of MQTT 5.
func (b *bubble) want5(c net.Conn, kind packet.Type, id uint16) {
	b.t.Helper()
	if a, ok := b.read(c).(*packet.Ack); !ok || a.Kind != kind || a.ID != id {
		b.t.Fatalf("got %+v, want %v %d", a, kind, id)
	}
}

// What was sent at QoS 2 is sent again although it has expired, and its exchange goes on to its end.
func TestMQTT_4_3_3_7_V5NoExpiryOnceSent(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		s, _ := b.connect5(lasting("s", 1000))
		b.subscribe5(s, "a", 2)
		p, _ := b.connect5(&packet.Connect{ClientID: "p", CleanStart: true})
		b.say(p, expiring("a", "x", 2, 1, 5))
		b.want5(p, packet.TypePubrec, 1)
		sent := b.wantLeft(s, "x", 5)
		s.Close()
		elapse(time.Minute)
		s, _ = b.connect5(lasting("s", 1000))
		if again := b.wantLeft(s, "x", 0); !again.Dup || again.QoS != 2 || again.ID != sent.ID {
			t.Errorf("got %+v", again)
		}
		b.say(s, packet.AppendAck(nil, packet.TypePubrec, sent.ID))
		b.want5(s, packet.TypePubrel, sent.ID)
		b.say(s, packet.AppendAck(nil, packet.TypePubcomp, sent.ID))
		b.quiet(s)
		s.Close()
		p.Close()
	})
}

// A message that expires between PUBREC and PUBREL, and reaches nobody any more, is released like any other.
func TestMQTT_4_3_3_13_V5TheExchangeOutlivesItsMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		s, _ := b.connect5(lasting("s", 1000))
		b.subscribe5(s, "a", 2)
		s.Close()
		synctest.Wait()
		p, _ := b.connect5(&packet.Connect{ClientID: "p", CleanStart: true})
		b.say(p, expiring("a", "x", 2, 1, 5))
		b.want5(p, packet.TypePubrec, 1)
		elapse(time.Minute)
		s, _ = b.connect5(lasting("s", 1000))
		b.quiet(s) // it has expired
		b.say(p, packet.AppendAck(nil, packet.TypePubrel, 1))
		b.want5(p, packet.TypePubcomp, 1)
		b.quiet(s)
		s.Close()
		p.Close()
	})
}
