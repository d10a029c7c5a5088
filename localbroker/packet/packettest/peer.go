package packettest

import "github.com/tidegate/tidegate/localbroker/packet"

// peerCases are packets of programs that nobody here wrote. Those of the mosquitto clients, of a
// mosquitto bridge and of Paho Python were recorded on the wire; those of workerman/mqtt (PHP) and
// Paho Java follow their sources byte for byte, as both cannot be had from the registries.
func peerCases() []Case {
	var cases []Case
	for _, of := range [][]Case{mosquittoCases(), mosquittoV5Cases(), bridgeCases(), pahoPythonCases(), pahoJavaCases(), workermanCases()} {
		cases = append(cases, of...)
	}
	return cases
}

func mosquittoCases() []Case {
	will := &packet.Will{Topic: "w/t", Payload: []byte("gone"), QoS: 1, Retain: true}
	return []Case{
		good("peer mosquitto_pub 2.0.11 3.1 connect", v31,
			"10 2d | 00 06 'MQIsdp' 03 ee 00 1e | 00 0b 'pub-mqttv31' | 00 03 'w/t' 00 04 'gone' | 00 03 'ann' | 00 02 'pw'",
			&packet.Connect{
				Version: v31, CleanStart: true, KeepAlive: 30, ClientID: "pub-mqttv31", Will: will,
				Username: packet.Some("ann"), Password: []byte("pw"),
			}),
		good("peer mosquitto_pub 2.0.11 3.1.1 connect", v311,
			"10 2c | 00 04 'MQTT' 04 ee 00 1e | 00 0c 'pub-mqttv311' | 00 03 'w/t' 00 04 'gone' | 00 03 'ann' | 00 02 'pw'",
			&packet.Connect{
				Version: v311, CleanStart: true, KeepAlive: 30, ClientID: "pub-mqttv311", Will: will,
				Username: packet.Some("ann"), Password: []byte("pw"),
			}),
		good("peer mosquitto_pub 2.0.11 3.1.1 publish", v311, "35 09 | 00 03 'a/b' 00 01 | 'hi'",
			&packet.Publish{QoS: 2, Retain: true, ID: 1, Topic: []byte("a/b"), Payload: []byte("hi")}),
		good("peer mosquitto_sub 2.0.11 3.1.1 subscribe", v311, "82 08 | 00 01 | 00 03 'a/+' 02",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "a/+", QoS: 2}}}),
		good("peer mosquitto_sub 2.0.11 3.1.1 pubrec", v311, "50 02 00 01", &packet.Ack{Kind: packet.TypePubrec, ID: 1}),
		good("peer mosquitto 2.0.11 3.1.1 suback", v311, "90 03 00 01 02", &packet.Suback{ID: 1, Codes: []packet.ReasonCode{2}}),
	}
}

