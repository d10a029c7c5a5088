package localbroker_test

import "testing"

// What protocol_test.go does not show of MQTT 3.1.1, byte for byte.
func TestMQTT311(t *testing.T) {
	// lost is a script of a client whose connection is closed for what it sends. MQTT 3.1.1 has no words for why.
	lost := func(clause, name, sends string) script {
		return script{clause: clause, name: name, steps: "c> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'c'\nc< 20 02 00 00\nc> " + sends + "\nc!"}
	}
	// unheard is a script of a client whose CONNECT is no CONNECT.
	unheard := func(clause, name, connect string) script {
		return script{clause: clause, name: name, steps: "c> 10 * 00 04 'MQTT' 04 " + connect + "\nc!"}
	}
	// both connects a subscriber s to "a" at QoS 2, and a publisher p.
	const both = `
		s> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 's'
		s< 20 02 00 00
		s> 82 * 00 01 | 00 01 'a' 02
		s< 90 03 00 01 02
		p> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'p'
		p< 20 02 00 00
	`
	// kept does the same with a session that lasts, and again takes that up.
	const kept = `
		s> 10 * 00 04 'MQTT' 04 00 00 00 | 00 01 's'
		s< 20 02 00 00
		s> 82 * 00 01 | 00 01 'a' 02
		s< 90 03 00 01 02
		p> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'p'
		p< 20 02 00 00
	`
	const again = `
		s.
		s> 10 * 00 04 'MQTT' 04 00 00 00 | 00 01 's'
		s< 20 02 01 00
	`
	runScripts(t, []script{
		lost("MQTT-3.3.2-1", "a topic that is not UTF-8", "30 * 00 01 ff 'x'"),
		lost("MQTT-4.7.3-2", "a null character in a topic", "30 * 00 02 'a' 00 'x'"),
		lost("MQTT-3.8.3-1", "a filter that is not UTF-8", "82 * 00 01 00 01 ff 00"),
		lost("MQTT-3.10.3-1", "a filter that is not UTF-8", "a2 * 00 01 00 01 ff"),
		lost("MQTT-4.8.0-1", "a packet that does not exist", "f0 00"),
		unheard("MQTT-3.1.2-18 MQTT-3.2.2-6", "a user name without its flag", "02 00 00 | 00 01 'c' | 00 01 'u'"),
		unheard("MQTT-3.1.2-20", "a password without its flag", "82 00 00 | 00 01 'c' | 00 01 'u' 00 01 'p'"),
		unheard("MQTT-3.1.2-11", "a will without its flag", "02 00 00 | 00 01 'c' | 00 01 'w' 00 01 'x'"),
		unheard("MQTT-3.1.3-4", "a client identifier that is not UTF-8", "02 00 00 | 00 01 ff"),
		unheard("MQTT-3.1.3-10", "a will topic that is not UTF-8", "06 00 00 | 00 01 'c' | 00 01 ff 00 01 'x'"),
		unheard("MQTT-3.1.3-11 MQTT-3.1.4-1", "a user name that is not UTF-8", "82 00 00 | 00 01 'c' | 00 01 ff"),
		{clause: "MQTT-3.1.2-1", name: "another protocol name is no MQTT", steps: `
			c> 10 * 00 04 'MQTX' 04 02 00 00 | 00 01 'c'
			c!`},
		{clause: "MQTT-3.1.2-12", name: "who has no will leaves none", steps: both + `
			c> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'c'
			c< 20 02 00 00
			c.
			s~`},
		{clause: "MQTT-3.1.3-1 MQTT-3.1.2-16", name: "the fields of CONNECT in their order, and a will that is not retained", steps: both + `
			c> 10 * 00 04 'MQTT' 04 c6 00 00 | 00 01 'c' | 00 01 'a' 00 01 'w' | 00 01 'u' 00 01 'p'
			c< 20 02 00 00
			c.
			s< 30 * 00 01 'a' 'w'
			s> 82 * 00 02 | 00 01 'a' 02
			s< 90 03 00 02 02
			s~`},
		{clause: "MQTT-3.14.4-3", name: "DISCONNECT forgets the will", steps: both + `
			c> 10 * 00 04 'MQTT' 04 06 00 00 | 00 01 'c' | 00 01 'a' 00 01 'w'
			c< 20 02 00 00
			c> e0 00
			c!
			s~`},
		{clause: "MQTT-3.1.3-5", name: "identifiers that must be allowed", steps: `
			a> 10 * 00 04 'MQTT' 04 02 00 00 | 00 17 '0123456789abcdefghijklm'
			a< 20 02 00 00
			b> 10 * 00 04 'MQTT' 04 02 00 00 | 00 17 'nopqrstuvwxyzABCDEFGHIJ'
			b< 20 02 00 00
			c> 10 * 00 04 'MQTT' 04 02 00 00 | 00 11 'KLMNOPQRSTUVWXYZ0'
			c< 20 02 00 00`},
		{clause: "MQTT-3.1.3-2", name: "each identifier has a session of its own", steps: kept + again + `
			t> 10 * 00 04 'MQTT' 04 00 00 00 | 00 01 't'
			t< 20 02 00 00
			S> 10 * 00 04 'MQTT' 04 00 00 00 | 00 01 'S'
			S< 20 02 00 00`},
		{clause: "MQTT-3.1.4-2", name: "a second client with an identifier ends the connection of the first", steps: `
			c> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'c'
			c< 20 02 00 00
			C> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'c'
			C< 20 02 00 00
			c!
			C~`},
		{clause: "MQTT-3.1.4-3 MQTT-3.1.2-7", name: "a clean session forgets all but what is retained", steps: kept + `
			p> 31 * 00 01 'a' 'r'
			s< 30 * 00 01 'a' 'r'
			s.
			s> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 's'
			s< 20 02 00 00
			p> 30 * 00 01 'a' 'x'
			s~
			s> 82 * 00 01 | 00 01 'a' 02
			s< 90 03 00 01 02
			s< 31 * 00 01 'a' 'r'`},
		{clause: "MQTT-3.1.4-5 MQTT-3.1.3-9 MQTT-3.2.2-4", name: "what follows a CONNECT that is refused is not looked at", steps: both + `
			c> 10 * 00 04 'MQTT' 04 00 00 00 | 00 00
			c> 30 * 00 01 'a' 'x'
			c< 20 02 00 02
			c!
			s~`},
		{clause: "MQTT-3.1.4-4 MQTT-3.2.0-1", name: "CONNACK comes before all else", steps: `
			p> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'p'
			p< 20 02 00 00
			p> 31 * 00 01 'a' 'x'
			p~
			s> 10 0d 00 04 'MQTT' 04 02 00 00 00 01 's' 82 06 00 01 00 01 'a' 00
			s< 20 02 00 00 90 03 00 01 00 31 04 00 01 'a' 'x'
			s~`},
		{clause: "MQTT-4.3.1-1 MQTT-2.3.1-5 MQTT-3.3.2-3", name: "QoS 0", steps: both + `
			p> 30 * 00 01 'a' 'x'
			p> 30 * 00 01 'b' 'x'
			s< 30 * 00 01 'a' 'x'
			s~`},
		{clause: "MQTT-3.1.2-5 MQTT-4.1.0-1 MQTT-4.1.0-2 MQTT-4.5.0-1", name: "what comes while a client is away waits for it", steps: kept + `
			s.
			p> 32 * 00 01 'a' 00 01 '1'
			p> 34 * 00 01 'a' 00 02 '2'
			p< 40 02 00 01 50 02 00 02
			s> 10 * 00 04 'MQTT' 04 00 00 00 | 00 01 's'
			s< 20 02 01 00
			s< 32 * 00 01 'a' 00 01 '1'
			s< 34 * 00 01 'a' 00 02 '2'`},
		{clause: "MQTT-4.3.2-1 MQTT-2.3.1-4 MQTT-3.3.1-1 MQTT-4.4.0-1", name: "QoS 1 to a subscriber", steps: kept + `
			p> 32 * 00 01 'a' 00 07 '1'
			p> 32 * 00 01 'a' 00 09 '2'
			p< 40 02 00 07 40 02 00 09
			s< 32 * 00 01 'a' 00 01 '1'
			s< 32 * 00 01 'a' 00 02 '2'
			s> 40 02 00 01
			s~` + again + `
			s< 3a * 00 01 'a' 00 02 '2'
			p> 32 * 00 01 'a' 00 07 '3'
			p< 40 02 00 07
			s< 32 * 00 01 'a' 00 03 '3'
			s> 40 02 00 02 40 02 00 03
			s~` + again + `
			s~`},
		{clause: "MQTT-4.3.2-2 MQTT-2.3.1-6 MQTT-3.3.4-1", name: "QoS 1 from a publisher: after PUBACK the identifier stands for another message, whatever DUP says", steps: both + `
			p> 32 * 00 01 'a' 00 07 'x'
			p< 40 02 00 07
			s< 32 * 00 01 'a' 00 01 'x'
			p> 3a * 00 01 'a' 00 07 'y'
			p< 40 02 00 07
			s< 32 * 00 01 'a' 00 02 'y'`},
		{clause: "MQTT-4.3.3-1 MQTT-2.2.2-1", name: "QoS 2 to a subscriber", steps: kept + `
			p> 34 * 00 01 'a' 00 07 'x'
			p< 50 02 00 07
			s< 34 * 00 01 'a' 00 01 'x'` + again + `
			s< 3c * 00 01 'a' 00 01 'x'
			s> 50 02 00 01
			s< 62 02 00 01` + again + `
			s< 62 02 00 01
			s~
			s> 70 02 00 01
			s~` + again + `
			s~`},
		{clause: "MQTT-4.3.3-2", name: "QoS 2 from a publisher", steps: both + `
			p> 34 * 00 01 'a' 00 08 'x'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 01 'x'
			p> 3c * 00 01 'a' 00 08 'x'
			p< 50 02 00 08
			p> 62 02 00 08
			p< 70 02 00 08
			p> 62 02 00 08
			p< 70 02 00 08
			p> 34 * 00 01 'a' 00 08 'y'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 02 'y'`},
		{clause: "section 4.3.3", name: "another message with an identifier in use is no repetition", steps: both + `
			p> 34 * 00 01 'a' 00 08 'x'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 01 'x'
			p> 34 * 00 01 'a' 00 08 'y'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 02 'y'
			p> 34 * 00 01 'a' 00 08 'y'
			p< 50 02 00 08
			s~
			p> 62 02 00 08
			p< 70 02 00 08`},
		{clause: "MQTT-4.6.0-1 MQTT-4.6.0-4", name: "what is sent again keeps its order, and PUBREL follows that of PUBREC", steps: kept + `
			p> 34 * 00 01 'a' 00 01 '1'
			p> 32 * 00 01 'a' 00 02 '2'
			p> 34 * 00 01 'a' 00 03 '3'
			p< 50 02 00 01 40 02 00 02 50 02 00 03
			s< 34 * 00 01 'a' 00 01 '1'
			s< 32 * 00 01 'a' 00 02 '2'
			s< 34 * 00 01 'a' 00 03 '3'` + again + `
			s< 3c * 00 01 'a' 00 01 '1'
			s< 3a * 00 01 'a' 00 02 '2'
			s< 3c * 00 01 'a' 00 03 '3'
			s> 50 02 00 03 50 02 00 01
			s< 62 02 00 03 62 02 00 01`},
		{clause: "MQTT-4.6.0-2 MQTT-4.6.0-3", name: "answers have the order of what they answer", steps: both + `
			p> 34 * 00 01 'a' 00 05 '1'
			p> 32 * 00 01 'a' 00 04 '2'
			p> 34 * 00 01 'b' 00 03 '3'
			p> 32 * 00 01 'a' 00 02 '4'
			p< 50 02 00 05 40 02 00 04 50 02 00 03 40 02 00 02`},
		{clause: "MQTT-4.6.0-5", name: "the order of a topic is kept", steps: both + `
			p> 32 * 00 01 'a' 00 01 '1'
			p> 32 * 00 01 'a' 00 02 '2'
			p> 32 * 00 01 'a' 00 03 '3'
			s< 32 * 00 01 'a' 00 01 '1'
			s< 32 * 00 01 'a' 00 02 '2'
			s< 32 * 00 01 'a' 00 03 '3'`},
		{clause: "MQTT-3.8.4-1 MQTT-3.8.4-2 MQTT-3.8.4-4 MQTT-3.9.3-1 MQTT-2.3.1-7", name: "each filter has its return code, in order", steps: `
			s> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 's'
			s< 20 02 00 00
			s> 82 * 00 09 | 00 01 'a' 02 | 00 01 'b' 00 | 00 03 'c/#' 01
			s< 90 * 00 09 | 02 00 01`},
		{clause: "MQTT-3.10.4-2 MQTT-3.10.4-4 MQTT-3.10.4-6", name: "UNSUBSCRIBE of several filters", steps: both + `
			s> a2 * 00 07 | 00 01 '+' | 00 01 'a' | 00 01 'a'
			s< b0 02 00 07
			p> 30 * 00 01 'a' 'x'
			p~
			s~`},
		{clause: "MQTT-3.10.4-3", name: "what is on its way is completed after UNSUBSCRIBE", steps: both + `
			p> 34 * 00 01 'a' 00 01 'x'
			p< 50 02 00 01
			s< 34 * 00 01 'a' 00 01 'x'
			s> a2 * 00 07 | 00 01 'a'
			s< b0 02 00 07
			s> 50 02 00 01
			s< 62 02 00 01
			s> 70 02 00 01
			s~`},
		{clause: "MQTT-3.12.4-1", name: "PINGRESP", steps: `
			c> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'c'
			c< 20 02 00 00
			c> c0 00
			c< d0 00`},
		{clause: "MQTT-4.7.3-4 MQTT-4.7.1-1", name: "topics are compared character by character", steps: both + `
			p> 30 * 00 01 'A' 'x'
			p> 30 * 00 02 '/a' 'x'
			p> 30 * 00 02 'a/' 'x'
			p> 30 * 00 01 'a' 'y'
			s< 30 * 00 01 'a' 'y'
			s~`},
		{clause: "MQTT-3.3.5-2", name: "a PUBLISH that is not allowed is confirmed and goes nowhere", adjust: guarded, steps: `
			s> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 's'
			s< 20 02 00 00
			s> 82 * 00 01 | 00 01 '#' 02
			s< 90 03 00 01 02
			p> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'p'
			p< 20 02 00 00
			p> 30 * 00 01 'b' 'n'
			p> 32 * 00 01 'b' 00 01 'n'
			p< 40 02 00 01
			p> 34 * 00 01 'b' 00 02 'n'
			p< 50 02 00 02
			p> 62 02 00 02
			p< 70 02 00 02
			s~`},
	})
}
