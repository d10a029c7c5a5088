package packettest

import "github.com/tidegate/tidegate/localbroker/packet"

const (
	v31  = packet.V31
	v311 = packet.V311
	v5   = packet.V5
)

func connectCases() []Case {
	return []Case{
		good("connect 3.1.1 minimal", v311, "10 0d | 00 04 'MQTT' 04 02 00 3c | 00 01 'c'",
			&packet.Connect{Version: v311, CleanStart: true, KeepAlive: 60, ClientID: "c"}),
		good("connect 3.1 minimal", v31, "10 0f | 00 06 'MQIsdp' 03 02 00 3c | 00 01 'c'",
			&packet.Connect{Version: v31, CleanStart: true, KeepAlive: 60, ClientID: "c"}),
		good("connect 3.1.1 empty client id, keep alive 0", v311, "10 0c | 00 04 'MQTT' 04 02 00 00 | 00 00",
			&packet.Connect{Version: v311, CleanStart: true}),
		good("connect 3.1.1 empty client id without clean session is for the broker to refuse", v311,
			"10 0c | 00 04 'MQTT' 04 00 ff ff | 00 00",
			&packet.Connect{Version: v311, KeepAlive: 65535}),
		good("connect 3.1.1 everything", v311,
			"10 26 | 00 04 'MQTT' 04 f6 00 0a | 00 02 'id' | 00 03 'w/t' 00 04 'gone' | 00 03 'ann' | 00 06 73 65 00 63 ff 74",
			&packet.Connect{
				Version: v311, CleanStart: true, KeepAlive: 10, ClientID: "id",
				Will:     &packet.Will{Topic: "w/t", Payload: []byte("gone"), QoS: 2, Retain: true},
				Username: packet.Some("ann"), Password: []byte("se\x00c\xfft"),
			}),
		good("connect 3.1.1 empty will payload, empty user name, empty password", v311,
			"10 16 | 00 04 'MQTT' 04 c4 00 0a | 00 01 'c' | 00 01 'w' 00 00 | 00 00 | 00 00",
			&packet.Connect{
				Version: v311, KeepAlive: 10, ClientID: "c", Will: &packet.Will{Topic: "w", Payload: []byte{}},
				Username: packet.Some(""), Password: []byte{},
			}),
		good("connect 3.1.1 user name without password", v311, "10 10 | 00 04 'MQTT' 04 80 00 0a | 00 01 'c' | 00 01 'u'",
			&packet.Connect{Version: v311, KeepAlive: 10, ClientID: "c", Username: packet.Some("u")}),
		good("connect 3.1.1 control characters and BOM in a string [MQTT-1.5.3-3]", v311,
			"10 11 | 00 04 'MQTT' 04 02 00 0a | 00 05 ef bb bf 01 7f",
			&packet.Connect{Version: v311, CleanStart: true, KeepAlive: 10, ClientID: "\ufeff\x01\x7f"}),
		good("connect 3.1.1 mosquitto bridge", v311, "10 0d | 00 04 'MQTT' 84 02 00 3c | 00 01 'c'",
			&packet.Connect{Version: v311, Bridge: true, CleanStart: true, KeepAlive: 60, ClientID: "c"}),
		good("connect 3.1 mosquitto bridge", v31, "10 0f | 00 06 'MQIsdp' 83 02 00 3c | 00 01 'c'",
			&packet.Connect{Version: v31, Bridge: true, CleanStart: true, KeepAlive: 60, ClientID: "c"}),

		loose("connect 3.1 user name and password announced but not there", v31,
			"10 0f | 00 06 'MQIsdp' 03 c2 00 3c | 00 01 'c'",
			&packet.Connect{Version: v31, CleanStart: true, KeepAlive: 60, ClientID: "c"},
			"10 0f | 00 06 'MQIsdp' 03 02 00 3c | 00 01 'c'"),
		loose("connect 3.1 password announced but not there", v31,
			"10 12 | 00 06 'MQIsdp' 03 c2 00 3c | 00 01 'c' | 00 01 'u'",
			&packet.Connect{Version: v31, CleanStart: true, KeepAlive: 60, ClientID: "c", Username: packet.Some("u")},
			"10 12 | 00 06 'MQIsdp' 03 82 00 3c | 00 01 'c' | 00 01 'u'"),
		loose("connect 3.1 reserved flag and will flags without a will are disregarded", v31,
			"10 0f | 00 06 'MQIsdp' 03 3b 00 3c | 00 01 'c'",
			&packet.Connect{Version: v31, CleanStart: true, KeepAlive: 60, ClientID: "c"},
			"10 0f | 00 06 'MQIsdp' 03 02 00 3c | 00 01 'c'"),
		loose("connect 3.1.1 remaining length written with two bytes", v311,
			"10 8d 00 | 00 04 'MQTT' 04 02 00 3c | 00 01 'c'",
			&packet.Connect{Version: v311, CleanStart: true, KeepAlive: 60, ClientID: "c"},
			"10 0d | 00 04 'MQTT' 04 02 00 3c | 00 01 'c'"),
	}
}

