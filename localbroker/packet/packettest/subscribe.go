package packettest

import "github.com/tidegate/tidegate/localbroker/packet"

func subscribeCases() []Case {
	return []Case{
		good("subscribe 3.1.1", v311, "82 08 | 00 01 | 00 03 'a/b' 01",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "a/b", QoS: 1}}}),
		good("subscribe 3.1.1 several filters", v311, "82 14 | 00 02 | 00 01 '#' 00 | 00 03 'a/#' 01 | 00 05 '+/b/+' 02",
			&packet.Subscribe{ID: 2, Subscriptions: []packet.Subscription{
				{Filter: "#"}, {Filter: "a/#", QoS: 1}, {Filter: "+/b/+", QoS: 2},
			}}),
		good("subscribe 3.1.1 filters that look odd", v311, "82 13 | 00 02 | 00 01 '/' 00 | 00 01 '+' 00 | 00 02 '/#' 00 | 00 01 20 00",
			&packet.Subscribe{ID: 2, Subscriptions: []packet.Subscription{
				{Filter: "/"}, {Filter: "+"}, {Filter: "/#"}, {Filter: " "},
			}}),
		good("subscribe 3.1.1 $share is a filter like any other", v311, "82 0d | 00 01 | 00 08 '$share//' 00",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "$share//"}}}),
		good("subscribe 3.1", v31, "82 08 | 00 01 | 00 03 'a/b' 01",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "a/b", QoS: 1}}}),
		loose("subscribe 3.1 sent again with DUP", v31, "8a 08 | 00 01 | 00 03 'a/b' 01",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "a/b", QoS: 1}}},
			"82 08 | 00 01 | 00 03 'a/b' 01"),
		good("subscribe 5 all options", v5, "82 0f | 00 01 00 | 00 01 'a' 2e | 00 01 'b' 10 | 00 01 'c' 00",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{
				{Filter: "a", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: packet.RetainNever},
				{Filter: "b", RetainHandling: packet.RetainOnNewSubscribe},
				{Filter: "c"},
			}}),
		good("subscribe 5 all properties", v5, "82 13 | 00 01 | 0c 0b ff ff ff 7f 26 00 01 'k' 00 01 'v' | 00 01 'a' 00",
			&packet.Subscribe{
				ID: 1, Subscriptions: []packet.Subscription{{Filter: "a"}},
				Props: packet.Properties{
					SubscriptionIDs: []uint32{packet.MaxRemaining},
					UserProperties:  []packet.UserProperty{{Name: []byte("k"), Value: []byte("v")}},
				},
			}),
		good("subscribe 5 shared", v5, "82 12 | 00 01 00 | 00 0c '$share/g/a/+' 01",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "$share/g/a/+", QoS: 1}}}),
	}
}

