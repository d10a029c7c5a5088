package packet_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// full returns a value for every property.
func full() packet.Properties {
	return packet.Properties{
		PayloadFormat: packet.Some[byte](1), MessageExpiry: packet.Some[uint32](1), ContentType: []byte("ct"),
		ResponseTopic: []byte("rt"), CorrelationData: []byte("cd"), SubscriptionIDs: []uint32{1},
		SessionExpiry: packet.Some[uint32](1), AssignedClientID: []byte("id"), ServerKeepAlive: packet.Some[uint16](1),
		AuthMethod: []byte("am"), AuthData: []byte("ad"), RequestProblemInfo: packet.Some[byte](1),
		WillDelay: packet.Some[uint32](1), RequestResponseInfo: packet.Some[byte](1), ResponseInfo: []byte("ri"),
		ServerReference: []byte("sr"), ReasonString: []byte("rs"), ReceiveMaximum: packet.Some[uint16](1),
		TopicAliasMaximum: packet.Some[uint16](1), TopicAlias: packet.Some[uint16](1), MaximumQoS: packet.Some[byte](1),
		RetainAvailable: packet.Some[byte](1), UserProperties: []packet.UserProperty{{Name: []byte("n"), Value: []byte("v")}},
		MaximumPacketSize: packet.Some[uint32](1), WildcardAvailable: packet.Some[byte](1),
		SubscriptionIDsAvail: packet.Some[byte](1), SharedAvailable: packet.Some[byte](1),
	}
}

// withProps returns a packet of each type that has all properties set.
func withProps() []packet.Packet {
	return []packet.Packet{
		&packet.Connect{Version: packet.V5, Props: full(), Will: &packet.Will{Topic: "w", Props: full()}},
		&packet.Connack{Props: full()},
		&packet.Publish{Topic: []byte("a"), Props: full()},
		&packet.Ack{Kind: packet.TypePuback, ID: 1, Props: full()},
		&packet.Ack{Kind: packet.TypePubrec, ID: 1, Props: full()},
		&packet.Ack{Kind: packet.TypePubrel, ID: 1, Props: full()},
		&packet.Ack{Kind: packet.TypePubcomp, ID: 1, Props: full()},
		&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "a"}}, Props: full()},
		&packet.Suback{ID: 1, Codes: []packet.ReasonCode{0}, Props: full()},
		&packet.Unsubscribe{ID: 1, Filters: []string{"a"}, Props: full()},
		&packet.Unsuback{ID: 1, Codes: []packet.ReasonCode{0}, Props: full()},
		&packet.Disconnect{Props: full()},
		&packet.Auth{Props: full()},
	}
}

// A packet writes the properties that it may have, which its parser then takes, and no others.
func TestPropertiesOfOtherPacketsAreLeftOut(t *testing.T) {
	for _, p := range withProps() {
		t.Run(p.Type().String(), func(t *testing.T) { checkAgain(t, p, packet.V5) })
	}
}

// Before MQTT 5 there are no properties at all.
func TestNoPropertiesBeforeV5(t *testing.T) {
	for _, p := range withProps() {
		if p.Type() == packet.TypeAuth {
			continue
		}
		if c, ok := p.(*packet.Connect); ok {
			c.Version = packet.V311
		}
		checkAgain(t, p, packet.V311)
		if bytes.Contains(p.Append(nil, packet.V311), []byte("n\x00\x01v")) {
			t.Errorf("%v writes properties in 3.1.1", p.Type())
		}
	}
}

func TestPropertiesClone(t *testing.T) {
	raw := (&packet.Connack{Props: full()}).Append(nil, packet.V5)
	p, err := parse(t, raw, packet.V5)
	if err != nil {
		t.Fatal(err)
	}
	props := &p.(*packet.Connack).Props
	props.CorrelationData = []byte{}
	props.SubscriptionIDs = []uint32{7}
	clone := props.Clone()
	if diff := cmp.Diff(*props, clone); diff != "" {
		t.Fatalf("Clone: -want +got\n%s", diff)
	}
	clear(raw)
	props.SubscriptionIDs[0] = 8
	if string(clone.ReasonString) != "rs" || string(clone.UserProperties[0].Name) != "n" || clone.SubscriptionIDs[0] != 7 {
		t.Errorf("the clone shares memory with its origin: %+v", clone)
	}
	if clone.ContentType != nil || clone.CorrelationData == nil {
		t.Error("absent and empty got mixed up")
	}
}

func TestOpt(t *testing.T) {
	var absent packet.Opt[uint16]
	if got := absent.Or(65535); got != 65535 {
		t.Errorf("absent.Or = %d", got)
	}
	if got := packet.Some[uint16](0).Or(65535); got != 0 {
		t.Errorf("Some(0).Or = %d", got)
	}
}

// The names in error messages are those of the standard.
func TestPropertyNames(t *testing.T) {
	c := packettest.Bytes("10 14 | 00 04 'MQTT' 05 02 00 3c | 06 21 00 01 21 00 01 | 00 01 'c'")
	_, err := parse(t, c, packet.V5)
	if want := "protocol error in CONNECT: receive maximum: appears more than once [section 2.2.2.2]"; errText(err) != want {
		t.Errorf("got %q, want %q", errText(err), want)
	}
	if got := packet.PropertyID(0x7f).String(); got != "property 0x7f" {
		t.Errorf("unknown property is named %q", got)
	}
}
