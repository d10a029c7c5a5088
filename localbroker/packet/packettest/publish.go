package packettest

import "github.com/tidegate/tidegate/localbroker/packet"

func publishCases() []Case {
	return []Case{
		good("publish 3.1.1 QoS 0", v311, "30 07 | 00 03 'a/b' | 'hi'",
			&packet.Publish{Topic: []byte("a/b"), Payload: []byte("hi")}),
		good("publish 3.1.1 QoS 0 retained, no payload", v311, "31 05 | 00 03 'a/b'",
			&packet.Publish{Retain: true, Topic: []byte("a/b"), Payload: []byte{}}),
		good("publish 3.1.1 QoS 1", v311, "32 09 | 00 03 'a/b' 00 0a | 'hi'",
			&packet.Publish{QoS: 1, ID: 10, Topic: []byte("a/b"), Payload: []byte("hi")}),
		good("publish 3.1.1 QoS 2 again", v311, "3c 09 | 00 03 'a/b' ff ff | 'hi'",
			&packet.Publish{QoS: 2, Dup: true, ID: 65535, Topic: []byte("a/b"), Payload: []byte("hi")}),
		good("publish 3.1 QoS 1", v31, "32 09 | 00 03 'a/b' 00 0a | 'hi'",
			&packet.Publish{QoS: 1, ID: 10, Topic: []byte("a/b"), Payload: []byte("hi")}),
		good("publish 3.1.1 any bytes as payload", v311, "30 06 | 00 01 'a' | 00 ff fe",
			&packet.Publish{Topic: []byte("a"), Payload: []byte{0, 0xff, 0xfe}}),
		good("publish 3.1.1 to a topic of separators, blanks and $", v311, "30 07 | 00 04 24 2f 20 2f | 'x'",
			&packet.Publish{Topic: []byte("$/ /"), Payload: []byte("x")}),
		good("publish 3.1.1 to a topic in Chinese", v311, "30 0b | 00 08 e6 b8 a9 e5 ba a6 '/1' | 'x'",
			&packet.Publish{Topic: []byte("温度/1"), Payload: []byte("x")}),
		good("publish 3.1.1 payload that takes two bytes of remaining length", v311, "30 80 01 | 00 01 'a' | 00*125",
			&packet.Publish{Topic: []byte("a"), Payload: make([]byte, 125)}),
		good("publish 3.1.1 longest topic", v311, "30 81 80 04 | ff ff 61*65535",
			&packet.Publish{Topic: Bytes("61*65535"), Payload: []byte{}}),
		loose("publish 3.1 DUP at QoS 0 is disregarded", v31, "38 07 | 00 03 'a/b' | 'hi'",
			&packet.Publish{Topic: []byte("a/b"), Payload: []byte("hi")}, "30 07 | 00 03 'a/b' | 'hi'"),

		good("publish 5 QoS 0", v5, "30 08 | 00 03 'a/b' 00 | 'hi'",
			&packet.Publish{Topic: []byte("a/b"), Payload: []byte("hi")}),
		good("publish 5 all properties", v5,
			"32 30 | 00 01 'a' 00 01 | 28 01 01 02 00 00 00 64 03 00 01 'j' 08 00 01 'r' 09 00 02 00 ff 0b 01 0b ac 02 23 00 03"+
				" 26 00 01 'k' 00 01 'v' 26 00 00 00 00 | 'hi'",
			&packet.Publish{QoS: 1, ID: 1, Topic: []byte("a"), Payload: []byte("hi"), Props: packet.Properties{
				PayloadFormat: packet.Some[byte](1), MessageExpiry: packet.Some[uint32](100), ContentType: []byte("j"),
				ResponseTopic: []byte("r"), CorrelationData: []byte{0, 0xff}, SubscriptionIDs: []uint32{1, 300},
				TopicAlias: packet.Some[uint16](3),
				UserProperties: []packet.UserProperty{
					{Name: []byte("k"), Value: []byte("v")},
					{Name: []byte{}, Value: []byte{}},
				},
			}}),
		good("publish 5 topic alias in place of the topic", v5, "30 08 | 00 00 03 23 00 01 | 'hi'",
			&packet.Publish{Topic: []byte{}, Payload: []byte("hi"), Props: packet.Properties{TopicAlias: packet.Some[uint16](1)}}),
		good("publish 5 empty content type, message expiry 0", v5, "30 0c | 00 01 'a' 08 02 00 00 00 00 03 00 00",
			&packet.Publish{Topic: []byte("a"), Payload: []byte{}, Props: packet.Properties{
				MessageExpiry: packet.Some[uint32](0), ContentType: []byte{},
			}}),
	}
}