func badSubscribeCases() []Case {
	return []Case{
		malformed("subscribe 3.1.1 with wrong flags", v311, "80 08 | 00 01 | 00 03 'a/b' 01", "MQTT-3.8.1-1"),
		malformed("subscribe 3.1.1 with DUP", v311, "8a 08 | 00 01 | 00 03 'a/b' 01", "MQTT-3.8.1-1"),
		malformed("subscribe 5 with wrong flags", v5, "80 09 | 00 01 00 | 00 03 'a/b' 01", "MQTT-3.8.1-1"),
		protocolError("subscribe 3.1.1 packet id 0", v311, "82 08 | 00 00 | 00 03 'a/b' 01", "MQTT-2.3.1-1"),
		protocolError("subscribe 5 packet id 0", v5, "82 09 | 00 00 00 | 00 03 'a/b' 01", "MQTT-2.2.1-3"),
		protocolError("subscribe 3.1.1 without a filter", v311, "82 02 | 00 01", "MQTT-3.8.3-3"),
		protocolError("subscribe 5 without a filter", v5, "82 03 | 00 01 00", "MQTT-3.8.3-2"),
		malformed("subscribe 3.1.1 QoS missing", v311, "82 07 | 00 01 | 00 03 'a/b'", "section 2.2.3"),
		malformed("subscribe 3.1.1 filter ends early", v311, "82 06 | 00 01 | 00 03 'a/'", "section 2.2.3"),
		malformed("subscribe 3.1.1 empty filter", v311, "82 05 | 00 01 | 00 00 01", "MQTT-4.7.3-1"),
		malformed("subscribe 3.1.1 filter not UTF-8", v311, "82 06 | 00 01 | 00 01 ff 01", "MQTT-1.5.3-1"),
		malformed("subscribe 3.1.1 filter with a null character", v311, "82 06 | 00 01 | 00 01 00 01", "MQTT-1.5.3-2"),
		malformed("subscribe 3.1.1 # not last", v311, "82 08 | 00 01 | 00 03 '#/a' 01", "MQTT-4.7.1-2"),
		malformed("subscribe 3.1.1 # after a letter", v311, "82 07 | 00 01 | 00 02 'a#' 01", "MQTT-4.7.1-2"),
		malformed("subscribe 3.1.1 + after a letter", v311, "82 07 | 00 01 | 00 02 'a+' 01", "MQTT-4.7.1-3"),
		malformed("subscribe 3.1.1 + before a letter", v311, "82 09 | 00 01 | 00 04 'a/+b' 01", "MQTT-4.7.1-3"),
		malformed("subscribe 3.1.1 + and #", v311, "82 07 | 00 01 | 00 02 '+#' 01", "MQTT-4.7.1-3"),
		malformed("subscribe 3.1.1 second filter bad", v311, "82 0b | 00 01 | 00 01 'a' 00 | 00 02 '##' 01", "MQTT-4.7.1-2"),
		malformed("subscribe 3.1.1 reserved bits with the QoS", v311, "82 08 | 00 01 | 00 03 'a/b' 05", "MQTT-3-8.3-4"),
		protocolError("subscribe 3.1.1 QoS 3", v311, "82 08 | 00 01 | 00 03 'a/b' 03", "MQTT-3-8.3-4"),

		malformed("subscribe 5 # not last", v5, "82 09 | 00 01 00 | 00 03 '#/a' 01", "MQTT-4.7.1-1"),
		malformed("subscribe 5 + after a letter", v5, "82 08 | 00 01 00 | 00 02 'a+' 01", "MQTT-4.7.1-2"),
		malformed("subscribe 5 reserved options", v5, "82 07 | 00 01 00 | 00 01 'a' 41", "MQTT-3.8.3-5"),
		protocolError("subscribe 5 QoS 3", v5, "82 07 | 00 01 00 | 00 01 'a' 03", "section 3.8.3.1"),
		protocolError("subscribe 5 retain handling 3", v5, "82 07 | 00 01 00 | 00 01 'a' 30", "section 3.8.3.1"),
		protocolError("subscribe 5 shared with no local", v5, "82 10 | 00 01 00 | 00 0a '$share/g/a' 04", "MQTT-3.8.3-4"),
		malformed("subscribe 5 shared without a name", v5, "82 0f | 00 01 00 | 00 09 '$share//a' 00", "MQTT-4.8.2-1"),
		malformed("subscribe 5 shared without a filter", v5, "82 0e | 00 01 00 | 00 08 '$share/g' 00", "MQTT-4.8.2-2"),
		malformed("subscribe 5 shared with an empty filter", v5, "82 0f | 00 01 00 | 00 09 '$share/g/' 00", "MQTT-4.8.2-2"),
		malformed("subscribe 5 shared with a wildcard for a name", v5, "82 10 | 00 01 00 | 00 0a '$share/+/a' 00", "MQTT-4.8.2-2"),
		protocolError("subscribe 5 subscription id 0", v5, "82 09 | 00 01 | 02 0b 00 | 00 01 'a' 00", "section 2.2.2.2"),
		protocolError("subscribe 5 two subscription ids", v5, "82 0b | 00 01 | 04 0b 01 0b 02 | 00 01 'a' 00", "section 2.2.2.2"),
		malformed("subscribe 5 subscription id of five bytes", v5, "82 0d | 00 01 | 06 0b ff ff ff ff 01 | 00 01 'a' 00", "section 1.5.5"),
		malformed("subscribe 5 subscription id with a byte too many", v5, "82 0a | 00 01 | 03 0b 81 00 | 00 01 'a' 00", "MQTT-1.5.5-1"),
	}
}

