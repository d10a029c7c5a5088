package localbroker_test

import (
	"testing"

	"github.com/tidegate/tidegate/localbroker"
)

// What goes on between the first and the last packet: fields and their order, both directions of each QoS, what is sent again, and in which order.
func TestMQTT5Flow(t *testing.T) {
	// lost is a script of a client that sends something after CONNACK and is disconnected for it.
	lost := func(clause, name, sends, code string) script {
		return script{clause: clause, name: name, steps: "c> CONNECT\nc< CONNACK\nc> " + sends + "\nc< e0 02 " + code + " 00\nc!"}
	}
	// unheard is a script of a client that is refused as malformed for its CONNECT.
	unheard := func(clause, name, connect string) script {
		return script{clause: clause, name: name, steps: "c> 10 * 00 04 'MQTT' 05 " + connect + "\nc< 20 03 00 81 00\nc!"}
	}
	one := func(o *localbroker.Options) { o.MaxSubscriptions = 1 }
	// kept connects a subscriber s to "a" at QoS 2 whose session lasts, and a publisher p.
	const kept = `
		s> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 's'
		s< CONNACK
		s> 82 * 00 01 00 | 00 01 'a' 02
		s< 90 * 00 01 00 | 02
		p> CONNECT
		p< CONNACK
	`
	const again = `
		s.
		s> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 's'
		s< SESSION
	`
	runScripts(t, []script{
		lost("MQTT-3.5.2-1", "a reason code that PUBREC does not have", "50 03 00 01 01", "81"),
		lost("MQTT-3.6.2-1", "a reason code that PUBREL does not have", "62 03 00 01 01", "81"),
		lost("MQTT-3.7.2-1", "a reason code that PUBCOMP does not have", "70 03 00 01 01", "81"),
		lost("MQTT-3.15.1-1", "flags of AUTH", "f1 02 18 00", "82"), // no AUTH was agreed on, whatever is in it
		lost("MQTT-3.3.2-13", "a response topic that is not UTF-8", "30 * 00 01 'a' 04 08 00 01 ff 'x'", "81"),
		lost("MQTT-3.3.2-19", "a content type that is not UTF-8", "30 * 00 01 'a' 04 03 00 01 ff 'x'", "81"),
		unheard("MQTT-3.1.2-16", "a user name without its flag", "02 00 00 00 | 00 01 'c' | 00 01 'u'"),
		unheard("MQTT-3.1.2-18", "a password without its flag", "82 00 00 00 | 00 01 'c' | 00 01 'u' 00 01 'p'"),
		unheard("MQTT-3.1.3-3", "no client identifier", "02 00 00 00"),
		unheard("MQTT-3.1.3-12", "a user name that is not UTF-8", "82 00 00 00 | 00 01 'c' | 00 01 ff"),
		{clause: "MQTT-3.1.3-1 MQTT-3.1.2-7", name: "the fields of CONNECT in their order", steps: pair + `
			c> 10 * 00 04 'MQTT' 05 c6 00 00 00 | 00 01 'c' | 00 | 00 01 'a' 00 01 'w' | 00 01 'u' 00 01 'p'
			c< CONNACK
			s~
			c.
			s< 30 * 00 01 'a' 00 'w'`},
		{clause: "MQTT-3.1.3-5", name: "identifiers that must be allowed", steps: `
			a> 10 * 00 04 'MQTT' 05 02 00 00 00 | 00 17 '0123456789abcdefghijklm'
			a< CONNACK
			b> 10 * 00 04 'MQTT' 05 02 00 00 00 | 00 17 'nopqrstuvwxyzABCDEFGHIJ'
			b< CONNACK
			c> 10 * 00 04 'MQTT' 05 02 00 00 00 | 00 11 'KLMNOPQRSTUVWXYZ0'
			c< CONNACK`},
		{clause: "MQTT-3.1.3-2", name: "each identifier has a session of its own", steps: kept + again + `
			t> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 't'
			t< CONNACK
			S> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 'S'
			S< CONNACK`},
		{clause: "MQTT-3.1.4-5 MQTT-3.2.0-1 MQTT-3.2.0-2 MQTT-4.12.0-6", name: "one CONNACK comes before all else", steps: `
			p> CONNECT
			p< CONNACK
			p> 31 * 00 01 'a' 00 'x'
			p~
			s> 10 10 00 04 'MQTT' 05 02 00 00 02 17 00 00 01 's' 82 07 00 01 00 00 01 'a' 00
			s< 20 16 00 00 13 21 04 00 22 00 40 25 01 27 00 10 00 00 28 01 29 01 2a 01 90 04 00 01 00 00 31 05 00 01 'a' 00 'x'
			s~`},
		{clause: "MQTT-3.2.2-6 MQTT-3.2.2-8", name: "a refusal tells of no session", steps: kept + `
			s.
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 06 17 00 15 00 01 'x' | 00 01 's'
			s< 20 03 00 8c 00
			s!` + `
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< SESSION`},
		{clause: "MQTT-4.3.1-1 MQTT-2.2.1-2 MQTT-2.2.2-1 MQTT-3.3.2-1 MQTT-3.3.2-3", name: "QoS 0", steps: pair + `
			p> 30 * 00 01 'a' 00 'x'
			p> 30 * 00 01 'b' 00 'x'
			s< 30 * 00 01 'a' 00 'x'
			s~`},
		{clause: "MQTT-4.3.2-1 MQTT-4.3.2-2 MQTT-4.3.2-3 MQTT-2.2.1-4 MQTT-3.3.1-1", name: "QoS 1 to a subscriber", steps: kept + `
			p> 32 * 00 01 'a' 00 07 00 '1'
			p> 32 * 00 01 'a' 00 09 00 '2'
			p< 40 02 00 07 40 02 00 09
			s< 32 * 00 01 'a' 00 01 00 '1'
			s< 32 * 00 01 'a' 00 02 00 '2'
			s> 40 02 00 01
			s~` + again + `
			s< 3a * 00 01 'a' 00 02 00 '2'
			p> 32 * 00 01 'a' 00 07 00 '3'
			p< 40 02 00 07
			s< 32 * 00 01 'a' 00 03 00 '3'
			s> 40 02 00 02 40 02 00 03
			s~` + again + `
			s~`},
		{clause: "MQTT-4.3.2-4 MQTT-4.3.2-5", name: "QoS 1 from a publisher: after PUBACK the identifier stands for another message, whatever DUP says", steps: pair + `
			p> 32 * 00 01 'a' 00 07 00 'x'
			p< 40 02 00 07
			s< 32 * 00 01 'a' 00 01 00 'x'
			p> 3a * 00 01 'a' 00 07 00 'y'
			p< 40 02 00 07
			s< 32 * 00 01 'a' 00 02 00 'y'`},
		{clause: "MQTT-4.3.3-1 MQTT-4.3.3-2 MQTT-4.3.3-3 MQTT-4.3.3-4 MQTT-4.3.3-5 MQTT-4.3.3-6", name: "QoS 2 to a subscriber", steps: kept + `
			p> 34 * 00 01 'a' 00 07 00 'x'
			p< 50 02 00 07
			s< 34 * 00 01 'a' 00 01 00 'x'` + again + `
			s< 3c * 00 01 'a' 00 01 00 'x'
			s> 50 02 00 01
			s< 62 02 00 01` + again + `
			s< 62 02 00 01
			s~
			s> 70 02 00 01
			s~` + again + `
			s~`},
		{clause: "MQTT-4.3.3-8 MQTT-4.3.3-11 MQTT-4.3.3-12", name: "QoS 2 from a publisher: after PUBCOMP the identifier stands for another message", steps: pair + `
			p> 34 * 00 01 'a' 00 08 00 'x'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 01 00 'x'
			p> 62 02 00 08
			p< 70 02 00 08
			p> 3c * 00 01 'a' 00 08 00 'y'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 02 00 'y'`},
		{clause: "MQTT-4.3.3-9", name: "after a PUBREC with a failure the identifier stands for another message", steps: pair + `
			p> 34 * 00 01 'a' 00 08 | 02 01 01 | ff
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 01 | 02 01 01 | ff
			s> 50 03 00 01 99
			p> 62 02 00 08
			p< 70 02 00 08
			p> 34 * 00 01 'a' 00 08 00 'y'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 02 00 'y'`},
		{clause: "section 3.5.2.1", name: "a client that has forgotten its session is told so, and one that repeats without DUP is not", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 07 11 00 00 00 64 17 00 | 00 01 's'
			s< CONNACK
			s> 34 * 00 01 'b' 00 08 00 'x'
			s< 50 04 00 08 10 00
			s.
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 07 11 00 00 00 64 17 00 | 00 01 's'
			s< SESSION
			s> 34 * 00 01 'b' 00 08 00 'x'
			s< 50 02 00 08
			s> 34 * 00 01 'b' 00 08 00 'y'
			s< 50 04 00 08 91 00
			=crash
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 07 11 00 00 00 64 17 00 | 00 01 's'
			s< SESSION
			s> 62 02 00 08
			s< 70 04 00 08 92 00`},
		{clause: "MQTT-4.6.0-1 MQTT-4.6.0-4", name: "what is sent again keeps its order, and PUBREL follows that of PUBREC", steps: kept + `
			p> 34 * 00 01 'a' 00 01 00 '1'
			p> 32 * 00 01 'a' 00 02 00 '2'
			p> 34 * 00 01 'a' 00 03 00 '3'
			p< 50 02 00 01 40 02 00 02 50 02 00 03
			s< 34 * 00 01 'a' 00 01 00 '1'
			s< 32 * 00 01 'a' 00 02 00 '2'
			s< 34 * 00 01 'a' 00 03 00 '3'` + again + `
			s< 3c * 00 01 'a' 00 01 00 '1'
			s< 3a * 00 01 'a' 00 02 00 '2'
			s< 3c * 00 01 'a' 00 03 00 '3'
			s> 50 02 00 03 50 02 00 01
			s< 62 02 00 03 62 02 00 01`},
		{clause: "MQTT-4.6.0-2 MQTT-4.6.0-3", name: "answers have the order of what they answer", steps: pair + `
			p> 34 * 00 01 'a' 00 05 00 '1'
			p> 32 * 00 01 'a' 00 04 00 '2'
			p> 34 * 00 01 'b' 00 03 00 '3'
			p> 32 * 00 01 'a' 00 02 00 '4'
			p< 50 02 00 05 40 02 00 04
			p< 50 04 00 03 10 00
			p< 40 02 00 02`},
		{clause: "MQTT-3.3.4-10 MQTT-4.9.0-3", name: "a full window holds up nothing but messages that need an answer", steps: narrow + `
			p> 34 * 00 01 'a' 00 01 00 '1'
			p< 50 02 00 01
			p> 34 * 00 01 'a' 00 02 00 '2'
			p< 50 02 00 02
			s< 34 * 00 01 'a' 00 01 00 '1'
			s> 82 * 00 02 00 | 00 01 'b' 00
			s< 90 * 00 02 00 | 00
			s> c0 00
			s< d0 00
			s> 50 02 00 01
			s< 62 02 00 01
			s~
			s> 70 02 00 01
			s< 34 * 00 01 'a' 00 02 00 '2'`},
		{clause: "MQTT-4.8.2-4", name: "a QoS 2 message of a share that is on its way waits for the member that has it", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 0a '$share/g/a' 02
			s< 90 * 00 01 00 | 02
			p> CONNECT
			p< CONNACK
			p> 34 * 00 01 'a' 00 01 00 'x'
			p< 50 02 00 01
			s< 34 * 00 01 'a' 00 01 00 'x'
			t> CONNECT
			t< CONNACK
			t> 82 * 00 01 00 | 00 0a '$share/g/a' 02
			t< 90 * 00 01 00 | 02` + again + `
			s< 3c * 00 01 'a' 00 01 00 'x'
			t~`},
		{clause: "MQTT-3.4.2-2 MQTT-3.5.2-2 MQTT-3.9.2-1", name: "reason strings that make a packet too large for the client are left out", adjust: one, steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 05 27 00 00 00 20 | 00 01 'c'
			c< CONNACK
			c> 32 * 00 02 '$x' 00 01 00
			c< 40 04 00 01 87 00
			c> 34 * 00 02 '$x' 00 02 00
			c< 50 04 00 02 87 00
			c> 82 * 00 03 00 | 00 01 'a' 00 | 00 01 'b' 00
			c< 90 * 00 03 00 | 00 97`},
	})
}
