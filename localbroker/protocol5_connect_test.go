package localbroker_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
)

// The scripts of the protocol5 files are named after the normative statements of MQTT 5 that they show.

func TestMQTT5Connect(t *testing.T) {
	runScripts(t, []script{
		{clause: "MQTT-3.1.0-1", name: "the first packet must be CONNECT", steps: `
			a> c0 00
			a!
			b> f0 00
			b!`},
		{clause: "MQTT-3.1.0-2 MQTT-4.13.2-1 MQTT-3.14.4-1 MQTT-3.14.4-2", name: "a second CONNECT is a protocol error", steps: `
			c> CONNECT
			c< CONNACK
			c> CONNECT
			c< e0 02 82 00
			c!`},
		{clause: "MQTT-3.1.2-1", name: "another protocol name is no MQTT", steps: `
			c> 10 * 00 04 'MQTX' 05 02 00 00 00 | 00 01 'c'
			c!`},
		{clause: "MQTT-3.1.2-2", name: "a version that is not served is refused with 0x84", steps: `
			c> 10 * 00 04 'MQTT' 06 02 00 00 00 | 00 01 'c'
			c< 20 03 00 84 00
			c!`},
		{clause: "MQTT-3.1.2-3 MQTT-3.1.4-1", name: "the reserved flag must be 0", steps: `
			c> 10 * 00 04 'MQTT' 05 03 00 00 00 | 00 01 'c'
			c< 20 03 00 81 00
			c!`},
		{clause: "MQTT-3.1.2-4 MQTT-3.1.4-4 MQTT-3.2.2-2", name: "Clean Start discards the session, and starts one that is kept", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< CONNACK
			c> 82 * 00 01 00 | 00 01 'a' 01
			c< 90 * 00 01 00 | 01
			c.
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< CONNACK
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 'x'
			p< 40 * 00 01 10 00
			c~
			c> 82 * 00 01 00 | 00 01 'b' 01
			c< 90 * 00 01 00 | 01
			c.
			p> 32 * 00 01 'b' 00 02 00 'y'
			p< 40 * 00 02
			c> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< SESSION
			c< 32 * 00 01 'b' 00 01 00 'y'`},
		{clause: "MQTT-3.1.2-5 MQTT-3.2.2-3 MQTT-3.1.2-23", name: "a session is taken up again, and ends with a connection that wants no more", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< CONNACK
			c> 82 * 00 01 00 | 00 01 'a' 01
			c< 90 * 00 01 00 | 01
			c.
			c> 10 * 00 04 'MQTT' 05 00 00 00 | 00 | 00 01 'c'
			c< SESSION
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 'x'
			c< 32 * 00 01 'a' 00 01 00 'x'
			c> 40 02 00 01
			c~
			p< 40 * 00 01
			c.
			p> 32 * 00 01 'a' 00 02 00 'x'
			p< 40 * 00 02 10 00
			c> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< CONNACK`},
		{clause: "MQTT-3.1.2-6", name: "without a session one is made, also without Clean Start", steps: `
			c> 10 * 00 04 'MQTT' 05 00 00 00 | 00 | 00 01 'c'
			c< CONNACK`},
		{clause: "MQTT-3.1.2-9", name: "a will flag without a will", steps: `
			c> 10 * 00 04 'MQTT' 05 06 00 00 00 | 00 01 'c'
			c< 20 03 00 81 00
			c!`},
		{clause: "MQTT-3.1.2-12", name: "will QoS 3", steps: `
			c> 10 * 00 04 'MQTT' 05 1e 00 00 00 | 00 01 'c' | 00 | 00 01 'w' 00 00
			c< 20 03 00 81 00
			c!`},
		{clause: "MQTT-3.1.2-11 MQTT-3.1.2-13", name: "will QoS and will retain without a will", steps: `
			c> 10 * 00 04 'MQTT' 05 0a 00 00 00 | 00 01 'c'
			c< 20 03 00 81 00
			c!
			d> 10 * 00 04 'MQTT' 05 22 00 00 00 | 00 01 'd'
			d< 20 03 00 81 00
			d!`},
		{clause: "MQTT-3.1.2-17 MQTT-3.1.2-19", name: "user name and password that are announced and not there", steps: `
			c> 10 * 00 04 'MQTT' 05 82 00 00 00 | 00 01 'c'
			c< 20 03 00 81 00
			c!
			d> 10 * 00 04 'MQTT' 05 42 00 00 00 | 00 01 'd'
			d< 20 03 00 81 00
			d!`},
		{clause: "MQTT-3.1.2-21 MQTT-3.2.2-22", name: "a keep alive that we change is told", adjust: func(o *localbroker.Options) { o.MaxKeepAlive = 60 }, steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 3c 00 | 00 01 'c'
			c< CONNACK
			d> 10 * 00 04 'MQTT' 05 02 00 3d 00 | 00 01 'd'
			d< 20 * 00 00 | 16 13 00 3c ` + limits + `
			e> 10 * 00 04 'MQTT' 05 02 00 00 00 | 00 01 'e'
			e< 20 * 00 00 | 16 13 00 3c ` + limits},
		{clause: "section 3.2.2.3.2", name: "a session expiry that we change is told", adjust: func(o *localbroker.Options) { o.SessionMaxAge = time.Minute }, steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 3c | 00 01 'c'
			c< CONNACK
			d> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 3d | 00 01 'd'
			d< 20 * 00 00 | 18 11 00 00 00 3c ` + limits + `
			e> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 ff ff ff ff | 00 01 'e'
			e< 20 * 00 00 | 18 11 00 00 00 3c ` + limits},
		{clause: "section 3.2.2.3.2", name: "for ever is for ever where there is no limit", adjust: func(o *localbroker.Options) { o.SessionMaxAge = -1 }, steps: `
			e> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 ff ff ff ff | 00 01 'e'
			e< CONNACK`},
		{clause: "MQTT-3.1.2-28", name: "response information is told to those who ask", adjust: func(o *localbroker.Options) { o.ResponseBase = "re" }, steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 02 19 01 | 00 01 'c'
			c< 20 * 00 00 | 1a 1a 00 04 're/c' ` + limits + `
			d> 10 * 00 04 'MQTT' 05 02 00 00 | 02 19 00 | 00 01 'd'
			d< CONNACK
			e> CONNECT
			e< CONNACK`},
		{clause: "MQTT-3.1.2-29", name: "reason strings are only for those who want them", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 02 17 00 | 00 01 'c'
			c< CONNACK
			c> 32 * 00 02 '$x' 00 01 00
			c< 40 04 00 01 87 00
			d> 10 * 00 04 'MQTT' 05 02 00 00 | 02 17 01 | 00 01 'd'
			d< CONNACK
			d> 32 * 00 02 '$x' 00 01 00
			d< 40 * 00 01 87 | 4b 1f 00 48 'topic' 20 '"$x":' 20 'topics' 20 'that' 20 'begin' 20 'with' 20 '$' 20 'are' 20 'the' 20 'broker' 27 's' 20 'own' 20 '[MQTT-4.7.2-1]'`},
		{clause: "MQTT-3.1.3-4", name: "a client identifier must be UTF-8", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 00 | 00 01 ff
			c< 20 03 00 81 00
			c!`},
		{clause: "MQTT-3.1.4-3", name: "a connection that is taken over is told", steps: `
			c> CONNECT
			c< CONNACK
			C> 10 * 00 04 'MQTT' 05 02 00 00 | 02 17 00 | 00 01 'c'
			C< CONNACK
			c< e0 02 8e 00
			c!
			C~`},
		{clause: "MQTT-3.1.4-2 MQTT-3.1.4-6 MQTT-3.2.2-7", name: "what follows a CONNECT that is refused is not looked at", steps: `
			w> CONNECT
			w< CONNACK
			w> 82 * 00 01 00 | 00 01 'a' 00
			w< 90 * 00 01 00 | 00
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 06 17 00 15 00 01 'x' | 00 01 'c'
			c> 30 * 00 01 'a' 00 'x'
			c< 20 03 00 8c 00
			c!
			w~`},
		{clause: "MQTT-4.12.0-1", name: "authentication methods are refused with 0x8C", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 0c 17 00 15 00 01 'x' 16 00 03 'abc' | 00 01 'c'
			c< 20 03 00 8c 00
			c!`},
		{clause: "MQTT-4.12.0-7", name: "AUTH without an authentication method is a protocol error", steps: `
			c> CONNECT
			c< CONNACK
			c> f0 * 19 | 04 15 00 01 'x'
			c< e0 02 82 00
			c!`},
		{clause: "section 3.1.2.11.9", name: "authentication data without a method", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 04 16 00 01 'x' | 00 01 'c'
			c< 20 03 00 82 00
			c!`},
		{clause: "section 3.1.2.11.3", name: "a receive maximum of 0, and a maximum packet size of 0", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 03 21 00 00 | 00 01 'c'
			c< 20 03 00 82 00
			c!
			d> 10 * 00 04 'MQTT' 05 02 00 00 | 05 27 00 00 00 00 | 00 01 'd'
			d< 20 03 00 82 00
			d!`},
		{clause: "section 2.2.2.2", name: "a property twice, or of another packet", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 04 17 00 17 00 | 00 01 'c'
			c< 20 03 00 82 00
			c!
			d> 10 * 00 04 'MQTT' 05 02 00 00 | 03 23 00 01 | 00 01 'd'
			d< 20 03 00 81 00
			d!`},
		{clause: "MQTT-3.14.4-3 MQTT-3.1.2-10", name: "DISCONNECT forgets the will, with another reason it publishes it", steps: `
			w> CONNECT
			w< CONNACK
			w> 82 * 00 01 00 | 00 01 'w' 00
			w< 90 * 00 01 00 | 00
			c> 10 * 00 04 'MQTT' 05 06 00 00 00 | 00 01 'c' | 00 | 00 01 'w' 00 01 'x'
			c< CONNACK
			c> e0 00
			c!
			w~
			c> 10 * 00 04 'MQTT' 05 06 00 00 00 | 00 01 'c' | 00 | 00 01 'w' 00 01 'x'
			c< CONNACK
			c> e0 01 04
			c!
			w< 30 * 00 01 'w' 00 'x'`},
		{clause: "MQTT-3.1.2-8 MQTT-3.1.3-10 MQTT-3.1.2-15", name: "a will is published with its properties, and retained", steps: `
			w> CONNECT
			w< CONNACK
			w> 82 * 00 01 00 | 00 01 'w' 02
			w< 90 * 00 01 00 | 02
			c> 10 * 00 04 'MQTT' 05 2e 00 00 00 | 00 01 'c' | 27 01 01 03 00 01 't' 08 00 01 'r' 09 00 01 'd' 26 00 01 'b' 00 01 '1' 26 00 01 'a' 00 01 '2' 26 00 01 'b' 00 00 18 00 00 00 00 | 00 01 'w' 00 01 'x'
			c< CONNACK
			c.
			w< 32 * 00 01 'w' 00 01 | 22 01 01 03 00 01 't' 08 00 01 'r' 09 00 01 'd' 26 00 01 'b' 00 01 '1' 26 00 01 'a' 00 01 '2' 26 00 01 'b' 00 00 | 'x'
			w> 40 02 00 01
			l> CONNECT
			l< CONNACK
			l> 82 * 00 01 00 | 00 01 'w' 00
			l< 90 * 00 01 00 | 00
			l< 31 * 00 01 'w' | 22 01 01 03 00 01 't' 08 00 01 'r' 09 00 01 'd' 26 00 01 'b' 00 01 '1' 26 00 01 'a' 00 01 '2' 26 00 01 'b' 00 00 | 'x'`},
		{clause: "MQTT-3.1.3-11", name: "a will topic that may not be", steps: `
			c> 10 * 00 04 'MQTT' 05 06 00 00 02 17 00 | 00 01 'c' | 00 | 00 01 '+' 00 00
			c< 20 03 00 81 00
			c!
			d> 10 * 00 04 'MQTT' 05 06 00 00 02 17 00 | 00 01 'd' | 00 | 00 02 '$w' 00 00
			d< 20 03 00 87 00
			d!`},
		{clause: "MQTT-3.1.3-9", name: "a new connection of the session cancels a will that waits", steps: `
			w> CONNECT
			w< CONNACK
			w> 82 * 00 01 00 | 00 01 'w' 00
			w< 90 * 00 01 00 | 00
			c> 10 * 00 04 'MQTT' 05 06 00 00 | 05 11 00 00 00 64 | 00 01 'c' | 05 18 00 00 00 01 | 00 01 'w' 00 01 'x'
			c< CONNACK
			c.
			c> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< SESSION
			w~`},
		{clause: "MQTT-3.1.3-9", name: "a will that waits is published when Clean Start ends its session", steps: `
			w> CONNECT
			w< CONNACK
			w> 82 * 00 01 00 | 00 01 'w' 00
			w< 90 * 00 01 00 | 00
			c> 10 * 00 04 'MQTT' 05 06 00 00 | 05 11 00 00 00 64 | 00 01 'c' | 05 18 00 00 00 63 | 00 01 'w' 00 01 'x'
			c< CONNACK
			c.
			w~
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 00 | 00 01 'c'
			c< CONNACK
			w< 30 * 00 01 'w' 00 'x'`},
		{clause: "MQTT-3.1.3-9", name: "a delay is cut short when the session ends with the connection", steps: `
			w> CONNECT
			w< CONNACK
			w> 82 * 00 01 00 | 00 01 'w' 00
			w< 90 * 00 01 00 | 00
			c> 10 * 00 04 'MQTT' 05 06 00 00 | 00 | 00 01 'c' | 05 18 00 00 00 63 | 00 01 'w' 00 01 'x'
			c< CONNACK
			c.
			w< 30 * 00 01 'w' 00 'x'`},
		{clause: "section 3.14.2.2.2", name: "DISCONNECT may not make a session last that was to end", steps: `
			c> CONNECT
			c< CONNACK
			c> e0 * 00 | 05 11 00 00 00 64
			c< e0 02 82 00
			c!`},
		{clause: "section 3.14.2.2.2", name: "DISCONNECT may end a session that was to last, and change for how long", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< CONNACK
			c> e0 * 00 | 05 11 00 00 00 0a
			c!
			c> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< SESSION
			c> e0 * 00 | 05 11 00 00 00 00
			c!
			c> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< CONNACK`},
		{clause: "MQTT-3.14.1-1", name: "flags of DISCONNECT", steps: `
			c> CONNECT
			c< CONNACK
			c> e1 00
			c< e0 02 81 00
			c!`},
		{clause: "MQTT-2.1.3-1 MQTT-4.13.1-1", name: "a malformed packet ends the connection with 0x81", steps: `
			c> CONNECT
			c< CONNACK
			c> c1 00
			c< e0 02 81 00
			c!`},
		{clause: "MQTT-1.5.5-1", name: "a length in more bytes than it needs", steps: `
			c> CONNECT
			c< CONNACK
			c> c0 80 00
			c< e0 02 81 00
			c!`},
		{clause: "MQTT-3.2.2-15", name: "a packet that is too large ends the connection with 0x95", steps: `
			c> CONNECT
			c< CONNACK
			c> 30 80 80 40
			c< e0 02 95 00
			c!`},
		{clause: "section 4.13", name: "packets that only a server sends", steps: `
			c> CONNECT
			c< CONNACK
			c> 20 03 00 00 00
			c< e0 02 82 00
			c!`},
		{clause: "MQTT-3.12.4-1", name: "PINGRESP", steps: `
			c> CONNECT
			c< CONNACK
			c> c0 00
			c< d0 00`},
		{clause: "MQTT-3.1.2-24", name: "a CONNACK that would be too large is shorter, or there is none", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 05 27 00 00 00 10 | 00 01 'c'
			c< 20 * 00 00 | 0b 21 04 00 22 00 40 27 00 10 00 00
			d> 10 * 00 04 'MQTT' 05 02 00 00 | 05 27 00 00 00 0f | 00 01 'd'
			d< 20 03 00 95 00
			d!
			e> 10 * 00 04 'MQTT' 05 02 00 00 | 05 27 00 00 00 04 | 00 01 'e'
			e!`},
		{clause: "MQTT-3.2.2-19 MQTT-3.14.2-3", name: "a reason string that makes the packet too large for the client is left out", steps: `
			c> 10 * 00 04 'MQTT' 05 02 00 00 | 05 27 00 00 00 20 | 00 01 'c'
			c< CONNACK
			c> c1 00
			c< e0 02 81 00
			c!`},
		{clause: "MQTT-3.1.4-3 section 4.13", name: "sessions of all versions are the same", steps: `
			c> 10 * 00 04 'MQTT' 04 00 00 00 | 00 01 'c'
			c< 20 02 00 00
			c> 82 * 00 01 | 00 01 'a' 01
			c< 90 * 00 01 01
			c.
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 03 03 00 00 'x'
			p< 40 * 00 01
			c> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 'c'
			c< SESSION
			c< 32 * 00 01 'a' 00 01 00 'x'`},
	})
}
