package localbroker_test

import (
	"testing"

	"github.com/tidegate/tidegate/localbroker"
)

// pair connects a publisher p and a subscriber s to "a" at QoS 2.
const pair = `
	s> CONNECT
	s< CONNACK
	s> 82 * 00 01 00 | 00 01 'a' 02
	s< 90 * 00 01 00 | 02
	p> CONNECT
	p< CONNACK
`

// narrow is pair with a subscriber that takes one message at a time.
const narrow = `
	s> 10 * 00 04 'MQTT' 05 02 00 00 | 03 21 00 01 | 00 01 's'
	s< CONNACK
	s> 82 * 00 01 00 | 00 01 'a' 02
	s< 90 * 00 01 00 | 02
	p> CONNECT
	p< CONNACK
`

func TestMQTT5Publish(t *testing.T) {
	small := func(o *localbroker.Options) { o.ReceiveMaximum = 2 }
	runScripts(t, []script{
		{clause: "MQTT-3.3.1-2", name: "DUP at QoS 0", steps: pair + `
			p> 38 * 00 01 'a' 00 'x'
			p< e0 02 82 00
			p!`},
		{clause: "MQTT-3.3.1-3", name: "DUP is not handed on", steps: pair + `
			p> 3a * 00 01 'a' 00 01 00 'x'
			p< 40 02 00 01
			s< 32 * 00 01 'a' 00 01 00 'x'`},
		{clause: "MQTT-3.3.1-4", name: "QoS 3", steps: pair + `
			p> 36 * 00 01 'a' 00 01 00 'x'
			p< e0 02 81 00
			p!`},
		{clause: "MQTT-3.3.1-5 MQTT-3.3.1-6 MQTT-3.3.1-7 MQTT-3.3.1-8", name: "what is retained, replaced and removed", steps: pair + `
			p> 33 * 00 01 'a' 00 01 00 'x'
			p< 40 02 00 01
			s< 32 * 00 01 'a' 00 01 00 'x'
			p> 30 * 00 01 'a' 00 'y'
			s< 30 * 00 01 'a' 00 'y'
			p~
			l> CONNECT
			l< CONNACK
			l> 82 * 00 01 00 | 00 01 'a' 00
			l< 90 * 00 01 00 | 00
			l< 31 * 00 01 'a' 00 'x'
			p> 31 * 00 01 'a' 00
			s< 30 * 00 01 'a' 00
			l< 30 * 00 01 'a' 00
			l> 82 * 00 02 00 | 00 01 'a' 00
			l< 90 * 00 02 00 | 00
			l~`},
		{clause: "MQTT-3.3.2-2", name: "a wildcard in a topic", steps: pair + `
			p> 30 * 00 01 '+' 00 'x'
			p< e0 02 81 00
			p!`},
		{clause: "section 3.3.2.1", name: "no topic and no alias", steps: pair + `
			p> 30 * 00 00 00 'x'
			p< e0 02 82 00
			p!`},
		{clause: "MQTT-3.3.2-4 MQTT-3.3.2-15 MQTT-3.3.2-16 MQTT-3.3.2-17 MQTT-3.3.2-18 MQTT-3.3.2-20", name: "properties pass unaltered and in order", steps: pair + `
			p> 32 * 00 01 'a' 00 01 | 27 01 01 02 00 00 00 64 03 00 01 't' 08 00 01 'r' 09 00 01 'd' 26 00 01 'b' 00 01 '1' 26 00 01 'a' 00 01 '2' 26 00 01 'b' 00 00 | 'x'
			p< 40 02 00 01
			s< 32 * 00 01 'a' 00 01 | 27 01 01 02 00 00 00 64 03 00 01 't' 08 00 01 'r' 09 00 01 'd' 26 00 01 'b' 00 01 '1' 26 00 01 'a' 00 01 '2' 26 00 01 'b' 00 00 | 'x'`},
		{clause: "MQTT-3.3.2-16", name: "correlation data may be empty, and any bytes", steps: pair + `
			p> 30 * 00 01 'a' | 03 09 00 00 | 'x'
			s< 30 * 00 01 'a' | 03 09 00 00 | 'x'
			p> 30 * 00 01 'a' | 05 09 00 02 00 ff | 'x'
			s< 30 * 00 01 'a' | 05 09 00 02 00 ff | 'x'`},
		{clause: "MQTT-3.3.2-14", name: "a wildcard in a response topic", steps: pair + `
			p> 30 * 00 01 'a' | 04 08 00 01 '#' | 'x'
			p< e0 02 81 00
			p!`},
		{clause: "MQTT-3.3.2-7", name: "topic aliases do not outlive a connection", steps: pair + `
			p> 30 * 00 01 'a' | 03 23 00 01 | 'x'
			p> 30 * 00 00 | 03 23 00 01 | 'y'
			s< 30 * 00 01 'a' 00 'x'
			s< 30 * 00 01 'a' 00 'y'
			p.
			p> CONNECT
			p< CONNACK
			p> 30 * 00 00 | 03 23 00 01 | 'z'
			p< e0 02 82 00
			p!`},
		{clause: "MQTT-3.3.2-8", name: "topic alias 0", steps: pair + `
			p> 30 * 00 01 'a' | 03 23 00 00 | 'x'
			p< e0 02 94 00
			p!`},
		{clause: "MQTT-3.3.2-9 MQTT-3.3.2-12", name: "all aliases up to the maximum are taken, none above it", steps: pair + `
			p> 30 * 00 01 'b' | 03 23 00 40 | 'x'
			p> 30 * 00 01 'a' | 03 23 00 40 | 'x'
			p> 32 * 00 00 00 01 | 03 23 00 40 | 'y'
			p< 40 02 00 01
			s< 30 * 00 01 'a' 00 'x'
			s< 32 * 00 01 'a' 00 01 00 'y'
			p> 30 * 00 01 'a' | 03 23 00 41 | 'x'
			p< e0 02 94 00
			p!`},
		{clause: "MQTT-3.1.2-26 MQTT-3.1.2-27 MQTT-3.3.2-11", name: "aliases are sent to who takes them, and to nobody else", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 03 22 00 01 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 '#' 00
			s< 90 * 00 01 00 | 00
			u> CONNECT
			u< CONNACK
			u> 82 * 00 01 00 | 00 01 '#' 00
			u< 90 * 00 01 00 | 00
			p> CONNECT
			p< CONNACK
			p> 30 * 00 07 'plant/1' 00 'x'
			s< 30 * 00 07 'plant/1' | 03 23 00 01 | 'x'
			u< 30 * 00 07 'plant/1' 00 'x'
			p> 30 * 00 07 'plant/1' 00 'y'
			s< 30 * 00 00 | 03 23 00 01 | 'y'
			u< 30 * 00 07 'plant/1' 00 'y'
			p> 30 * 00 07 'plant/2' 00 'z'
			s< 30 * 00 07 'plant/2' 00 'z'
			p> 30 * 00 07 'plant/2' 00 'z'
			s< 30 * 00 07 'plant/2' | 03 23 00 01 | 'z'
			p> 30 * 00 07 'plant/2' 00 'z'
			s< 30 * 00 00 | 03 23 00 01 | 'z'`},
		{clause: "MQTT-3.1.2-24", name: "an alias that would make a packet too large is not given", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 08 22 00 01 27 00 00 00 20 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 '#' 00
			s< 90 * 00 01 00 | 00
			p> CONNECT
			p< CONNACK
			p> 30 * 00 07 'plant/1' 00 '12345678901234567890'
			s< 30 * 00 07 'plant/1' 00 '12345678901234567890'
			p> 30 * 00 07 'plant/1' 00 '12345678901234567890'
			s< 30 * 00 07 'plant/1' 00 '12345678901234567890'
			p> 30 * 00 07 'plant/1' 00 'x'
			s< 30 * 00 07 'plant/1' 03 23 00 01 'x'`},
		{clause: "MQTT-3.3.4-6", name: "a subscription identifier from a client", steps: pair + `
			p> 30 * 00 01 'a' | 02 0b 01 | 'x'
			p< e0 02 82 00
			p!`},
		{clause: "MQTT-3.3.4-1 MQTT-2.2.1-5", name: "answers at each QoS", steps: pair + `
			p> 30 * 00 01 'b' 00 'x'
			p> 32 * 00 01 'b' 00 07 00 'x'
			p< 40 04 00 07 10 00
			p> 34 * 00 01 'b' 00 08 00 'x'
			p< 50 04 00 08 10 00
			p> 62 02 00 08
			p< 70 02 00 08
			p> 32 * 00 01 'a' 00 09 00 'x'
			p< 40 02 00 09
			s< 32 * 00 01 'a' 00 01 00 'x'`},
		{clause: "section 3.7.2.1", name: "a PUBREL that releases nothing", steps: pair + `
			p> 62 02 00 08
			p< 70 04 00 08 92 00`},
		{clause: "section 3.6.2.1", name: "a PUBREC for a delivery that is over", steps: pair + `
			p> 50 02 00 08
			p< 62 04 00 08 92 00`},
		{clause: "MQTT-4.3.3-10", name: "a repetition is answered and not published again", steps: pair + `
			p> 34 * 00 01 'a' 00 08 00 'x'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 01 00 'x'
			p> 3c * 00 01 'a' 00 08 00 'x'
			p< 50 02 00 08
			s~`},
		{clause: "section 3.5.2.1", name: "another message with an identifier in use is told so, and the identifier is free then", steps: pair + `
			p> 34 * 00 01 'a' 00 08 00 'x'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 01 00 'x'
			p> 34 * 00 01 'a' 00 08 00 'y'
			p< 50 04 00 08 91 00
			s~
			p> 62 02 00 08
			p< 70 04 00 08 92 00
			p> 34 * 00 01 'a' 00 08 00 'y'
			p< 50 02 00 08
			s< 34 * 00 01 'a' 00 02 00 'y'`},
		{clause: "MQTT-4.4.0-2", name: "a PUBACK with a failure confirms all the same", steps: pair + `
			p> 32 * 00 01 'a' 00 01 00 'x'
			p< 40 02 00 01
			s< 32 * 00 01 'a' 00 01 00 'x'
			s> 40 03 00 01 97
			s~`},
		{clause: "section 4.3.3", name: "a PUBREC with a failure ends the exchange and frees the window", steps: narrow + `
			p> 34 * 00 01 'a' 00 01 00 'x'
			p< 50 02 00 01
			p> 34 * 00 01 'a' 00 02 00 'y'
			p< 50 02 00 02
			s< 34 * 00 01 'a' 00 01 00 'x'
			s~
			s> 50 03 00 01 97
			s< 34 * 00 01 'a' 00 02 00 'y'`},
		{clause: "MQTT-3.3.4-9 MQTT-4.9.0-1 MQTT-4.9.0-2", name: "the client's receive maximum bounds what is in flight", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 03 21 00 02 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 'a' 01
			s< 90 * 00 01 00 | 01
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 '1'
			p> 32 * 00 01 'a' 00 02 00 '2'
			p> 32 * 00 01 'a' 00 03 00 '3'
			p< 40 02 00 01 40 02 00 02 40 02 00 03
			s< 32 * 00 01 'a' 00 01 00 '1'
			s< 32 * 00 01 'a' 00 02 00 '2'
			s~
			s> 40 02 00 02
			s< 32 * 00 01 'a' 00 03 00 '3'`},
		{clause: "MQTT-3.3.4-7", name: "more than our receive maximum ends the connection with 0x93", adjust: small, steps: `
			p> CONNECT
			p< 20 * 00 00 | 13 21 00 02 22 00 40 25 01 27 00 10 00 00 28 01 29 01 2a 01
			p> 34 * 00 01 'a' 00 01 00 'x'
			p< 50 04 00 01 10 00
			p> 34 * 00 01 'a' 00 02 00 'x'
			p< 50 04 00 02 10 00
			p> 3c * 00 01 'a' 00 02 00 'x'
			p< 50 02 00 02
			p> 62 02 00 01
			p< 70 02 00 01
			p> 34 * 00 01 'a' 00 03 00 'x'
			p< 50 04 00 03 10 00
			p> 34 * 00 01 'a' 00 04 00 'x'
			p< e0 02 93 00
			p!`},
		{clause: "MQTT-3.3.4-7", name: "messages of an earlier connection do not count", adjust: small, steps: `
			p> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 'p'
			p< 20 * 00 00 | 13 21 00 02 22 00 40 25 01 27 00 10 00 00 28 01 29 01 2a 01
			p> 34 * 00 01 'a' 00 01 00 'x'
			p< 50 04 00 01 10 00
			p.
			p> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 'p'
			p< 20 * 01 00 | 13 21 00 02 22 00 40 25 01 27 00 10 00 00 28 01 29 01 2a 01
			p> 34 * 00 01 'a' 00 02 00 'x'
			p< 50 04 00 02 10 00
			p> 34 * 00 01 'a' 00 03 00 'x'
			p< 50 04 00 03 10 00
			p> 62 02 00 01
			p< 70 02 00 01`},
		{clause: "MQTT-3.1.2-24 MQTT-3.1.2-25", name: "what is too large for a client counts as delivered", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 0a 11 00 00 00 64 27 00 00 00 20 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 'a' 01
			s< 90 * 00 01 00 | 01
			t> 10 * 00 04 'MQTT' 05 02 00 00 | 08 27 00 00 00 20 21 00 01 | 00 01 't'
			t< CONNACK
			t> 82 * 00 01 00 | 00 01 'a' 01
			t< 90 * 00 01 00 | 01
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 '123456789012345678901234'
			p> 32 * 00 01 'a' 00 02 00 '1234567890123456789012345'
			p> 30 * 00 01 'a' 00 '12345678901234567890123456789'
			p> 32 * 00 01 'a' 00 03 00 'x'
			p> 32 * 00 01 'a' 00 04 00 'y'
			s< 32 * 00 01 'a' 00 01 00 '123456789012345678901234'
			s< 32 * 00 01 'a' 00 03 00 'x'
			s< 32 * 00 01 'a' 00 04 00 'y'
			t< 32 * 00 01 'a' 00 01 00 '123456789012345678901234'
			t> 40 02 00 01
			t< 32 * 00 01 'a' 00 03 00 'x'
			t> 40 02 00 03
			t< 32 * 00 01 'a' 00 04 00 'y'
			s> 40 02 00 01 40 02 00 03 40 02 00 04
			s~
			p< 40 02 00 01 40 02 00 02 40 02 00 03 40 02 00 04
			s.
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< SESSION
			s~`},
		{clause: "section 3.4.2.1", name: "topics that a client may not publish on are refused, and the connection goes on", steps: pair + `
			p> 30 * 00 02 '$x' 00 'x'
			p> 32 * 00 02 '$x' 00 01 00 'x'
			p< 40 04 00 01 87 00
			p> 34 * 00 02 '$x' 00 02 00 'x'
			p< 50 04 00 02 87 00
			p> 34 * 00 01 'a' 00 02 00 'x'
			p< 50 02 00 02
			s< 34 * 00 01 'a' 00 01 00 'x'`},
		{clause: "MQTT-4.4.0-1", name: "only with a session what was sent is sent again, with DUP", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 'a' 02
			s< 90 * 00 01 00 | 02
			p> CONNECT
			p< CONNACK
			p> 34 * 00 01 'a' 00 01 00 'x'
			p< 50 02 00 01
			p> 34 * 00 01 'a' 00 02 00 'y'
			p< 50 02 00 02
			s< 34 * 00 01 'a' 00 01 00 'x'
			s< 34 * 00 01 'a' 00 02 00 'y'
			s> 50 02 00 01
			s< 62 02 00 01
			s.
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< SESSION
			s< 62 02 00 01
			s< 3c * 00 01 'a' 00 02 00 'y'
			s> 70 02 00 01 50 02 00 02
			s< 62 02 00 02`},
	})
}
