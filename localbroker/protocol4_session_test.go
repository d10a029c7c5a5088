package localbroker_test

import "testing"

// What the sessions and the retained messages of MQTT 3.1.1 look like, byte for byte.
func TestMQTT311SessionsAndRetained(t *testing.T) {
	// join connects a client whose session lasts, and clean one whose session does not.
	const join, clean = "> 10 * 00 04 'MQTT' 04 00 00 00 | 00 01 's'\n", "> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 's'\n"
	// live connects a subscriber l to "a" at QoS 1, and a publisher p.
	const live = `
		l> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'l'
		l< 20 02 00 00
		l> 82 * 00 01 | 00 01 'a' 01
		l< 90 03 00 01 01
		p> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 'p'
		p< 20 02 00 00
	`
	// late has t subscribe to "a" at QoS 1, once everything before is published.
	const late = `
		p> c0 00
		p< d0 00
		t> 10 * 00 04 'MQTT' 04 02 00 00 | 00 01 't'
		t< 20 02 00 00
		t> 82 * 00 02 | 00 01 'a' 01
		t< 90 03 00 02 01
	`
	runScripts(t, []script{
		{clause: "MQTT-3.2.2-3", name: "there is no session", steps: "s" + join + "s< 20 02 00 00"},
		{clause: "MQTT-3.2.2-2", name: "there is a session", steps: "s" + join + "s< 20 02 00 00\ns.\ns" + join + "s< 20 02 01 00"},
		{clause: "MQTT-3.2.2-1", name: "a clean session forgets that there was one", steps: "s" + join + "s< 20 02 00 00\ns.\ns" + clean + "s< 20 02 00 00"},
		{clause: "MQTT-3.1.3-6", name: "no identifier, which gets one of its own", steps: `
			c> 10 * 00 04 'MQTT' 04 02 00 00 | 00 00
			c< 20 02 00 00
			d> 10 * 00 04 'MQTT' 04 02 00 00 | 00 00
			d< 20 02 00 00
			c~
			d~`},
		{clause: "MQTT-3.1.2-17", name: "a will that is retained", steps: live + `
			c> 10 * 00 04 'MQTT' 04 26 00 00 | 00 01 'c' | 00 01 'a' 00 01 'w'
			c< 20 02 00 00
			c.
			l< 30 * 00 01 'a' 'w'` + late + `
			t< 31 * 00 01 'a' 'w'
			t~`},
		{clause: "MQTT-3.3.1-6 MQTT-3.3.1-8", name: "the last retained message greets a subscriber, and is marked", steps: live + `
			p> 33 * 00 01 'a' 00 01 'old'
			p< 40 02 00 01
			l< 32 * 00 01 'a' 00 01 'old'
			p> 33 * 00 01 'a' 00 02 'new'
			p< 40 02 00 02
			l< 32 * 00 01 'a' 00 02 'new'` + late + `
			t< 33 * 00 01 'a' 00 01 'new'
			t~`},
		{clause: "MQTT-3.3.1-7", name: "a retained message of QoS 0 takes the place of another", steps: live + `
			p> 33 * 00 01 'a' 00 01 'old'
			p< 40 02 00 01
			l< 32 * 00 01 'a' 00 01 'old'
			p> 31 * 00 01 'a' 'new'
			l< 30 * 00 01 'a' 'new'` + late + `
			t< 31 * 00 01 'a' 'new'
			t~`},
		{clause: "MQTT-3.3.1-9", name: "who is there gets a retained message without the mark", steps: live + `
			p> 31 * 00 01 'a' 'x'
			l< 30 * 00 01 'a' 'x'
			l~`},
		{clause: "MQTT-3.3.1-10", name: "an empty retained message takes away the one that was", steps: live + `
			p> 31 * 00 01 'a' 'x'
			l< 30 * 00 01 'a' 'x'
			p> 31 * 00 01 'a'
			l< 30 * 00 01 'a'` + late + `
			t~`},
		{clause: "MQTT-3.3.1-11", name: "an empty retained message is not kept itself", steps: live + `
			p> 31 * 00 01 'a'
			l< 30 * 00 01 'a'` + late + `
			t~`},
		{clause: "MQTT-3.3.1-12", name: "a message that is not retained leaves the one that is", steps: live + `
			p> 31 * 00 01 'a' 'kept'
			l< 30 * 00 01 'a' 'kept'
			p> 30 * 00 01 'a' 'x'
			l< 30 * 00 01 'a' 'x'` + late + `
			t< 31 * 00 01 'a' 'kept'
			t~`},
		{clause: "MQTT-3.10.4-1", name: "filters are the same by their characters, not by what they match", steps: live + `
			l> a2 * 00 02 | 00 01 '+' | 00 01 '#'
			l< b0 02 00 02
			p> 30 * 00 01 'a' 'x'
			l< 30 * 00 01 'a' 'x'
			l> a2 * 00 03 | 00 01 'a'
			l< b0 02 00 03
			p> 30 * 00 01 'a' 'y'
			l~`},
		{clause: "MQTT-3.10.4-5", name: "a filter that is not there is answered too", steps: live + `
			l> a2 * 00 02 | 00 01 'z'
			l< b0 02 00 02
			l~`},
	})
}
