package packet_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// One encoding gives each receiver what an Append of its own would have given.
func TestEncodedAppend(t *testing.T) {
	for _, c := range packettest.Cases() {
		p, ok := c.Packet.(*packet.Publish)
		if !ok {
			continue
		}
		encoded := p.Encode(nil, c.Version)
		shared := bytes.Clone(encoded.Bytes())
		for _, dup := range []bool{true, false} {
			want := *p
			if p.QoS > 0 {
				want.ID, want.Dup = 0xabcd, dup
			}
			got := encoded.Append([]byte("x"), 0xabcd, dup)[1:]
			if !bytes.Equal(got, want.Append(nil, c.Version)) {
				t.Errorf("%s, dup %v:\n got % x\nwant % x", c.Name, dup, got, want.Append(nil, c.Version))
			}
			if len(got) != encoded.Len() || len(got) != p.Size(c.Version) {
				t.Errorf("%s: %d bytes, Len says %d, Size %d", c.Name, len(got), encoded.Len(), p.Size(c.Version))
			}
		}
		if !bytes.Equal(shared, encoded.Bytes()) {
			t.Errorf("%s: Append changed the shared encoding", c.Name)
		}
	}
}

// The DUP flag has no meaning at QoS 0 and is not written [MQTT-3.3.1-2].
func TestAppendWritesNoDupAtQoS0(t *testing.T) {
	p := &packet.Publish{Dup: true, Topic: []byte("a")}
	if got, want := p.Append(nil, packet.V311), packettest.Bytes("30 03 | 00 01 'a'"); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestEncodeUsesTheBuffer(t *testing.T) {
	buf := make([]byte, 64)
	p := &packet.Publish{Topic: []byte("a")}
	if encoded := p.Encode(buf, packet.V311); &encoded.Bytes()[0] != &buf[0] {
		t.Error("Encode took new memory although there was enough")
	}
}

// Topic and payload are parts of the input, as large as they are and not one byte more.
func TestPublishParseDoesNotCopy(t *testing.T) {
	raw := packettest.Bytes("30 07 | 00 03 'a/b' | 'hi'")
	p, err := parse(t, raw, packet.V311)
	if err != nil {
		t.Fatal(err)
	}
	publish := p.(*packet.Publish)
	if &publish.Topic[0] != &raw[4] || &publish.Payload[0] != &raw[7] {
		t.Error("Parse copied topic or payload")
	}
	if cap(publish.Topic) != 3 || cap(publish.Payload) != 2 {
		t.Errorf("capacities %d, %d: appending would overwrite the input", cap(publish.Topic), cap(publish.Payload))
	}
}

func TestNoAllocations(t *testing.T) {
	buf := make([]byte, 0, 4096)
	var publish packet.Publish
	var ack packet.Ack
	stream := packettest.Bytes("32 0d | 00 07 'factory' 00 01 | 'hi' 40 02 00 01")
	streamV5 := packettest.Bytes("32 1f | 00 07 'factory' 00 01 | 11 02 00 00 00 64 26 00 01 'k' 00 01 'v' 03 00 02 'js' | 'hi' 40 03 00 01 10")
	topic, sent := strings.Repeat("factory/", 10)+"temperature", []byte("21.5")
	encoded := (&packet.Publish{QoS: 1, Topic: []byte(topic), Payload: sent}).Encode(nil, packet.V311)
	tests := map[string]func(){
		"parse 3.1.1":         func() { parseAll(t, stream, packet.V311, &publish, &ack) },
		"parse 5":             func() { parseAll(t, streamV5, packet.V5, &publish, &ack) },
		"append 3.1.1":        func() { publish.Append(buf[:0], packet.V311) },
		"append 5":            func() { publish.Append(buf[:0], packet.V5) },
		"append topic string": func() { p := packet.Publish{Topic: []byte(topic), Payload: sent}; p.Append(buf[:0], packet.V311) },
		"append copy":         func() { encoded.Append(buf[:0], 1, true) },
		"append ack":          func() { packet.AppendAck(buf[:0], packet.TypePuback, 1) },
		"append ack 5":        func() { ack.Append(buf[:0], packet.V5) },
		"match":               func() { packet.Match("factory/+/factory/#", topic) },
		"valid topic":         func() { _ = packet.ValidTopic(topic) },
		"valid filter":        func() { _ = packet.ValidFilter(topic) },
	}
	for name, f := range tests {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// parseAll reads a stream of PUBLISH packets and acknowledgements as a broker does.
func parseAll(t testing.TB, stream []byte, v packet.Version, publish *packet.Publish, ack *packet.Ack) {
	for len(stream) > 0 {
		frame, n, err := packet.NextFrame(stream, 0)
		if err != nil || n == 0 {
			t.Fatalf("NextFrame = %d, %v", n, err)
		}
		if frame.Type() == packet.TypePublish {
			err = publish.Parse(frame, v)
		} else {
			err = ack.Parse(frame, v)
		}
		if err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
}

func TestPublishValidate(t *testing.T) {
	// 2049 times the same 128 KiB: more than a packet can hold, in little memory.
	huge := slices.Repeat([]packet.UserProperty{{Name: []byte(long), Value: []byte(long)}}, 2049)
	tests := []struct {
		name   string
		p      packet.Publish
		v      packet.Version
		clause string // "" if it can be sent
	}{
		{"good", packet.Publish{Topic: []byte("a"), QoS: 2}, packet.V311, ""},
		{"no topic", packet.Publish{}, packet.V311, "MQTT-4.7.3-1"},
		{"no topic 5", packet.Publish{}, packet.V5, "section 3.3.2.1"},
		{"alias 5", packet.Publish{Props: packet.Properties{TopicAlias: packet.Some[uint16](1)}}, packet.V5, ""},
		{"alias 0", packet.Publish{Props: packet.Properties{TopicAlias: packet.Some[uint16](0)}}, packet.V5, "MQTT-3.3.2-8"},
		{"alias is nothing to 3.1.1", packet.Publish{Props: packet.Properties{TopicAlias: packet.Some[uint16](1)}}, packet.V311, "MQTT-4.7.3-1"},
		{"wildcard", packet.Publish{Topic: []byte("a/#")}, packet.V311, "MQTT-3.3.2-2"},
		{"QoS 3", packet.Publish{Topic: []byte("a"), QoS: 3}, packet.V311, "MQTT-3.3.1-4"},
		{"topic too long", packet.Publish{Topic: []byte(long + "a")}, packet.V311, "MQTT-4.7.3-3"},
		{"property too long", packet.Publish{Topic: []byte("a"), Props: packet.Properties{CorrelationData: []byte(long + "a")}}, packet.V5, "section 1.5.4"},
		{"property not looked at in 3.1.1", packet.Publish{Topic: []byte("a"), Props: packet.Properties{CorrelationData: []byte(long + "a")}}, packet.V311, ""},
		{"packet too long", packet.Publish{Topic: []byte("a"), Props: packet.Properties{UserProperties: huge}}, packet.V5, "MQTT-3.2.2-15"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkClause(t, tt.p.Validate(tt.v), tt.clause) })
	}
}

func checkClause(t *testing.T, err error, clause string) {
	t.Helper()
	var e *packet.Error
	switch {
	case err == nil && clause == "":
	case !errors.As(err, &e) || e.Clause != clause:
		t.Errorf("got %v, want %q", err, clause)
	}
}

func TestValidateTooLong(t *testing.T) {
	connects := map[string]packet.Connect{
		"client id":    {ClientID: long + "a"},
		"user name":    {Username: packet.Some(long + "a")},
		"password":     {Username: packet.Some("u"), Password: []byte(long + "a")},
		"will payload": {Will: &packet.Will{Topic: "a", Payload: []byte(long + "a")}},
	}
	for name, c := range connects {
		t.Run(name, func(t *testing.T) {
			c.Version = packet.V311
			checkClause(t, c.Validate(), "section 1.5.3")
			c.Version = packet.V5
			checkClause(t, c.Validate(), "section 1.5.4")
		})
	}
}

func TestValidateOtherPackets(t *testing.T) {
	filter := func(f string) *packet.Subscribe {
		return &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: f}}}
	}
	willProps := packet.Properties{ResponseTopic: []byte("#")}
	tests := []struct {
		name   string
		err    error
		clause string
	}{
		{"connect", (&packet.Connect{Version: packet.V5, Will: &packet.Will{Topic: "a"}}).Validate(), ""},
		{"connect of no version", (&packet.Connect{}).Validate(), "MQTT-3.1.2-2"},
		{"connect will QoS", (&packet.Connect{Version: packet.V311, Will: &packet.Will{Topic: "a", QoS: 3}}).Validate(), "MQTT-3.1.2-14"},
		{"connect will topic", (&packet.Connect{Version: packet.V311, Will: &packet.Will{}}).Validate(), "MQTT-4.7.3-1"},
		{"connect will property", (&packet.Connect{Version: packet.V5, Will: &packet.Will{Topic: "a", Props: willProps}}).Validate(), "MQTT-3.3.2-14"},
		{"connect property", (&packet.Connect{Version: packet.V5, Props: packet.Properties{AuthData: []byte{}}}).Validate(), "section 3.1.2.11.10"},
		{"connect password alone", (&packet.Connect{Version: packet.V311, Password: []byte{}}).Validate(), "MQTT-3.1.2-22"},
		{"subscribe", filter("a/+").Validate(packet.V311), ""},
		{"subscribe to nothing", (&packet.Subscribe{}).Validate(packet.V311), "MQTT-3.8.3-3"},
		{"subscribe bad filter", filter("a+").Validate(packet.V311), "MQTT-4.7.1-3"},
		{"subscribe share", filter("$share/g").Validate(packet.V5), "MQTT-4.8.2-2"},
		{"subscribe property", (&packet.Subscribe{
			Subscriptions: filter("a").Subscriptions, Props: packet.Properties{SubscriptionIDs: []uint32{packet.MaxRemaining + 1}},
		}).Validate(packet.V5), "section 2.2.2.2"},
		{"subscribe two ids", (&packet.Subscribe{
			Subscriptions: filter("a").Subscriptions, Props: packet.Properties{SubscriptionIDs: []uint32{1, 2}},
		}).Validate(packet.V5), "section 2.2.2.2"},
		{"unsubscribe", (&packet.Unsubscribe{Filters: []string{"#"}}).Validate(packet.V311), ""},
		{"unsubscribe from nothing", (&packet.Unsubscribe{}).Validate(packet.V5), "MQTT-3.10.3-2"},
		{"unsubscribe bad filter", (&packet.Unsubscribe{Filters: []string{"a", "#b"}}).Validate(packet.V5), "MQTT-4.7.1-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkClause(t, tt.err, tt.clause) })
	}
}

// What is too long is cut, not written with a wrong length.
func TestAppendCutsWhatIsTooLong(t *testing.T) {
	tooLong := strings.Repeat("a", 65534) + "ää"
	p := &packet.Publish{Topic: []byte(tooLong), Props: packet.Properties{ContentType: []byte(tooLong)}}
	raw := p.Append(nil, packet.V5)
	if len(raw) != p.Size(packet.V5) {
		t.Errorf("%d bytes, Size says %d", len(raw), p.Size(packet.V5))
	}
	got, err := parse(t, raw, packet.V5)
	if err != nil {
		t.Fatal(err)
	}
	if topic := got.(*packet.Publish).Topic; string(topic) != tooLong[:65534] {
		t.Errorf("topic of %d bytes, want 65534: the character at the edge must not be torn", len(topic))
	}
}