func connectV5Cases() []Case {
	return []Case{
		good("connect 5 minimal", v5, "10 0e | 00 04 'MQTT' 05 02 00 3c 00 | 00 01 'c'",
			&packet.Connect{Version: v5, CleanStart: true, KeepAlive: 60, ClientID: "c"}),
		good("connect 5 password without user name", v5, "10 11 | 00 04 'MQTT' 05 40 00 3c 00 | 00 01 'c' | 00 01 'p'",
			&packet.Connect{Version: v5, KeepAlive: 60, ClientID: "c", Password: []byte("p")}),
		good("connect 5 all properties", v5,
			"10 3a | 00 04 'MQTT' 05 00 00 3c | 2b 11 00 00 00 3c 15 00 02 'au' 16 00 02 00 ff 17 00 19 01 21 00 14 22 00 0a"+
				" 26 00 01 'k' 00 01 'v' 26 00 01 'k' 00 00 27 00 01 00 00 | 00 02 'id'",
			&packet.Connect{Version: v5, KeepAlive: 60, ClientID: "id", Props: packet.Properties{
				SessionExpiry: packet.Some[uint32](60), AuthMethod: []byte("au"), AuthData: []byte{0, 0xff},
				RequestProblemInfo: packet.Some[byte](0), RequestResponseInfo: packet.Some[byte](1),
				ReceiveMaximum: packet.Some[uint16](20), TopicAliasMaximum: packet.Some[uint16](10),
				UserProperties: []packet.UserProperty{
					{Name: []byte("k"), Value: []byte("v")},
					{Name: []byte("k"), Value: []byte{}},
				},
				MaximumPacketSize: packet.Some[uint32](65536),
			}}),
		good("connect 5 will with all properties", v5,
			"10 3f | 00 04 'MQTT' 05 0c 00 3c 00 | 00 02 'id' |"+
				" 28 01 01 02 00 00 00 64 03 00 0a 'text/plain' 08 00 01 'r' 09 00 01 00 18 00 00 00 05 26 00 01 'k' 00 01 'v' |"+
				" 00 01 'w' 00 02 'hi'",
			&packet.Connect{Version: v5, KeepAlive: 60, ClientID: "id", Will: &packet.Will{
				Topic: "w", Payload: []byte("hi"), QoS: 1, Props: packet.Properties{
					PayloadFormat: packet.Some[byte](1), MessageExpiry: packet.Some[uint32](100),
					ContentType: []byte("text/plain"), ResponseTopic: []byte("r"), CorrelationData: []byte{0},
					WillDelay:      packet.Some[uint32](5),
					UserProperties: []packet.UserProperty{{Name: []byte("k"), Value: []byte("v")}},
				},
			}}),
	}
}

