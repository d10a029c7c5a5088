package localbroker_test

import (
	"testing"

	"github.com/tidegate/tidegate/localbroker"
)

func TestMQTT5Subscribe(t *testing.T) {
	runScripts(t, []script{
		{clause: "MQTT-3.8.1-1", name: "flags of SUBSCRIBE", steps: pair + `
			s> 80 * 00 01 00 | 00 01 'a' 01
			s< e0 02 81 00
			s!`},
		{clause: "MQTT-3.8.3-2", name: "a SUBSCRIBE without a filter", steps: pair + `
			s> 82 * 00 01 00
			s< e0 02 82 00
			s!`},
		{clause: "MQTT-3.8.3-5", name: "reserved bits of subscription options", steps: pair + `
			s> 82 * 00 01 00 | 00 01 'b' 40
			s< e0 02 81 00
			s!`},
		{clause: "MQTT-3.8.3-4", name: "no local on a shared subscription", steps: pair + `
			s> 82 * 00 01 00 | 00 0a '$share/g/b' 05
			s< e0 02 82 00
			s!`},
		{clause: "section 3.8.3.1", name: "retain handling 3", steps: pair + `
			s> 82 * 00 01 00 | 00 01 'b' 30
			s< e0 02 82 00
			s!`},
		{clause: "section 3.8.2.1.2", name: "subscription identifier 0, and two of them", steps: pair + `
			s> 82 * 00 01 02 0b 00 | 00 01 'b' 01
			s< e0 02 82 00
			s!
			p> 82 * 00 01 04 0b 01 0b 02 | 00 01 'b' 01
			p< e0 02 82 00
			p!`},
		{clause: "MQTT-2.2.1-6 MQTT-3.8.4-1 MQTT-3.8.4-2 MQTT-3.8.4-5 MQTT-3.8.4-6 MQTT-3.8.4-7 MQTT-3.9.3-1", name: "each filter has its reason code, in order", steps: `
			s> CONNECT
			s< CONNACK
			s> 82 * 00 09 00 | 00 01 'a' 02 | 00 01 'b' 00 | 00 03 'c/#' 01
			s< 90 * 00 09 00 | 02 00 01`},
		{clause: "MQTT-3.9.3-2", name: "too many subscriptions", adjust: func(o *localbroker.Options) { o.MaxSubscriptions = 1 }, steps: `
			s> CONNECT
			s< CONNACK
			s> 82 * 00 09 00 | 00 01 'a' 02 | 00 01 'b' 00
			s< 90 * 00 09 00 | 02 97
			t> 10 * 00 04 'MQTT' 05 02 00 00 | 00 | 00 01 't'
			t< CONNACK
			t> 82 * 00 09 00 | 00 01 'a' 02 | 00 01 'b' 00
			t< 90 * 00 09 | 42 1f 00 3f 'the' 20 'session' 20 'has' 20 'too' 20 'many' 20 'subscriptions,' 20 'raise' 20 'max_subscriptions' | 02 97`},
		{clause: "MQTT-3.8.4-3", name: "a second subscription to a filter replaces the first", steps: pair + `
			s> 82 * 00 01 02 0b 05 | 00 01 'a' 00
			s< 90 * 00 01 00 | 00
			p> 32 * 00 01 'a' 00 01 00 'x'
			p< 40 02 00 01
			s< 30 * 00 01 'a' 02 0b 05 'x'
			s~`},
		{clause: "MQTT-3.8.4-8 MQTT-3.3.4-2", name: "overlapping subscriptions deliver once, at the highest QoS", steps: pair + `
			s> 82 * 00 01 00 | 00 01 '#' 00 | 00 01 '+' 01
			s< 90 * 00 01 00 | 00 01
			p> 34 * 00 01 'a' 00 01 00 'x'
			p< 50 02 00 01
			s< 34 * 00 01 'a' 00 01 00 'x'
			s~`},
		{clause: "MQTT-3.3.4-3 MQTT-3.3.4-4", name: "all identifiers of the subscriptions that match", steps: `
			s> CONNECT
			s< CONNACK
			s> 82 * 00 01 02 0b 01 | 00 03 'a/+' 00
			s< 90 * 00 01 00 | 00
			s> 82 * 00 02 00 | 00 01 '#' 00
			s< 90 * 00 02 00 | 00
			s> 82 * 00 03 05 0b ff ff ff 7f | 00 03 '+/b' 00
			s< 90 * 00 03 00 | 00
			p> CONNECT
			p< CONNACK
			p> 30 * 00 03 'a/c' 00 'x'
			s< 30 * 00 03 'a/c' | 02 0b 01 | 'x'
			p> 30 * 00 01 'c' 00 'x'
			s< 30 * 00 01 'c' 00 'x'
			p> 30 * 00 03 'z/b' 00 'x'
			s< 30 * 00 03 'z/b' | 05 0b ff ff ff 7f | 'x'
			s> a2 * 00 04 00 | 00 03 'a/+'
			s< b0 * 00 04 00 | 00
			p> 30 * 00 03 'a/b' 00 'x'
			s< 30 * 00 03 'a/b' | 05 0b ff ff ff 7f | 'x'`},
		{clause: "MQTT-3.3.4-3", name: "of two subscribers each has its own identifier, or none", steps: pair + `
			t> CONNECT
			t< CONNACK
			t> 82 * 00 01 02 0b 07 | 00 01 'a' 02
			t< 90 * 00 01 00 | 02
			u> CONNECT
			u< CONNACK
			u> 82 * 00 01 02 0b 08 | 00 01 'a' 02
			u< 90 * 00 01 00 | 02
			p> 32 * 00 01 'a' 00 01 00 'x'
			p< 40 02 00 01
			s< 32 * 00 01 'a' 00 01 00 'x'
			t< 32 * 00 01 'a' 00 01 02 0b 07 'x'
			u< 32 * 00 01 'a' 00 01 02 0b 08 'x'`},
		{clause: "MQTT-3.3.4-3", name: "identifiers over the store, and at each QoS", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 02 0b 07 | 00 03 'a/+' 01
			s< 90 * 00 01 00 | 01
			p> CONNECT
			p< CONNACK
			p> 30 * 00 03 'a/c' 00 'x'
			s< 30 * 00 03 'a/c' | 02 0b 07 | 'x'
			p> 32 * 00 03 'a/c' 00 01 00 'x'
			s< 32 * 00 03 'a/c' 00 01 | 02 0b 07 | 'x'
			s> 40 02 00 01
			p< 40 02 00 01
			s> 82 * 00 01 02 0b 08 | 00 03 'a/+' 01
			s< 90 * 00 01 00 | 01
			p> 32 * 00 03 'a/c' 00 01 00 'x'
			s< 32 * 00 03 'a/c' 00 02 | 02 0b 08 | 'x'
			s.
			p< 40 02 00 01
			=crash
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< SESSION
			s< 3a * 00 03 'a/c' 00 02 | 02 0b 08 | 'x'`},
		{clause: "MQTT-3.8.3-3", name: "no local: nobody is sent what is his own", steps: pair + `
			s> 82 * 00 01 00 | 00 01 'a' 06
			s< 90 * 00 01 00 | 02
			s> 30 * 00 01 'a' 00 'own'
			s~
			s> 32 * 00 01 'a' 00 01 00 'own'
			s< 40 02 00 01
			s~
			p> 30 * 00 01 'a' 00 'x'
			s< 30 * 00 01 'a' 00 'x'`},
		{clause: "MQTT-3.8.3-3", name: "no local, with another subscription that has it not", steps: `
			s> CONNECT
			s< CONNACK
			s> 82 * 00 01 02 0b 01 | 00 01 'a' 05
			s< 90 * 00 01 00 | 01
			s> 82 * 00 02 02 0b 02 | 00 01 '+' 00
			s< 90 * 00 02 00 | 00
			s> 30 * 00 01 'a' 00 'own'
			s< 30 * 00 01 'a' | 02 0b 02 | 'own'
			s~`},
		{clause: "MQTT-3.8.3-3", name: "no local holds for stored sessions too", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 'a' 06
			s< 90 * 00 01 00 | 02
			s> 34 * 00 01 'a' 00 01 00 'own'
			s< 50 02 00 01
			s> 33 * 00 01 'a' 00 02 00 'own'
			s< 40 02 00 02
			s~
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 'x'
			s< 32 * 00 01 'a' 00 01 00 'x'`},
		{clause: "MQTT-3.3.1-12 MQTT-3.3.1-13", name: "retain as published", steps: pair + `
			t> CONNECT
			t< CONNACK
			t> 82 * 00 01 00 | 00 01 'a' 08
			t< 90 * 00 01 00 | 00
			p> 31 * 00 01 'a' 00 'x'
			s< 30 * 00 01 'a' 00 'x'
			t< 31 * 00 01 'a' 00 'x'
			p> 30 * 00 01 'a' 00 'y'
			s< 30 * 00 01 'a' 00 'y'
			t< 30 * 00 01 'a' 00 'y'`},
		{clause: "MQTT-3.3.1-13", name: "retain as published over the store", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 'a' 09
			s< 90 * 00 01 00 | 01
			p> CONNECT
			p< CONNACK
			t> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 't'
			t< CONNACK
			t> 82 * 00 01 00 | 00 01 'a' 01
			t< 90 * 00 01 00 | 01
			p> 33 * 00 01 'a' 00 01 00 'x'
			s< 33 * 00 01 'a' 00 01 00 'x'
			t< 32 * 00 01 'a' 00 01 00 'x'
			p> 32 * 00 01 'a' 00 02 00 'x'
			s< 32 * 00 01 'a' 00 02 00 'x'`},
		{clause: "MQTT-3.3.1-9 MQTT-3.3.1-10 MQTT-3.3.1-11 MQTT-3.8.4-4", name: "retain handling", steps: `
			p> CONNECT
			p< CONNACK
			p> 31 * 00 01 'a' 00 'x'
			p~
			s> CONNECT
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 'a' 20
			s< 90 * 00 01 00 | 00
			s~
			s> 82 * 00 01 00 | 00 01 'a' 10
			s< 90 * 00 01 00 | 00
			s~
			s> 82 * 00 01 02 0b 03 | 00 01 'a' 00
			s< 90 * 00 01 00 | 00
			s< 31 * 00 01 'a' | 02 0b 03 | 'x'
			s> a2 * 00 01 00 | 00 01 'a'
			s< b0 * 00 01 00 | 00
			s> 82 * 00 01 00 | 00 01 'a' 10
			s< 90 * 00 01 00 | 00
			s< 31 * 00 01 'a' 00 'x'`},
		{clause: "MQTT-3.10.3-2", name: "an UNSUBSCRIBE without a filter", steps: pair + `
			s> a2 * 00 01 00
			s< e0 02 82 00
			s!`},
		{clause: "MQTT-3.10.4-1 MQTT-3.10.4-2 MQTT-3.10.4-4 MQTT-3.10.4-5 MQTT-3.10.4-6 MQTT-3.11.3-1 MQTT-3.11.3-2", name: "UNSUBACK tells of each filter", steps: pair + `
			s> a2 * 00 07 00 | 00 01 '+' | 00 01 'a' | 00 01 'a'
			s< b0 * 00 07 00 | 11 00 11
			p> 30 * 00 01 'a' 00 'x'
			p~
			s~`},
		{clause: "MQTT-4.7.2-1", name: "wildcards do not match topics that begin with $", steps: `
			s> CONNECT
			s< CONNACK
			s> 82 * 00 01 00 | 00 01 '#' 00 | 00 03 '+/x' 00
			s< 90 * 00 01 00 | 00 00
			s~`},
		{clause: "MQTT-4.8.2-1 MQTT-4.8.2-2", name: "share names", steps: pair + `
			s> 82 * 00 01 00 | 00 09 '$share//b' 01
			s< e0 02 81 00
			s!
			p> 82 * 00 01 00 | 00 0a '$share/+/b' 01
			p< e0 02 81 00
			p!
			q> CONNECT
			q< CONNACK
			q> 82 * 00 01 00 | 00 08 '$share/g' 01
			q< e0 02 81 00
			q!`},
		{clause: "MQTT-4.8.2-3", name: "members take turns, at their own QoS and with their own identifier", steps: `
			s> CONNECT
			s< CONNACK
			s> 82 * 00 01 02 0b 01 | 00 0a '$share/g/+' 01
			s< 90 * 00 01 00 | 01
			t> CONNECT
			t< CONNACK
			t> 82 * 00 01 02 0b 02 | 00 0a '$share/g/+' 00
			t< 90 * 00 01 00 | 00
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 '1'
			p> 32 * 00 01 'a' 00 02 00 '2'
			p> 32 * 00 01 'a' 00 03 00 '3'
			p< 40 02 00 01 40 02 00 02 40 02 00 03
			s< 32 * 00 01 'a' 00 01 02 0b 01 '1'
			t< 30 * 00 01 'a' 02 0b 02 '2'
			s< 32 * 00 01 'a' 00 02 02 0b 01 '3'
			s~
			t~`},
		{clause: "section 4.8.2", name: "retained messages do not greet shared subscriptions", steps: `
			p> CONNECT
			p< CONNACK
			p> 31 * 00 01 'a' 00 'x'
			p~
			s> CONNECT
			s< CONNACK
			s> 82 * 00 01 00 | 00 0a '$share/g/a' 00
			s< 90 * 00 01 00 | 00
			s~`},
		{clause: "section 4.8.2", name: "two groups, and a subscription of one's own, each get a message", steps: `
			s> CONNECT
			s< CONNACK
			s> 82 * 00 01 00 | 00 0a '$share/g/a' 00 | 00 0a '$share/h/a' 00 | 00 01 'a' 00
			s< 90 * 00 01 00 | 00 00 00
			p> CONNECT
			p< CONNACK
			p> 30 * 00 01 'a' 00 'x'
			s< 30 05 00 01 'a' 00 'x' 30 05 00 01 'a' 00 'x' 30 05 00 01 'a' 00 'x'
			s~
			s> a2 * 00 01 00 | 00 0a '$share/g/a' | 00 01 'a'
			s< b0 * 00 01 00 | 00 00
			p> 30 * 00 01 'a' 00 'y'
			s< 30 * 00 01 'a' 00 'y'
			s~`},
		{clause: "section 4.8.2", name: "3.1.1 clients share too", steps: `
			s> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 's'
			s< 20 02 00 00
			s> 82 * 00 01 | 00 0a '$share/g/a' 01
			s< 90 * 00 01 01
			t> CONNECT
			t< CONNACK
			t> 82 * 00 01 00 | 00 0a '$share/g/a' 01
			t< 90 * 00 01 00 | 01
			p> CONNECT
			p< CONNACK
			p> 30 * 00 01 'a' 00 '1'
			p> 30 * 00 01 'a' 00 '2'
			s< 30 * 00 01 'a' '1'
			t< 30 * 00 01 'a' 00 '2'`},
		{clause: "section 4.8.2", name: "never to a member that is away while another is there", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 0a '$share/g/a' 01
			s< 90 * 00 01 00 | 01
			s.
			t> CONNECT
			t< CONNACK
			t> 82 * 00 01 00 | 00 0a '$share/g/a' 01
			t< 90 * 00 01 00 | 01
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 '1'
			p> 32 * 00 01 'a' 00 02 00 '2'
			p< 40 02 00 01 40 02 00 02
			t< 32 * 00 01 'a' 00 01 00 '1'
			t< 32 * 00 01 'a' 00 02 00 '2'
			t> 40 02 00 01 40 02 00 02
			t~
			t.
			p> 32 * 00 01 'a' 00 03 00 '3'
			p< 40 02 00 03
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< SESSION
			s< 32 * 00 01 'a' 00 01 00 '3'
			s~`},
		{clause: "section 4.8.2 MQTT-4.8.2-5 MQTT-4.8.2-6", name: "what a member that leaves has not confirmed goes to another, QoS 2 in flight does not", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 03 21 00 03 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 0a '$share/g/a' 02
			s< 90 * 00 01 00 | 02
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 '1'
			p> 34 * 00 01 'a' 00 02 00 '2'
			p> 32 * 00 01 'a' 00 03 00 '3'
			p> 34 * 00 01 'a' 00 04 00 '4'
			p< 40 02 00 01 50 02 00 02 40 02 00 03 50 02 00 04
			s< 32 * 00 01 'a' 00 01 00 '1'
			s< 34 * 00 01 'a' 00 02 00 '2'
			s< 32 * 00 01 'a' 00 03 00 '3'
			s> 40 03 00 03 80
			s< 34 * 00 01 'a' 00 04 00 '4'
			p> 34 * 00 01 'a' 00 05 00 '5'
			p< 50 02 00 05
			t> CONNECT
			t< CONNACK
			t> 82 * 00 01 00 | 00 0a '$share/g/a' 02
			t< 90 * 00 01 00 | 02
			s.
			t< 32 * 00 01 'a' 00 01 00 '1'
			t< 34 * 00 01 'a' 00 02 00 '5'
			t~`},
		{clause: "section 4.8.2", name: "what a stored member has not confirmed goes to others when its session ends", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 08 11 00 00 00 64 21 00 01 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 0a '$share/g/a' 02
			s< 90 * 00 01 00 | 02
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 '1'
			s< 32 * 00 01 'a' 00 01 00 '1'
			p> 32 * 00 01 'a' 00 02 00 '2'
			p> 34 * 00 01 'a' 00 03 00 '3'
			s.
			p< 40 02 00 01 40 02 00 02 50 02 00 03
			t> CONNECT
			t< CONNACK
			t> 82 * 00 01 00 | 00 0a '$share/g/a' 02
			t< 90 * 00 01 00 | 02
			t~
			s> CONNECT
			s< CONNACK
			t< 32 * 00 01 'a' 00 01 00 '1'
			t< 32 * 00 01 'a' 00 02 00 '2'
			t< 34 * 00 01 'a' 00 03 00 '3'
			t~`},
		{clause: "section 4.8.2", name: "what a stored member that goes away was not sent goes to one that is there", steps: `
			s> 10 * 00 04 'MQTT' 05 02 00 00 | 08 11 00 00 00 64 21 00 01 | 00 01 's'
			s< CONNACK
			s> 82 * 00 01 00 | 00 0a '$share/g/a' 01
			s< 90 * 00 01 00 | 01
			p> CONNECT
			p< CONNACK
			p> 32 * 00 01 'a' 00 01 00 '1'
			s< 32 * 00 01 'a' 00 01 00 '1'
			p> 32 * 00 01 'a' 00 02 00 '2'
			p< 40 02 00 01 40 02 00 02
			t> 10 * 00 04 'MQTT' 05 02 00 00 | 05 11 00 00 00 64 | 00 01 't'
			t< CONNACK
			t> 82 * 00 01 00 | 00 0a '$share/g/a' 02
			t< 90 * 00 01 00 | 02
			s.
			t< 32 * 00 01 'a' 00 01 00 '2'
			t~
			s> 10 * 00 04 'MQTT' 05 00 00 00 | 05 11 00 00 00 64 | 00 01 's'
			s< SESSION
			s< 3a * 00 01 'a' 00 01 00 '1'
			s> 40 02 00 01
			s~`},
	})
}