func badPublishCases() []Case {
	return []Case{
		malformed("publish 3.1.1 QoS 3", v311, "36 09 | 00 03 'a/b' 00 0a | 'hi'", "MQTT-3.3.1-4"),
		malformed("publish 3.1 QoS 3", v31, "36 09 | 00 03 'a/b' 00 0a | 'hi'", "MQTT-3.3.1-4"),
		malformed("publish 5 QoS 3", v5, "36 0a | 00 03 'a/b' 00 0a 00 | 'hi'", "MQTT-3.3.1-4"),
		protocolError("publish 3.1.1 DUP at QoS 0", v311, "38 07 | 00 03 'a/b' | 'hi'", "MQTT-3.3.1-2"),
		protocolError("publish 5 DUP at QoS 0", v5, "38 08 | 00 03 'a/b' 00 | 'hi'", "MQTT-3.3.1-2"),
		protocolError("publish 3.1.1 packet id 0", v311, "32 09 | 00 03 'a/b' 00 00 | 'hi'", "MQTT-2.3.1-1"),
		protocolError("publish 5 packet id 0", v5, "32 0a | 00 03 'a/b' 00 00 00 | 'hi'", "MQTT-2.2.1-3"),
		malformed("publish 3.1.1 packet id missing", v311, "32 05 | 00 03 'a/b'", "section 2.2.3"),
		malformed("publish 3.1.1 of nothing", v311, "30 00", "section 2.2.3"),
		malformed("publish 3.1.1 topic ends early", v311, "30 04 | 00 03 'a/'", "section 2.2.3"),
		malformed("publish 3.1.1 empty topic", v311, "30 04 | 00 00 | 'hi'", "MQTT-4.7.3-1"),
		malformed("publish 3.1.1 topic with #", v311, "30 05 | 00 03 'a/#'", "MQTT-3.3.2-2"),
		malformed("publish 3.1.1 topic with +", v311, "30 05 | 00 03 'a+b'", "MQTT-3.3.2-2"),
		malformed("publish 3.1.1 topic with a null character", v311, "30 05 | 00 03 61 00 62", "MQTT-1.5.3-2"),
		malformed("publish 3.1.1 topic not UTF-8", v311, "30 05 | 00 03 61 c3 28", "MQTT-1.5.3-1"),
		malformed("publish 3.1.1 topic with a surrogate", v311, "30 05 | 00 03 ed bf bf", "MQTT-1.5.3-1"),
		malformed("publish 3.1.1 topic in UTF-8 and with a wildcard", v311, "30 06 | 00 04 c3 a4 2f 23", "MQTT-3.3.2-2"),

		malformed("publish 5 topic with a wildcard", v5, "30 04 | 00 01 '#' 00", "MQTT-3.3.2-2"),
		malformed("publish 5 topic not UTF-8", v5, "30 04 | 00 01 ff 00", "MQTT-1.5.4-1"),
		protocolError("publish 5 neither topic nor alias", v5, "30 03 | 00 00 00", "section 3.3.2.1"),
		bad("publish 5 topic alias 0", v5, "30 07 | 00 01 'a' 03 23 00 00", "MQTT-3.3.2-8", packet.ReasonTopicAliasInvalid),
		malformed("publish 5 response topic with a wildcard", v5, "30 08 | 00 01 'a' 04 08 00 01 '#'", "MQTT-3.3.2-14"),
		malformed("publish 5 empty response topic", v5, "30 07 | 00 01 'a' 03 08 00 00", "MQTT-4.7.3-1"),
		protocolError("publish 5 subscription id 0", v5, "30 06 | 00 01 'a' 02 0b 00", "section 2.2.2.2"),
		protocolError("publish 5 payload format 2", v5, "30 06 | 00 01 'a' 02 01 02", "section 2.2.2.2"),
		malformed("publish 5 property length missing", v5, "30 03 | 00 01 'a'", "section 2.1.4"),
		malformed("publish 5 remaining length written with two bytes", v5, "30 84 00 | 00 01 'a' 00", "MQTT-1.5.5-1"),
	}
}

