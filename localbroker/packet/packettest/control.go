package packettest

import "github.com/tidegate/tidegate/localbroker/packet"

func frameCases() []Case {
	return []Case{
		malformed("packet type 0", v311, "00 00", "section 2.2.1"),
		malformed("AUTH 3.1.1", v311, "f0 00", "section 2.2.1"),
		malformed("remaining length of five bytes", v311, "30 ff ff ff ff 01", "section 2.2.3"),
		malformed("remaining length of five bytes, padded", v311, "c0 80 80 80 80 00", "section 2.2.3"),
	}
}

func connackCases() []Case {
	cases := []Case{
		good("connack 3.1.1 session present", v311, "20 02 | 01 00", &packet.Connack{SessionPresent: true}),
		loose("connack 3.1 with a byte that 3.1 does not use", v31, "20 02 | 01 00", &packet.Connack{}, "20 02 | 00 00"),
		malformed("connack 3.1.1 with wrong flags", v311, "22 02 | 00 00", "MQTT-2.2.2-2"),
		malformed("connack 3.1.1 reserved bits", v311, "20 02 | 02 00", "section 3.2.2.1"),
		malformed("connack 5 reserved bits", v5, "20 03 | 80 00 00", "MQTT-3.2.2-1"),
		malformed("connack 3.1.1 code 6", v311, "20 02 | 00 06", "section 3.2.2.3"),
		malformed("connack 5 code of another packet", v5, "20 03 | 00 8e 00", "MQTT-3.2.2-8"),
		protocolError("connack 3.1.1 session present in a refusal", v311, "20 02 | 01 05", "MQTT-3.2.2-4"),
		protocolError("connack 5 session present in a refusal", v5, "20 03 | 01 87 00", "MQTT-3.2.2-6"),
		malformed("connack 3.1.1 too long", v311, "20 03 | 00 00 00", "section 2.2.3"),
		malformed("connack 3.1.1 too short", v311, "20 01 | 00", "section 2.2.3"),
		good("connack 5", v5, "20 03 | 00 00 00", &packet.Connack{}),
		good("connack 5 refusal", v5, "20 09 | 00 87 | 06 1f 00 03 'why'",
			&packet.Connack{Code: packet.ReasonNotAuthorized, Props: packet.Properties{ReasonString: []byte("why")}}),
		good("connack 5 all properties", v5,
			"20 40 | 01 00 | 3d 11 00 00 00 3c 12 00 02 'id' 13 00 1e 15 00 01 'm' 16 00 01 00 1a 00 01 'i' 1c 00 01 's' 1f 00 01 'r'"+
				" 21 00 14 22 00 0a 24 01 25 00 26 00 01 'k' 00 01 'v' 27 00 01 00 00 28 00 29 00 2a 00",
			&packet.Connack{SessionPresent: true, Props: packet.Properties{
				SessionExpiry: packet.Some[uint32](60), AssignedClientID: []byte("id"), ServerKeepAlive: packet.Some[uint16](30),
				AuthMethod: []byte("m"), AuthData: []byte{0}, ResponseInfo: []byte("i"), ServerReference: []byte("s"),
				ReasonString: []byte("r"), ReceiveMaximum: packet.Some[uint16](20), TopicAliasMaximum: packet.Some[uint16](10),
				MaximumQoS: packet.Some[byte](1), RetainAvailable: packet.Some[byte](0),
				UserProperties:    []packet.UserProperty{{Name: []byte("k"), Value: []byte("v")}},
				MaximumPacketSize: packet.Some[uint32](65536), WildcardAvailable: packet.Some[byte](0),
				SubscriptionIDsAvail: packet.Some[byte](0), SharedAvailable: packet.Some[byte](0),
			}}),
	}
	codes := []packet.ReasonCode{
		packet.ReasonSuccess, packet.ReasonUnsupportedVersion, packet.ReasonClientIDNotValid,
		packet.ReasonServerUnavailable, packet.ReasonBadUserNameOrPassword, packet.ReasonNotAuthorized,
	}
	for i, code := range codes {
		raw := "20 02 | 00 0" + string(rune('0'+i))
		cases = append(cases,
			good("connack 3.1.1 "+code.String(), v311, raw, &packet.Connack{Code: code}),
			good("connack 3.1 "+code.String(), v31, raw, &packet.Connack{Code: code}))
	}
	return cases
}

