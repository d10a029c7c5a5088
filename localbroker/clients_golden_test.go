package localbroker_test

import "testing"

// TestClientsThatCannotBeRunHere has what clients send that are in no registry at hand: PHP's workerman/mqtt and Eclipse Paho Java. Each
// line of such a client is what its encoder makes of the call, with its habits.
func TestClientsThatCannotBeRunHere(t *testing.T) {
	runScripts(t, []script{
		{clause: "workerman/mqtt", name: "its defaults: a clean session, 50 seconds, an identifier of 32 bytes", steps: `
			w> 10 * 00 04 'MQTT' 04 02 00 32 | 00 20 'workerman-mqtt-client-1804289383'
			w< 20 02 00 00
			w> 82 * 00 01 | 00 09 'workerman' 02
			w< 90 03 00 01 02
			w> 30 * 00 04 'time' '{"time":1223}'
			w> 32 * 00 04 'time' 00 02 'once'
			w< 40 02 00 02
			w> 34 * 00 04 'time' 00 03 'twice'
			w< 50 02 00 03
			w> 62 02 00 03
			w< 70 02 00 03
			p> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'p'
			p< 20 02 00 00
			p> 34 * 00 09 'workerman' 00 01 'hello'
			p< 50 02 00 01
			p> 62 02 00 01
			p< 70 02 00 01
			w< 34 * 00 09 'workerman' 00 01 'hello'
			w> 50 02 00 01
			w< 62 02 00 01
			w> 70 02 00 01
			w> a2 * 00 04 | 00 09 'workerman'
			w< b0 02 00 04
			w> c0 00
			w< d0 00
			w> e0 00
			w!`},
		{clause: "workerman/mqtt", name: "asked for MQTT 3.1 it keeps its long identifier", steps: `
			w> 10 * 00 06 'MQIsdp' 03 02 00 32 | 00 20 'workerman-mqtt-client-1804289383'
			w< 20 02 00 00
			w~`},
		{clause: "workerman/mqtt", name: "it connects again, and subscribes again with the next identifier", steps: `
			w> 10 * 00 04 'MQTT' 04 02 00 32 | 00 01 'w'
			w< 20 02 00 00
			w> 82 * 00 01 | 00 01 'a' 01 | 00 03 'b/+' 00
			w< 90 04 00 01 01 00
			w.
			w> 10 * 00 04 'MQTT' 04 02 00 32 | 00 01 'w'
			w< 20 02 00 00
			w> 82 * 00 02 | 00 01 'a' 01 | 00 03 'b/+' 00
			w< 90 04 00 02 01 00
			w> 32 * 00 01 'a' 00 03 'x'
			w< 40 02 00 03 | 32 * 00 01 'a' 00 01 'x'`},
		{clause: "workerman/mqtt", name: "closing it sends no goodbye, so that its will comes", steps: `
			o> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'o'
			o< 20 02 00 00
			o> 82 * 00 01 | 00 04 'will' 01
			o< 90 03 00 01 01
			w> 10 * 00 04 'MQTT' 04 ee 00 32 | 00 01 'w' | 00 04 'will' | 00 04 'gone' | 00 02 'me' | 00 06 'secret'
			w< 20 02 00 00
			w.
			o< 32 * 00 04 'will' 00 01 'gone'`},
		{clause: "workerman/mqtt", name: "in MQTT 5 its acknowledgements have the properties of what they acknowledge", steps: `
			w> 10 * 00 04 'MQTT' 05 02 00 32 | 08 11 00 00 00 3c 21 ff ff | 00 01 'w'
			w< CONNACK
			w> 82 * 00 01 | 00 | 00 01 'a' 02
			w< 90 * 00 01 00 02
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 | 07 26 00 01 'k' 00 01 'v' | 'x'
			p< 40 02 00 01
			w< 32 * 00 01 'a' 00 01 | 07 26 00 01 'k' 00 01 'v' | 'x'
			w> 40 * 00 01 00 | 07 26 00 01 'k' 00 01 'v'
			p> 34 * 00 01 'a' 00 02 | 07 26 00 01 'k' 00 01 'v' | 'y'
			p< 50 02 00 02
			p> 62 02 00 02
			p< 70 02 00 02
			w< 34 * 00 01 'a' 00 02 | 07 26 00 01 'k' 00 01 'v' | 'y'
			w> 50 * 00 02 00 | 07 26 00 01 'k' 00 01 'v'
			w< 62 02 00 02
			w> 70 * 00 02 00 00
			w~
			w> e0 02 00 00
			w!`},

		{clause: "Paho Java", name: "its defaults: a clean session, 60 seconds, paho and a clock as identifier", steps: `
			j> 10 * 00 04 'MQTT' 04 02 00 3c | 00 12 'paho84521907331452'
			j< 20 02 00 00
			j> 82 * 00 01 | 00 03 'a/#' 01
			j< 90 03 00 01 01
			j> 32 * 00 03 'a/b' 00 02 00 ff 80 'x'
			j< 40 02 00 02 | 32 * 00 03 'a/b' 00 01 00 ff 80 'x'
			j> 40 02 00 01
			j> a2 * 00 03 | 00 03 'a/#'
			j< b0 02 00 03
			j> c0 00
			j< d0 00
			j> e0 00
			j!`},
		{clause: "Paho Java", name: "a connection that failed is tried again with MQTT 3.1", steps: `
			j> 10 * 00 04 'MQTT' 04 02 00 3c
			j!
			j> 10 * 00 06 'MQIsdp' 03 02 00 3c | 00 12 'paho84521907331452'
			j< 20 02 00 00
			j~`},
		{clause: "Paho Java", name: "with a persistent session it sends again what was not acknowledged, across a crash of the gateway", steps: `
			j> 10 * 00 04 'MQTT' 04 00 00 3c | 00 01 'j'
			j< 20 02 00 00
			j> 82 * 00 01 | 00 01 'a' 00
			j< 90 03 00 01 00
			j> 34 * 00 01 'b' 00 02 'two'
			j< 50 02 00 02
			=crash
			j> 10 * 00 04 'MQTT' 04 00 00 3c | 00 01 'j'
			j< 20 02 01 00
			j> 3c * 00 01 'b' 00 02 'two'
			j< 50 02 00 02
			j> 62 02 00 02
			j< 70 02 00 02
			j> 3a * 00 01 'b' 00 03 'one'
			j< 40 02 00 03`},
		{clause: "Paho Java", name: "old ones set DUP on PUBREL and SUBSCRIBE that they repeat, as MQTT 3.1 has it", steps: `
			j> 10 * 00 06 'MQIsdp' 03 00 00 3c | 00 01 'j'
			j< 20 02 00 00
			j> 8a * 00 01 | 00 01 'a' 01
			j< 90 03 00 01 01
			j> 34 * 00 01 'b' 00 02 'two'
			j< 50 02 00 02
			j> 62 02 00 02
			j< 70 02 00 02
			j> 6a 02 00 02
			j< 70 02 00 02`},
	})
}