func mosquittoV5Cases() []Case {
	pair := func(k, v string) []packet.UserProperty {
		return []packet.UserProperty{{Name: []byte(k), Value: []byte(v)}}
	}
	return []Case{
		good("peer mosquitto_pub 2.0.11 5 connect", v5,
			"10 21 | 00 04 'MQTT' 05 02 00 3c | 0f 11 00 00 00 3c 21 00 14 26 00 01 'k' 00 01 'v' | 00 05 'props'",
			&packet.Connect{Version: v5, CleanStart: true, KeepAlive: 60, ClientID: "props", Props: packet.Properties{
				SessionExpiry: packet.Some[uint32](60), ReceiveMaximum: packet.Some[uint16](20), UserProperties: pair("k", "v"),
			}}),
		loose("peer mosquitto_pub 2.0.11 5 publish", v5,
			"32 3a | 00 03 'a/c' 00 01 | 30 03 00 10 'application/json' 08 00 03 'r/t' 09 00 03 'xyz' 02 00 00 00 64 01 01"+
				" 26 00 01 'a' 00 01 'b' 23 00 03 | '{}'",
			&packet.Publish{QoS: 1, ID: 1, Topic: []byte("a/c"), Payload: []byte("{}"), Props: packet.Properties{
				PayloadFormat: packet.Some[byte](1), MessageExpiry: packet.Some[uint32](100),
				ContentType: []byte("application/json"), ResponseTopic: []byte("r/t"), CorrelationData: []byte("xyz"),
				TopicAlias: packet.Some[uint16](3), UserProperties: pair("a", "b"),
			}},
			"32 3a | 00 03 'a/c' 00 01 | 30 01 01 02 00 00 00 64 03 00 10 'application/json' 08 00 03 'r/t' 09 00 03 'xyz'"+
				" 23 00 03 26 00 01 'a' 00 01 'b' | '{}'"),
		good("peer mosquitto_sub 2.0.11 5 subscribe", v5,
			"82 1b | 00 01 | 03 0b ac 02 | 00 03 'a/#' 01 | 00 0c '$share/g/x/+' 01",
			&packet.Subscribe{
				ID: 1, Props: packet.Properties{SubscriptionIDs: []uint32{300}},
				Subscriptions: []packet.Subscription{{Filter: "a/#", QoS: 1}, {Filter: "$share/g/x/+", QoS: 1}},
			}),
		good("peer mosquitto_sub 2.0.11 5 unsubscribe", v5, "a2 06 | 00 02 00 | 00 01 'z'", &packet.Unsubscribe{ID: 2, Filters: []string{"z"}}),
		loose("peer mosquitto_sub 2.0.11 5 disconnect", v5, "e0 01 04", &packet.Disconnect{Code: packet.ReasonDisconnectWithWill}, "e0 02 04 00"),
		loose("peer mosquitto 2.0.11 5 connack", v5, "20 09 | 00 00 | 06 22 00 0a 21 00 14",
			&packet.Connack{Props: packet.Properties{
				ReceiveMaximum: packet.Some[uint16](20), TopicAliasMaximum: packet.Some[uint16](10),
			}},
			"20 09 | 00 00 | 06 21 00 14 22 00 0a"),
		loose("peer mosquitto 2.0.11 5 puback", v5, "40 03 00 01 10",
			&packet.Ack{Kind: packet.TypePuback, ID: 1, Code: packet.ReasonNoMatchingSubscribers}, "40 04 00 01 10 00"),
		good("peer mosquitto 2.0.11 5 unsuback", v5, "b0 04 | 00 02 00 | 11",
			&packet.Unsuback{ID: 2, Codes: []packet.ReasonCode{packet.ReasonNoSubscriptionExisted}}),
		good("peer mosquitto 2.0.11 5 publish with a subscription id", v5, "33 0d | 00 03 'a/b' 00 01 | 03 0b ac 02 | 'hi'",
			&packet.Publish{
				QoS: 1, Retain: true, ID: 1, Topic: []byte("a/b"), Payload: []byte("hi"),
				Props: packet.Properties{SubscriptionIDs: []uint32{300}},
			}),
	}
}