// acks are the four kinds of acknowledgement with their first bytes.
var acks = []struct {
	kind  packet.Type
	first string
}{
	{packet.TypePuback, "40"}, {packet.TypePubrec, "50"}, {packet.TypePubrel, "62"}, {packet.TypePubcomp, "70"},
}

func ackCases() []Case {
	var cases []Case
	for _, a := range acks {
		for _, v := range []packet.Version{v31, v311, v5} {
			cases = append(cases, good(a.kind.String()+" "+v.String(), v, a.first+" 02 12 34", &packet.Ack{Kind: a.kind, ID: 0x1234}))
		}
		cases = append(cases, badAckCases(a.kind, a.first)...)
	}
	return append(cases, ackV5Cases()...)
}

func badAckCases(kind packet.Type, first string) []Case {
	name := kind.String()
	flagsClause, flagsClauseV5, reasonClause := "MQTT-2.2.2-2", "MQTT-2.1.3-1", map[packet.Type]string{
		packet.TypePuback: "MQTT-3.4.2-1", packet.TypePubrec: "MQTT-3.5.2-1",
		packet.TypePubrel: "MQTT-3.6.2-1", packet.TypePubcomp: "MQTT-3.7.2-1",
	}[kind]
	if kind == packet.TypePubrel {
		flagsClause, flagsClauseV5 = "MQTT-3.6.1-1", "MQTT-3.6.1-1"
	}
	wrong := first[:1] + "b"
	return []Case{
		malformed(name+" 3.1.1 with wrong flags", v311, wrong+" 02 12 34", flagsClause),
		malformed(name+" 5 with wrong flags", v5, wrong+" 02 12 34", flagsClauseV5),
		loose(name+" 3.1 with flags that 3.1 does not use", v31, wrong+" 02 12 34", &packet.Ack{Kind: kind, ID: 0x1234}, first+" 02 12 34"),
		protocolError(name+" 3.1.1 packet id 0", v311, first+" 02 00 00", "MQTT-2.3.1-1"),
		malformed(name+" 3.1.1 packet id cut", v311, first+" 01 12", "section 2.2.3"),
		malformed(name+" 3.1.1 with a reason code", v311, first+" 03 12 34 00", "section 2.2.3"),
		malformed(name+" 5 reason code of another packet", v5, first+" 03 12 34 8e", reasonClause),
		malformed(name+" 5 reason code that does not exist", v5, first+" 03 12 34 ff", reasonClause),
		malformed(name+" 5 property of another packet", v5, first+" 09 12 34 00 05 11 00 00 00 01", "section 2.2.2.2"),
		malformed(name+" 5 bytes after the properties", v5, first+" 05 12 34 00 00 00", "section 2.1.4"),
	}
}

func ackV5Cases() []Case {
	return []Case{
		good("PUBACK 5 with a reason code", v5, "40 04 12 34 10 00",
			&packet.Ack{Kind: packet.TypePuback, ID: 0x1234, Code: packet.ReasonNoMatchingSubscribers}),
		loose("PUBACK 5 that ends with the reason code", v5, "40 03 12 34 10",
			&packet.Ack{Kind: packet.TypePuback, ID: 0x1234, Code: packet.ReasonNoMatchingSubscribers}, "40 04 12 34 10 00"),
		good("PUBREC 5 with reason code and properties", v5, "50 11 12 34 97 | 0d 1f 00 03 'why' 26 00 01 'k' 00 01 'v'",
			&packet.Ack{Kind: packet.TypePubrec, ID: 0x1234, Code: packet.ReasonQuotaExceeded, Props: packet.Properties{
				ReasonString:   []byte("why"),
				UserProperties: []packet.UserProperty{{Name: []byte("k"), Value: []byte("v")}},
			}}),
		good("PUBREL 5 packet id not found", v5, "62 04 12 34 92 00",
			&packet.Ack{Kind: packet.TypePubrel, ID: 0x1234, Code: packet.ReasonPacketIDNotFound}),
		loose("PUBACK 5 success written out", v5, "40 04 12 34 00 00", &packet.Ack{Kind: packet.TypePuback, ID: 0x1234}, "40 02 12 34"),
		loose("PUBCOMP 5 success written out without properties", v5, "70 03 12 34 00",
			&packet.Ack{Kind: packet.TypePubcomp, ID: 0x1234}, "70 02 12 34"),
	}
}