func badConnectCases() []Case {
	return []Case{
		malformed("connect with flags in the fixed header", v311, "11 0d | 00 04 'MQTT' 04 02 00 3c | 00 01 'c'", "MQTT-2.2.2-2"),
		bad("connect with another protocol name", v311, "10 0d | 00 04 'MQTX' 04 02 00 3c | 00 01 'c'",
			"MQTT-3.1.2-1", packet.ReasonUnsupportedVersion),
		bad("connect with an empty protocol name", v311, "10 09 | 00 00 04 02 00 3c | 00 01 'c'",
			"MQTT-3.1.2-1", packet.ReasonUnsupportedVersion),
		bad("connect MQTT level 3", v311, "10 0d | 00 04 'MQTT' 03 02 00 3c | 00 01 'c'",
			"MQTT-3.1.2-2", packet.ReasonUnsupportedVersion),
		bad("connect MQTT level 6", v5, "10 0d | 00 04 'MQTT' 06 02 00 3c | 00 01 'c'",
			"MQTT-3.1.2-2", packet.ReasonUnsupportedVersion),
		bad("connect MQTT level 5 with the bridge bit", v5, "10 0e | 00 04 'MQTT' 85 02 00 3c 00 | 00 01 'c'",
			"MQTT-3.1.2-2", packet.ReasonUnsupportedVersion),
		bad("connect MQIsdp level 4", v311, "10 0f | 00 06 'MQIsdp' 04 02 00 3c | 00 01 'c'",
			"MQTT-3.1.2-2", packet.ReasonUnsupportedVersion),
		malformed("connect 3.1.1 with the reserved flag", v311, "10 0d | 00 04 'MQTT' 04 03 00 3c | 00 01 'c'", "MQTT-3.1.2-3"),
		malformed("connect 5 with the reserved flag", v5, "10 0e | 00 04 'MQTT' 05 03 00 3c 00 | 00 01 'c'", "MQTT-3.1.2-3"),
		malformed("connect 3.1.1 without a client id", v311, "10 0a | 00 04 'MQTT' 04 02 00 3c", "MQTT-3.1.3-3"),
		malformed("connect 5 without a client id", v5, "10 0b | 00 04 'MQTT' 05 02 00 3c 00", "MQTT-3.1.3-3"),
		malformed("connect 3.1.1 client id ends early", v311, "10 0d | 00 04 'MQTT' 04 02 00 3c | 00 02 'c'", "section 2.2.3"),
		malformed("connect 3.1.1 ends within the keep alive", v311, "10 09 | 00 04 'MQTT' 04 02 00", "section 2.2.3"),
		malformed("connect of nothing", v311, "10 00", "section 2.2.3"),
		malformed("connect 3.1.1 client id with a null character", v311, "10 0d | 00 04 'MQTT' 04 02 00 3c | 00 01 00", "MQTT-1.5.3-2"),
		malformed("connect 3.1.1 client id with a surrogate", v311, "10 0f | 00 04 'MQTT' 04 02 00 3c | 00 03 ed a0 80", "MQTT-1.5.3-1"),
		malformed("connect 3.1.1 client id with an overlong character", v311, "10 0e | 00 04 'MQTT' 04 02 00 3c | 00 02 c1 81", "MQTT-1.5.3-1"),
		malformed("connect 5 client id not UTF-8", v5, "10 0e | 00 04 'MQTT' 05 02 00 3c 00 | 00 01 ff", "MQTT-1.5.4-1"),
		malformed("connect 5 client id with a null character", v5, "10 0e | 00 04 'MQTT' 05 02 00 3c 00 | 00 01 00", "MQTT-1.5.4-2"),

		malformed("connect 3.1.1 will QoS without will", v311, "10 0d | 00 04 'MQTT' 04 0a 00 3c | 00 01 'c'", "MQTT-3.1.2-13"),
		malformed("connect 3.1.1 will retain without will", v311, "10 0d | 00 04 'MQTT' 04 22 00 3c | 00 01 'c'", "MQTT-3.1.2-15"),
		malformed("connect 3.1.1 will QoS 3", v311, "10 13 | 00 04 'MQTT' 04 1e 00 3c | 00 01 'c' | 00 01 'w' 00 01 'x'", "MQTT-3.1.2-14"),
		malformed("connect 3.1 will QoS 3", v31, "10 15 | 00 06 'MQIsdp' 03 1e 00 3c | 00 01 'c' | 00 01 'w' 00 01 'x'", "MQTT-3.1.2-14"),
		malformed("connect 5 will QoS without will", v5, "10 0e | 00 04 'MQTT' 05 0a 00 3c 00 | 00 01 'c'", "MQTT-3.1.2-11"),
		malformed("connect 5 will QoS 3", v5, "10 15 | 00 04 'MQTT' 05 1e 00 3c 00 | 00 01 'c' | 00 00 01 'w' 00 01 'x'", "MQTT-3.1.2-12"),
		malformed("connect 5 will retain without will", v5, "10 0e | 00 04 'MQTT' 05 22 00 3c 00 | 00 01 'c'", "MQTT-3.1.2-13"),
		malformed("connect 3.1.1 will topic missing", v311, "10 0d | 00 04 'MQTT' 04 06 00 3c | 00 01 'c'", "MQTT-3.1.2-9"),
		malformed("connect 3.1.1 will payload missing", v311, "10 10 | 00 04 'MQTT' 04 06 00 3c | 00 01 'c' | 00 01 'w'", "MQTT-3.1.2-9"),
		malformed("connect 3.1.1 will topic empty", v311, "10 11 | 00 04 'MQTT' 04 06 00 3c | 00 01 'c' | 00 00 00 00", "MQTT-4.7.3-1"),
		malformed("connect 3.1.1 will topic with a wildcard", v311, "10 13 | 00 04 'MQTT' 04 06 00 3c | 00 01 'c' | 00 01 '#' 00 01 'x'", "MQTT-4.7.1-1"),
		malformed("connect 5 will topic with a wildcard", v5, "10 15 | 00 04 'MQTT' 05 06 00 3c 00 | 00 01 'c' | 00 00 01 '+' 00 01 'x'", "MQTT-4.7.0-1"),

		malformed("connect 3.1.1 user name missing", v311, "10 0d | 00 04 'MQTT' 04 82 00 3c | 00 01 'c'", "MQTT-3.1.2-19"),
		malformed("connect 3.1.1 password missing", v311, "10 10 | 00 04 'MQTT' 04 c2 00 3c | 00 01 'c' | 00 01 'u'", "MQTT-3.1.2-21"),
		malformed("connect 3.1.1 password without user name", v311, "10 10 | 00 04 'MQTT' 04 42 00 3c | 00 01 'c' | 00 01 'p'", "MQTT-3.1.2-22"),
		malformed("connect 3.1.1 user name not UTF-8", v311, "10 10 | 00 04 'MQTT' 04 82 00 3c | 00 01 'c' | 00 01 80", "MQTT-1.5.3-1"),
		malformed("connect 3.1.1 user name without its flag", v311, "10 10 | 00 04 'MQTT' 04 02 00 3c | 00 01 'c' | 00 01 'u'", "section 2.2.3"),
		malformed("connect 5 user name missing", v5, "10 0e | 00 04 'MQTT' 05 82 00 3c 00 | 00 01 'c'", "MQTT-3.1.2-17"),
		malformed("connect 5 password missing", v5, "10 11 | 00 04 'MQTT' 05 c2 00 3c 00 | 00 01 'c' | 00 01 'u'", "MQTT-3.1.2-19"),
		malformed("connect 5 remaining length written with two bytes", v5, "10 8e 00 | 00 04 'MQTT' 05 02 00 3c 00 | 00 01 'c'", "MQTT-1.5.5-1"),
		protocolError("connect 5 authentication data without a method", v5,
			"10 12 | 00 04 'MQTT' 05 02 00 3c | 04 16 00 01 00 | 00 01 'c'", "section 3.1.2.11.10"),

		// MQTT.js in a mini program: three unused bytes of the remaining length's buffer.
		bad("connect of MQTT.js with the whole ArrayBuffer", v311, "10 0f 00 00 00 | 00 04 'MQTT' 04 02 00 3c | 00 01",
			"MQTT-3.1.2-1", packet.ReasonUnsupportedVersion),
	}
}
