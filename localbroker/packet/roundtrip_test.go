package packet_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Whatever valid packet is drawn, writing and reading it gives the same packet.
func TestRoundTrip(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		for typ := packet.TypeConnect; typ <= packet.TypeAuth; typ++ {
			if typ == packet.TypeAuth && v != packet.V5 {
				continue
			}
			t.Run(typ.String()+" "+v.String(), rapid.MakeCheck(func(t *rapid.T) {
				roundTrip(t, gen{t, v}.packet(typ), v)
			}))
		}
	}
}

func roundTrip(t *rapid.T, want packet.Packet, v packet.Version) {
	raw := want.Append(nil, v)
	frame, n, err := packet.NextFrame(raw, 0)
	if err != nil || n != len(raw) {
		t.Fatalf("NextFrame = %d, %v, want %d", n, err, len(raw))
	}
	got, err := packet.Parse(frame, v)
	if err != nil {
		t.Fatalf("Parse: %v\n% x", err, raw)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("-want +got\n%s", diff)
	}
	if again := got.Append(nil, v); !bytes.Equal(again, raw) { // tells absent from empty
		t.Fatalf("written again:\n got % x\nwant % x", again, raw)
	}
	if validator, ok := want.(interface{ Validate(packet.Version) error }); ok {
		if err := validator.Validate(v); err != nil {
			t.Fatalf("Parse takes what Validate refuses: %v", err)
		}
	}
	if p, ok := want.(*packet.Publish); ok && !bytes.Equal(p.Encode(nil, v).Append(nil, p.ID, p.Dup), raw) {
		t.Fatal("Encode and Append write different packets")
	}
}

// gen draws valid packets of one version.
type gen struct {
	t *rapid.T
	v packet.Version
}

func (g gen) packet(typ packet.Type) packet.Packet {
	switch typ {
	case packet.TypeConnect:
		return g.connect()
	case packet.TypeConnack:
		return g.connack()
	case packet.TypePublish:
		return g.publish()
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		code, props := g.reason(typ)
		return &packet.Ack{Kind: typ, ID: g.id(), Code: code, Props: props}
	case packet.TypeSubscribe:
		return g.subscribe()
	case packet.TypeUnsubscribe:
		return &packet.Unsubscribe{ID: g.id(), Filters: rapid.SliceOfN(filters, 1, 5).Draw(g.t, "filters"), Props: g.props(typ)}
	case packet.TypeSuback:
		return &packet.Suback{ID: g.id(), Codes: g.codes(typ, 0, 1, 2, 0x80), Props: g.props(typ)}
	case packet.TypeUnsuback:
		u := &packet.Unsuback{ID: g.id(), Props: g.props(typ)}
		if g.v == packet.V5 {
			u.Codes = g.codes(typ, 0, 0x11, 0x80, 0x87)
		}
		return u
	case packet.TypeDisconnect:
		code, props := g.reason(typ)
		return &packet.Disconnect{Code: code, Props: props}
	case packet.TypeAuth:
		props := g.props(typ)
		if props.AuthMethod == nil {
			props.AuthMethod = []byte("m")
		}
		return &packet.Auth{Code: rapid.SampledFrom([]packet.ReasonCode{0, 0x18, 0x19}).Draw(g.t, "code"), Props: props}
	}
	return packet.New(typ)
}

var (
	texts  = rapid.StringOfN(rapid.RuneFrom([]rune("ab/+#$ \x01é温\U0001f600")), 0, 20, -1)
	levels = rapid.SampledFrom([]string{"", "a", "b c", "$", "温度"})
	topics = rapid.Custom(func(t *rapid.T) string {
		return "t" + join(rapid.SliceOfN(levels, 1, 4).Draw(t, "levels"))
	})
	filters = rapid.Custom(func(t *rapid.T) string {
		wild := rapid.OneOf(levels, rapid.Just("+"))
		f := "f" + join(rapid.SliceOfN(wild, 1, 4).Draw(t, "levels"))
		if rapid.Bool().Draw(t, "multi") {
			f += "/#"
		}
		return f
	})
)

func join(levels []string) string {
	var b bytes.Buffer
	for _, level := range levels {
		b.WriteString("/" + level)
	}
	return b.String()
}