func bridgeCases() []Case {
	const id, state = "gw.br", "$SYS/broker/connection/gw.br/state"
	will := &packet.Will{Topic: state, Payload: []byte("0"), QoS: 1, Retain: true}
	return []Case{
		good("peer mosquitto 2.0.11 bridge 3.1.1 connect", v311,
			"10 38 | 00 04 'MQTT' 84 2c 00 3c | 00 05 '"+id+"' | 00 22 '"+state+"' 00 01 '0'",
			&packet.Connect{Version: v311, Bridge: true, KeepAlive: 60, ClientID: id, Will: will}),
		good("peer mosquitto 2.0.11 bridge 3.1 connect", v31,
			"10 3a | 00 06 'MQIsdp' 83 2c 00 3c | 00 05 '"+id+"' | 00 22 '"+state+"' 00 01 '0'",
			&packet.Connect{Version: v31, Bridge: true, KeepAlive: 60, ClientID: id, Will: will}),
		good("peer mosquitto 2.0.11 bridge 5 connect", v5,
			"10 3d | 00 04 'MQTT' 05 2c 00 3c | 03 21 00 14 | 00 05 '"+id+"' | 00 00 22 '"+state+"' 00 01 '0'",
			&packet.Connect{
				Version: v5, KeepAlive: 60, ClientID: id, Will: will,
				Props: packet.Properties{ReceiveMaximum: packet.Some[uint16](20)},
			}),
		good("peer mosquitto 2.0.11 bridge 3.1.1 state", v311, "33 27 | 00 22 '"+state+"' 00 01 | '1'",
			&packet.Publish{QoS: 1, Retain: true, ID: 1, Topic: []byte(state), Payload: []byte("1")}),
		good("peer mosquitto 2.0.11 bridge 5 subscribe", v5, "82 09 | 00 02 00 | 00 03 'x/#' 0d",
			&packet.Subscribe{ID: 2, Subscriptions: []packet.Subscription{
				{Filter: "x/#", QoS: 1, NoLocal: true, RetainAsPublished: true},
			}}),
	}
}

func pahoPythonCases() []Case {
	connect := func(v packet.Version, id string, clean bool) *packet.Connect {
		return &packet.Connect{
			Version: v, CleanStart: clean, KeepAlive: 20, ClientID: id,
			Will:     &packet.Will{Topic: "w", Payload: []byte("x"), QoS: 1, Retain: true},
			Username: packet.Some("u"), Password: []byte("p"),
		}
	}
	const rest = " | 00 01 'w' 00 01 'x' | 00 01 'u' | 00 01 'p'"
	return []Case{
		good("peer Paho Python 1.6.1 3.1 connect", v31,
			"10 1d | 00 06 'MQIsdp' 03 ec 00 14 | 00 03 'py3'"+rest, connect(v31, "py3", false)),
		good("peer Paho Python 1.6.1 3.1.1 connect", v311,
			"10 1b | 00 04 'MQTT' 04 ec 00 14 | 00 03 'py4'"+rest, connect(v311, "py4", false)),
		good("peer Paho Python 1.6.1 5 connect", v5,
			"10 1d | 00 04 'MQTT' 05 ee 00 14 00 | 00 03 'py5' | 00 00 01 'w' 00 01 'x' | 00 01 'u' | 00 01 'p'", connect(v5, "py5", true)),
		good("peer Paho Python 1.6.1 3.1.1 subscribe", v311, "82 0c | 00 01 | 00 03 'p/#' 01 | 00 01 'q' 00",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "p/#", QoS: 1}, {Filter: "q"}}}),
		good("peer Paho Python 1.6.1 5 publish", v5, "34 0a | 00 03 'p/1' 00 02 00 | 00 01",
			&packet.Publish{QoS: 2, ID: 2, Topic: []byte("p/1"), Payload: []byte{0, 1}}),
		good("peer Paho Python 1.6.1 3.1.1 unsubscribe", v311, "a2 05 | 00 03 | 00 01 'q'", &packet.Unsubscribe{ID: 3, Filters: []string{"q"}}),
	}
}