func unsubscribeCases() []Case {
	return []Case{
		good("unsubscribe 3.1.1", v311, "a2 0a | 00 01 | 00 01 'a' | 00 03 'b/#'",
			&packet.Unsubscribe{ID: 1, Filters: []string{"a", "b/#"}}),
		good("unsubscribe 3.1", v31, "a2 05 | 00 01 | 00 01 'a'", &packet.Unsubscribe{ID: 1, Filters: []string{"a"}}),
		good("unsubscribe 5", v5, "a2 0d | 00 01 | 07 26 00 01 'k' 00 01 'v' | 00 01 'a'",
			&packet.Unsubscribe{ID: 1, Filters: []string{"a"}, Props: packet.Properties{
				UserProperties: []packet.UserProperty{{Name: []byte("k"), Value: []byte("v")}},
			}}),
		malformed("unsubscribe 3.1.1 with wrong flags", v311, "a0 05 | 00 01 | 00 01 'a'", "MQTT-3.10.1-1"),
		protocolError("unsubscribe 3.1.1 packet id 0", v311, "a2 05 | 00 00 | 00 01 'a'", "MQTT-2.3.1-1"),
		protocolError("unsubscribe 3.1.1 without a filter", v311, "a2 02 | 00 01", "MQTT-3.10.3-2"),
		protocolError("unsubscribe 5 without a filter", v5, "a2 03 | 00 01 00", "MQTT-3.10.3-2"),
		malformed("unsubscribe 3.1.1 filter ends early", v311, "a2 05 | 00 01 | 00 02 'a'", "section 2.2.3"),
		malformed("unsubscribe 3.1.1 bad filter", v311, "a2 07 | 00 01 | 00 03 'a#b'", "MQTT-4.7.1-2"),
		malformed("unsubscribe 5 bad share", v5, "a2 0d | 00 01 00 | 00 08 '$share/g'", "MQTT-4.8.2-2"),
	}
}

func subackCases() []Case {
	return []Case{
		good("suback 3.1.1", v311, "90 06 | 00 01 | 00 01 02 80",
			&packet.Suback{ID: 1, Codes: []packet.ReasonCode{0, 1, 2, packet.ReasonUnspecifiedError}}),
		good("suback 3.1", v31, "90 03 | 00 01 | 02", &packet.Suback{ID: 1, Codes: []packet.ReasonCode{2}}),
		good("suback 5", v5, "90 0c | 00 01 | 06 1f 00 03 'why' | 01 87 a2",
			&packet.Suback{
				ID: 1, Codes: []packet.ReasonCode{1, packet.ReasonNotAuthorized, packet.ReasonWildcardsNotSupported},
				Props: packet.Properties{ReasonString: []byte("why")},
			}),
		malformed("suback 3.1.1 with wrong flags", v311, "91 03 | 00 01 | 00", "MQTT-2.2.2-2"),
		malformed("suback 3.1.1 QoS 3", v311, "90 03 | 00 01 | 03", "MQTT-3.9.3-2"),
		malformed("suback 3.1.1 with a code of MQTT 5", v311, "90 03 | 00 01 | 87", "MQTT-3.9.3-2"),
		malformed("suback 5 with a code of another packet", v5, "90 04 | 00 01 00 | 10", "MQTT-3.9.3-2"),
		malformed("suback 3.1.1 without a code", v311, "90 02 | 00 01", "section 3.9.3"),
		protocolError("suback 3.1.1 packet id 0", v311, "90 03 | 00 00 | 00", "MQTT-2.3.1-1"),

		good("unsuback 3.1.1", v311, "b0 02 | 00 01", &packet.Unsuback{ID: 1}),
		good("unsuback 3.1", v31, "b0 02 | 00 01", &packet.Unsuback{ID: 1}),
		good("unsuback 5", v5, "b0 05 | 00 01 00 | 00 11",
			&packet.Unsuback{ID: 1, Codes: []packet.ReasonCode{0, packet.ReasonNoSubscriptionExisted}}),
		malformed("unsuback 3.1.1 with codes", v311, "b0 03 | 00 01 | 00", "section 2.2.3"),
		malformed("unsuback 5 with a code of another packet", v5, "b0 04 | 00 01 00 | 01", "MQTT-3.11.3-2"),
		malformed("unsuback 5 without a code", v5, "b0 03 | 00 01 00", "section 3.9.3"),
	}
}