func (g gen) id() uint16 { return rapid.Uint16Range(1, 65535).Draw(g.t, "id") }

func (g gen) bool(name string) bool { return rapid.Bool().Draw(g.t, name) }

func (g gen) bytes(name string) []byte {
	return rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(g.t, name)
}

// text draws UTF-8 or, one time in two, nothing.
func (g gen) text(name string) []byte {
	if g.bool("has " + name) {
		return nil
	}
	return []byte(texts.Draw(g.t, name))
}

func opt[T any](g gen, name string, values *rapid.Generator[T]) packet.Opt[T] {
	if g.bool("has " + name) {
		return packet.Opt[T]{}
	}
	return packet.Some(values.Draw(g.t, name))
}

func (g gen) flag(name string) packet.Opt[byte] { return opt(g, name, rapid.ByteRange(0, 1)) }

func (g gen) connect() *packet.Connect {
	c := &packet.Connect{
		Version: g.v, Bridge: g.v != packet.V5 && g.bool("bridge"), CleanStart: g.bool("clean"),
		KeepAlive: rapid.Uint16().Draw(g.t, "keep alive"), ClientID: texts.Draw(g.t, "client id"), Props: g.props(packet.TypeConnect),
	}
	if g.bool("will") {
		c.Will = &packet.Will{
			Topic: topics.Draw(g.t, "will topic"), Payload: g.bytes("will payload"),
			QoS: packet.QoS(rapid.ByteRange(0, 2).Draw(g.t, "will QoS")), Retain: g.bool("will retain"),
			Props: g.props(0),
		}
	}
	if g.bool("user name") {
		c.Username = packet.Some(texts.Draw(g.t, "user name"))
	}
	if (c.Username.Set || g.v == packet.V5) && g.bool("password") {
		c.Password = g.bytes("password")
	}
	return c
}

func (g gen) connack() *packet.Connack {
	codes := []packet.ReasonCode{0, 0x84, 0x85, 0x88, 0x86, 0x87}
	if g.v == packet.V5 {
		codes = append(codes, 0x80, 0x81, 0x9f)
	}
	c := &packet.Connack{Code: rapid.SampledFrom(codes).Draw(g.t, "code"), Props: g.props(packet.TypeConnack)}
	c.SessionPresent = c.Code == 0 && g.v != packet.V31 && g.bool("session present")
	return c
}

func (g gen) publish() *packet.Publish {
	p := &packet.Publish{
		Retain: g.bool("retain"), QoS: packet.QoS(rapid.ByteRange(0, 2).Draw(g.t, "QoS")),
		Topic: []byte(topics.Draw(g.t, "topic")), Payload: g.bytes("payload"), Props: g.props(packet.TypePublish),
	}
	if p.QoS > 0 {
		p.ID, p.Dup = g.id(), g.bool("dup")
	}
	if p.Props.TopicAlias.Set && g.bool("topic by alias") {
		p.Topic = nil
	}
	return p
}

func (g gen) subscribe() *packet.Subscribe {
	s := &packet.Subscribe{ID: g.id(), Props: g.props(packet.TypeSubscribe)}
	for range rapid.IntRange(1, 4).Draw(g.t, "filters") {
		sub := packet.Subscription{Filter: filters.Draw(g.t, "filter"), QoS: packet.QoS(rapid.ByteRange(0, 2).Draw(g.t, "QoS"))}
		if g.v == packet.V5 {
			sub.RetainAsPublished = g.bool("retain as published")
			sub.RetainHandling = packet.RetainHandling(rapid.ByteRange(0, 2).Draw(g.t, "retain handling"))
			if g.bool("shared") {
				sub.Filter = "$share/g/" + sub.Filter
			} else {
				sub.NoLocal = g.bool("no local")
			}
		}
		s.Subscriptions = append(s.Subscriptions, sub)
	}
	return s
}

func (g gen) codes(typ packet.Type, codes ...packet.ReasonCode) []packet.ReasonCode {
	if typ == packet.TypeSuback && g.v == packet.V5 {
		codes = append(codes, 0x87, 0xa2)
	}
	return rapid.SliceOfN(rapid.SampledFrom(codes), 1, 5).Draw(g.t, "codes")
}

