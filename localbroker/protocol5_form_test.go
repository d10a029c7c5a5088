package localbroker_test

import "testing"

func TestMQTT5Form(t *testing.T) {
	// refused is a script of a client that sends something after CONNACK and is disconnected for it.
	refused := func(clause, name, sends, code string) script {
		return script{clause: clause, name: name, steps: "c> CONNECT\nc< CONNACK\nc> " + sends + "\nc< e0 02 " + code + " 00\nc!"}
	}
	runScripts(t, []script{
		refused("MQTT-1.5.4-1", "a topic that is not UTF-8", "30 * 00 02 'a' c0 00 'x'", "81"),
		refused("MQTT-1.5.4-1", "a surrogate in a topic", "30 * 00 03 ed a0 80 00 'x'", "81"),
		refused("MQTT-1.5.4-2 MQTT-4.7.3-2", "a null character in a topic", "30 * 00 02 'a' 00 00 'x'", "81"),
		refused("MQTT-1.5.7-1", "a user property that is not UTF-8", "30 * 00 01 'a' 07 26 00 01 ff 00 01 'v' 'x'", "81"),
		refused("MQTT-2.2.1-3", "packet identifier 0 in PUBLISH", "32 * 00 01 'a' 00 00 00 'x'", "82"),
		refused("MQTT-2.2.1-3", "packet identifier 0 in SUBSCRIBE", "82 * 00 00 00 00 01 'a' 00", "82"),
		refused("MQTT-2.2.1-3", "packet identifier 0 in UNSUBSCRIBE", "a2 * 00 00 00 00 01 'a'", "82"),
		refused("section 2.2.2.2", "a property that a PUBLISH does not have", "30 * 00 01 'a' 03 21 00 01 'x'", "81"),
		refused("section 2.2.2.2", "a property twice", "30 * 00 01 'a' 04 01 00 01 00 'x'", "82"),
		refused("section 3.3.2.3.2", "a payload format other than 0 and 1", "30 * 00 01 'a' 02 01 02 'x'", "82"),
		refused("section 2.1.4", "a packet that ends within a field", "82 * 00 01 00 00 05 'a'", "81"),
		refused("MQTT-3.4.2-1", "a reason code that PUBACK does not have", "40 03 00 01 01", "81"),
		refused("MQTT-3.6.1-1", "flags of PUBREL", "60 02 00 01", "81"),
		refused("MQTT-3.10.1-1", "flags of UNSUBSCRIBE", "a0 * 00 01 00 00 01 'a'", "81"),
		refused("MQTT-3.8.3-1", "a filter that is not UTF-8", "82 * 00 01 00 00 01 ff 00", "81"),
		refused("MQTT-3.10.3-1", "a filter that is not UTF-8", "a2 * 00 01 00 00 01 ff", "81"),
		refused("MQTT-4.7.1-1", "# that is not the last level on its own", "82 * 00 01 00 00 03 '#/a' 00", "81"),
		refused("MQTT-4.7.1-2", "+ that shares its level", "82 * 00 01 00 00 02 'a+' 00", "81"),
		refused("MQTT-4.7.3-1", "an empty filter", "82 * 00 01 00 00 00 00", "81"),
		refused("MQTT-3.14.2-1", "a reason code that DISCONNECT does not have", "e0 01 01", "81"),
		refused("section 3.12", "a PINGREQ with a body", "c0 01 00", "81"),
		{clause: "MQTT-1.5.4-3", name: "a byte order mark belongs to a topic", steps: pair + `
			s> 82 * 00 01 00 | 00 04 ef bb bf 'a' 00
			s< 90 * 00 01 00 | 00
			p> 30 * 00 04 ef bb bf 'a' 00 'x'
			s< 30 * 00 04 ef bb bf 'a' 00 'x'`},
		{clause: "MQTT-3.10.4-3", name: "what is on its way is completed after UNSUBSCRIBE", steps: pair + `
			p> 34 * 00 01 'a' 00 01 00 'x'
			p< 50 02 00 01
			s< 34 * 00 01 'a' 00 01 00 'x'
			s> a2 * 00 07 00 | 00 01 'a'
			s< b0 * 00 07 00 | 00
			s> 50 02 00 01
			s< 62 02 00 01
			s> 70 02 00 01
			s~`},
		{clause: "MQTT-3.1.2-14", name: "a will without the retain flag is not retained", steps: pair + `
			c> 10 * 00 04 'MQTT' 05 06 00 00 00 | 00 01 'c' | 00 | 00 01 'a' 00 01 'x'
			c< CONNACK
			c.
			s< 30 * 00 01 'a' 00 'x'
			s> 82 * 00 01 00 | 00 01 'a' 00
			s< 90 * 00 01 00 | 00
			s~`},
		{clause: "MQTT-4.6.0-5 MQTT-4.6.0-6 MQTT-4.5.0-1", name: "the order of each topic and QoS is kept", steps: pair + `
			p> 32 * 00 01 'a' 00 01 00 '1'
			p> 32 * 00 01 'a' 00 02 00 '2'
			p> 32 * 00 01 'a' 00 03 00 '3'
			s< 32 * 00 01 'a' 00 01 00 '1'
			s< 32 * 00 01 'a' 00 02 00 '2'
			s< 32 * 00 01 'a' 00 03 00 '3'
			p< 40 02 00 01 40 02 00 02 40 02 00 03`},
		{clause: "MQTT-4.7.0-1 MQTT-4.7.3-4", name: "topics are compared character by character", steps: pair + `
			p> 30 * 00 01 'A' 00 'x'
			p> 30 * 00 02 '/a' 00 'x'
			p> 30 * 00 02 'a/' 00 'x'
			p> 30 * 00 01 'a' 00 'y'
			s< 30 * 00 01 'a' 00 'y'
			s~`},
	})
}