func controlCases() []Case {
	return []Case{
		good("pingreq 3.1.1", v311, "c0 00", &packet.Pingreq{}),
		good("pingresp 3.1.1", v311, "d0 00", &packet.Pingresp{}),
		good("disconnect 3.1.1", v311, "e0 00", &packet.Disconnect{}),
		good("pingreq 3.1", v31, "c0 00", &packet.Pingreq{}),
		good("pingresp 3.1", v31, "d0 00", &packet.Pingresp{}),
		good("disconnect 3.1", v31, "e0 00", &packet.Disconnect{}),
		good("pingreq 5", v5, "c0 00", &packet.Pingreq{}),
		good("pingresp 5", v5, "d0 00", &packet.Pingresp{}),
		malformed("pingreq 3.1.1 with wrong flags", v311, "c1 00", "MQTT-2.2.2-2"),
		malformed("pingreq 5 with wrong flags", v5, "c1 00", "MQTT-2.1.3-1"),
		malformed("pingreq 3.1.1 with a body", v311, "c0 01 00", "section 2.2.3"),
		malformed("pingresp 3.1.1 with a body", v311, "d0 02 00 00", "section 2.2.3"),
		malformed("pingreq 5 remaining length written with two bytes", v5, "c0 80 00", "MQTT-1.5.5-1"),
		malformed("disconnect 3.1.1 with wrong flags", v311, "e2 00", "MQTT-3.14.1-1"),
		malformed("disconnect 3.1.1 with a body", v311, "e0 01 00", "section 2.2.3"),

		good("disconnect 5", v5, "e0 00", &packet.Disconnect{}),
		loose("disconnect 5 normal written out", v5, "e0 02 00 00", &packet.Disconnect{}, "e0 00"),
		good("disconnect 5 with will", v5, "e0 02 04 00", &packet.Disconnect{Code: packet.ReasonDisconnectWithWill}),
		good("disconnect 5 all properties", v5, "e0 16 | 00 | 14 11 00 00 00 3c 1c 00 01 's' 1f 00 01 'r' 26 00 01 'k' 00 01 'v'",
			&packet.Disconnect{Props: packet.Properties{
				SessionExpiry: packet.Some[uint32](60), ServerReference: []byte("s"), ReasonString: []byte("r"),
				UserProperties: []packet.UserProperty{{Name: []byte("k"), Value: []byte("v")}},
			}}),
		malformed("disconnect 5 with wrong flags", v5, "e1 00", "MQTT-3.14.1-1"),
		malformed("disconnect 5 code of another packet", v5, "e0 01 01", "MQTT-3.14.2-1"),

		good("auth 5 success without anything", v5, "f0 00", &packet.Auth{}),
		good("auth 5", v5, "f0 0a | 18 | 08 15 00 01 'm' 16 00 01 ff",
			&packet.Auth{Code: packet.ReasonContinueAuthentication, Props: packet.Properties{AuthMethod: []byte("m"), AuthData: []byte{0xff}}}),
		good("auth 5 all properties", v5, "f0 11 | 19 | 0f 15 00 01 'm' 1f 00 02 'no' 26 00 01 'k' 00 00",
			&packet.Auth{Code: packet.ReasonReauthenticate, Props: packet.Properties{
				AuthMethod: []byte("m"), ReasonString: []byte("no"),
				UserProperties: []packet.UserProperty{{Name: []byte("k"), Value: []byte{}}},
			}}),
		malformed("auth 5 with wrong flags", v5, "f1 00", "MQTT-3.15.1-1"),
		malformed("auth 5 code of another packet", v5, "f0 06 | 87 | 04 15 00 01 'm'", "MQTT-3.15.2-1"),
		malformed("auth 5 code without properties", v5, "f0 01 18", "section 2.1.4"),
		protocolError("auth 5 without a method", v5, "f0 02 | 18 00", "section 3.15.2.2.2"),
	}
}