// reason draws how an acknowledgement or a DISCONNECT ends.
func (g gen) reason(typ packet.Type) (packet.ReasonCode, packet.Properties) {
	if g.v != packet.V5 {
		return 0, packet.Properties{}
	}
	codes := map[packet.Type][]packet.ReasonCode{
		packet.TypePuback: {0, 0x10, 0x97}, packet.TypePubrec: {0, 0x10, 0x97},
		packet.TypePubrel: {0, 0x92}, packet.TypePubcomp: {0, 0x92},
		packet.TypeDisconnect: {0, 4, 0x8e, 0xa2},
	}[typ]
	return rapid.SampledFrom(codes).Draw(g.t, "code"), g.props(typ)
}

// props draws properties that the packet type, or with 0 a will, may have.
func (g gen) props(owner packet.Type) packet.Properties {
	if g.v != packet.V5 {
		return packet.Properties{}
	}
	var p packet.Properties
	switch owner {
	case 0, packet.TypePublish:
		g.messageProps(&p, owner)
	case packet.TypeConnect, packet.TypeConnack:
		g.handshakeProps(&p, owner)
	case packet.TypeSubscribe:
		if g.bool("subscription id") {
			p.SubscriptionIDs = []uint32{rapid.Uint32Range(1, packet.MaxRemaining).Draw(g.t, "subscription id")}
		}
	case packet.TypeUnsubscribe:
	case packet.TypeDisconnect:
		p.SessionExpiry, p.ServerReference = opt(g, "session expiry", rapid.Uint32()), g.text("server reference")
		p.ReasonString = g.text("reason string")
	case packet.TypeAuth:
		p.AuthMethod, p.AuthData, p.ReasonString = g.text("method"), g.text("data"), g.text("reason string")
	default:
		p.ReasonString = g.text("reason string")
	}
	for range rapid.IntRange(0, 3).Draw(g.t, "user properties") {
		p.UserProperties = append(p.UserProperties, packet.UserProperty{
			Name: []byte(texts.Draw(g.t, "name")), Value: []byte(texts.Draw(g.t, "value")),
		})
	}
	return p
}

func (g gen) messageProps(p *packet.Properties, owner packet.Type) {
	p.PayloadFormat, p.MessageExpiry = g.flag("payload format"), opt(g, "message expiry", rapid.Uint32())
	p.ContentType, p.CorrelationData = g.text("content type"), g.text("correlation data")
	if g.bool("response topic") {
		p.ResponseTopic = []byte(topics.Draw(g.t, "response topic"))
	}
	if owner == packet.TypePublish {
		p.TopicAlias = opt(g, "topic alias", rapid.Uint16Min(1))
		p.SubscriptionIDs = rapid.SliceOfN(rapid.Uint32Range(1, packet.MaxRemaining), 0, 3).Draw(g.t, "subscription ids")
		return
	}
	p.WillDelay = opt(g, "will delay", rapid.Uint32())
}

func (g gen) handshakeProps(p *packet.Properties, owner packet.Type) {
	p.SessionExpiry, p.ReceiveMaximum = opt(g, "session expiry", rapid.Uint32()), opt(g, "receive maximum", rapid.Uint16Min(1))
	p.MaximumPacketSize, p.TopicAliasMaximum = opt(g, "packet size", rapid.Uint32Min(1)), opt(g, "alias maximum", rapid.Uint16())
	if p.AuthMethod = g.text("method"); p.AuthMethod != nil {
		p.AuthData = g.text("data")
	}
	if owner == packet.TypeConnect {
		p.RequestProblemInfo, p.RequestResponseInfo = g.flag("problem info"), g.flag("response info")
		return
	}
	p.AssignedClientID, p.ResponseInfo, p.ServerReference = g.text("assigned"), g.text("response info"), g.text("reference")
	p.ReasonString, p.ServerKeepAlive = g.text("reason string"), opt(g, "keep alive", rapid.Uint16())
	p.MaximumQoS, p.RetainAvailable, p.WildcardAvailable = g.flag("maximum QoS"), g.flag("retain"), g.flag("wildcard")
	p.SubscriptionIDsAvail, p.SharedAvailable = g.flag("subscription ids"), g.flag("shared")
}