// pahoJavaCases: org.eclipse.paho.client.mqttv3, the line under the Android service too.
func pahoJavaCases() []Case {
	const id = "paho1700000000000"
	return []Case{
		good("peer Paho Java 3.1 connect", v31,
			"10 1f | 00 06 'MQIsdp' 03 02 00 3c | 00 11 '"+id+"'",
			&packet.Connect{Version: v31, CleanStart: true, KeepAlive: 60, ClientID: id}),
		good("peer Paho Java 3.1.1 connect", v311,
			"10 33 | 00 04 'MQTT' 04 f6 00 3c | 00 11 '"+id+"' | 00 04 'will' 00 02 'by' | 00 04 'user' | 00 04 'pass'",
			&packet.Connect{
				Version: v311, CleanStart: true, KeepAlive: 60, ClientID: id,
				Will:     &packet.Will{Topic: "will", Payload: []byte("by"), QoS: 2, Retain: true},
				Username: packet.Some("user"), Password: []byte("pass"),
			}),
		good("peer Paho Java 3.1.1 subscribe", v311, "82 08 | 00 01 | 00 03 'a/#' 01",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "a/#", QoS: 1}}}),
		good("peer Paho Java 3.1.1 publish again", v311, "3a 09 | 00 03 'a/b' 00 01 | 'hi'",
			&packet.Publish{QoS: 1, Dup: true, ID: 1, Topic: []byte("a/b"), Payload: []byte("hi")}),
		loose("peer Paho Java, old, 3.1 pubrel again", v31, "6a 02 | 00 01", &packet.Ack{Kind: packet.TypePubrel, ID: 1}, "62 02 | 00 01"),
		malformed("peer Paho Java, old, 3.1.1 pubrel again", v311, "6a 02 | 00 01", "MQTT-3.6.1-1"),
	}
}

// workermanCases: workerman/mqtt for PHP.
func workermanCases() []Case {
	const id = "workerman-mqtt-client-1804289383"
	return []Case{
		good("peer workerman 3.1 connect", v31,
			"10 2e | 00 06 'MQIsdp' 03 02 00 32 | 00 20 '"+id+"'",
			&packet.Connect{Version: v31, CleanStart: true, KeepAlive: 50, ClientID: id}),
		good("peer workerman 3.1.1 connect", v311,
			"10 3e | 00 04 'MQTT' 04 ce 00 32 | 00 20 '"+id+"' | 00 01 'w' 00 04 'gone' | 00 03 'ann' | 00 02 'pw'",
			&packet.Connect{
				Version: v311, CleanStart: true, KeepAlive: 50, ClientID: id,
				Will:     &packet.Will{Topic: "w", Payload: []byte("gone"), QoS: 1},
				Username: packet.Some("ann"), Password: []byte("pw"),
			}),
		good("peer workerman 5 connect", v5,
			"10 37 | 00 04 'MQTT' 05 02 00 32 | 0a 11 00 00 00 3c 17 01 21 00 14 | 00 20 '"+id+"'",
			&packet.Connect{Version: v5, CleanStart: true, KeepAlive: 50, ClientID: id, Props: packet.Properties{
				SessionExpiry: packet.Some[uint32](60), RequestProblemInfo: packet.Some[byte](1), ReceiveMaximum: packet.Some[uint16](20),
			}}),
		good("peer workerman 3.1.1 subscribe", v311, "82 0a | 00 01 | 00 05 'a/+/c' 02",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: "a/+/c", QoS: 2}}}),
		good("peer workerman 5 subscribe", v5, "82 09 | 00 01 00 | 00 03 'a/b' 2d",
			&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{
				{Filter: "a/b", QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: packet.RetainNever},
			}}),
		loose("peer workerman 5 puback of success", v5, "40 04 00 01 00 00", &packet.Ack{Kind: packet.TypePuback, ID: 1}, "40 02 00 01"),
		// It sends the properties of the PUBLISH back, as user properties.
		good("peer workerman 5 puback with the properties of the publish", v5,
			"40 17 00 01 00 | 13 26 00 0c 'content_type' 00 02 'js'",
			&packet.Ack{Kind: packet.TypePuback, ID: 1, Props: packet.Properties{
				UserProperties: []packet.UserProperty{{Name: []byte("content_type"), Value: []byte("js")}},
			}}),
		loose("peer workerman 5 disconnect", v5, "e0 02 00 00", &packet.Disconnect{}, "e0 00"),
		// It writes the maximum packet size with two bytes, which moves all that follows.
		malformed("peer workerman 5 connect with a maximum packet size", v5,
			"10 30 | 00 04 'MQTT' 05 02 00 32 | 03 27 10 00 | 00 20 '"+id+"'", "section 2.1.4"),
	}
}