func propertyCases() []Case {
	return []Case{
		malformed("property that does not exist", v5, "30 06 | 00 01 'a' 02 04 00", "section 2.2.2.2"),
		malformed("property beyond the table", v5, "30 06 | 00 01 'a' 02 7f 00", "section 2.2.2.2"),
		malformed("property identifier of two bytes", v5, "30 07 | 00 01 'a' 03 81 01 00", "section 2.2.2.2"),
		malformed("property identifier with a byte too many", v5, "30 08 | 00 01 'a' 04 a3 00 00 01", "MQTT-1.5.5-1"),
		malformed("property of CONNECT in PUBLISH", v5, "30 07 | 00 01 'a' 03 21 00 01", "section 2.2.2.2"),
		malformed("property of a will in CONNECT", v5, "10 13 | 00 04 'MQTT' 05 02 00 3c | 05 18 00 00 00 01 | 00 01 'c'", "section 2.2.2.2"),
		malformed("property of CONNECT in a will", v5,
			"10 18 | 00 04 'MQTT' 05 06 00 3c 00 | 00 01 'c' | 03 21 00 01 | 00 01 'w' 00 01 'x'", "section 2.2.2.2"),
		malformed("subscription id in CONNECT", v5, "10 10 | 00 04 'MQTT' 05 02 00 3c | 02 0b 01 | 00 01 'c'", "section 2.2.2.2"),
		protocolError("property twice", v5, "10 14 | 00 04 'MQTT' 05 02 00 3c | 06 21 00 01 21 00 01 | 00 01 'c'", "section 2.2.2.2"),
		protocolError("receive maximum 0", v5, "10 11 | 00 04 'MQTT' 05 02 00 3c | 03 21 00 00 | 00 01 'c'", "section 2.2.2.2"),
		protocolError("maximum packet size 0", v5, "10 13 | 00 04 'MQTT' 05 02 00 3c | 05 27 00 00 00 00 | 00 01 'c'", "section 2.2.2.2"),
		protocolError("request problem information 2", v5, "10 10 | 00 04 'MQTT' 05 02 00 3c | 02 17 02 | 00 01 'c'", "section 2.2.2.2"),
		protocolError("maximum QoS 2 in CONNACK", v5, "20 05 | 00 00 | 02 24 02", "section 2.2.2.2"),
		malformed("property value cut by the property length", v5, "30 07 | 00 01 'a' 02 23 00 | 01", "section 2.1.4"),
		malformed("property text cut by the property length", v5, "30 08 | 00 01 'a' 03 03 00 01 | 78", "section 2.1.4"),
		malformed("property length beyond the packet", v5, "30 05 | 00 01 'a' 02 23", "section 2.1.4"),
		malformed("property length cut", v5, "30 04 | 00 01 'a' 80", "section 2.1.4"),
		malformed("property length with a byte too many", v5, "30 05 | 00 01 'a' 80 00", "MQTT-1.5.5-1"),
		malformed("user property name not UTF-8", v5, "30 0b | 00 01 'a' 07 26 00 01 ff 00 01 'v'", "MQTT-1.5.4-1"),
		malformed("user property value with a null character", v5, "30 0b | 00 01 'a' 07 26 00 01 'k' 00 01 00", "MQTT-1.5.4-2"),
		malformed("user property without its value", v5, "30 08 | 00 01 'a' 04 26 00 01 'k'", "section 2.1.4"),
		malformed("content type not UTF-8", v5, "30 08 | 00 01 'a' 04 03 00 01 c0", "MQTT-1.5.4-1"),
	}
}
