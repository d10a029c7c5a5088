package localbroker

import (
	"bytes"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// Receivers of MQTT 5 share one encoding for each QoS, unless something in the packet is theirs alone. Encoding costs no memory.
func TestMQTT5ReceiversShareOneEncoding(t *testing.T) {
	m := &message{shared: true, Message: gateway.Message{Topic: "plant/1", Payload: []byte("x"), QoS: 1, Properties: &gateway.Properties{ContentType: "t"}}}
	five, alias := &conn{version: packet.V5, terms: &terms{}}, &conn{version: packet.V5, terms: &terms{sent: newAliasesOut(5)}}
	var p publishing
	buf := make([]byte, 0, 256)
	encode := func(c *conn, d delivery) []byte {
		out, ok := c.encode5(buf, &p, &d)
		if !ok {
			t.Fatal("too large")
		}
		return out
	}
	d := delivery{msg: &m.Message, encoded: m, qos: 1, id: 7}
	first := bytes.Clone(encode(five, d))
	shared := m.encodings5()[1].Load()
	if shared == nil || !bytes.Equal(shared.Append(nil, 7, false), first) {
		t.Fatal("the encoding is not kept")
	}
	for name, own := range map[string]delivery{
		"identifiers": {msg: d.msg, encoded: m, qos: 1, id: 7, ids: []uint32{3}},
		"retain":      {msg: d.msg, encoded: m, qos: 1, id: 7, retain: true},
	} {
		if bytes.Equal(encode(five, own), first) {
			t.Errorf("%s: the same as for others", name)
		}
	}
	encode(alias, d)
	if again := encode(alias, d); bytes.Contains(again, []byte("plant")) {
		t.Error("an alias is not used")
	}
	for name, c := range map[string]*conn{"shared": five, "alias": alias} {
		if n := testing.AllocsPerRun(100, func() { encode(c, d) }); n != 0 {
			t.Errorf("%s: %v allocations for a packet", name, n)
		}
	}
}

// The topics of aliases that are sent most keep them; one that is not sent any more gives its alias up.
func TestAliasesGoToTheTopicsThatAreSentMost(t *testing.T) {
	a := newAliasesOut(2)
	send := func(topic string) (alias uint16, short bool) {
		var p publishing
		p.set(&gateway.Message{Topic: topic}, 0, false)
		a.shorten(&p)
		return p.packet.Props.TopicAlias.Value, p.packet.Topic == nil
	}
	for range 10 {
		send("plant/hot")
	}
	send("plant/once")
	for i := range 20 {
		send("plant/hot")
		send([]string{"plant/x", "plant/y", "plant/z"}[i%3])
	}
	if alias, short := send("plant/hot"); alias != 1 || !short {
		t.Errorf("the topic that is sent most has alias %d, known %v", alias, short)
	}
	if alias, short := send("plant/once"); short {
		t.Errorf("a topic that was sent once keeps alias %d", alias)
	}
	if len(a.byKey) != 2 {
		t.Errorf("%d topics have an alias, want 2", len(a.byKey))
	}
}

func TestRemainingSeconds(t *testing.T) {
	for _, c := range []struct {
		interval uint32
		age      time.Duration
		left     uint32
		ok       bool
	}{
		{10, 0, 10, true},
		{10, -time.Hour, 10, true}, // the clock was set back
		{10, 999 * time.Millisecond, 10, true},
		{10, 9999 * time.Millisecond, 1, true},
		{10, 10 * time.Second, 0, false},
		{0, 0, 0, true},
		{0, time.Second, 0, false},
		{1, 999 * time.Millisecond, 1, true},
		{4294967295, 100 * 365 * 24 * time.Hour, 4294967295 - 100*365*24*3600, true},
	} {
		m := &gateway.Message{Properties: &gateway.Properties{Expiry: c.interval, HasExpiry: true}}
		if left, ok := remaining(m, c.age); left != c.left || ok != c.ok {
			t.Errorf("%d s after %v: %d, %v, want %d, %v", c.interval, c.age, left, ok, c.left, c.ok)
		}
	}
}
