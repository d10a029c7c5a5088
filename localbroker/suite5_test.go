package localbroker_test

import (
	"testing"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// What of MQTT 5 must hold over any store, beside the scripts.

func suiteDelayedWills(t *testing.T, h host) {
	r := startOn(t, h)
	s := r.persistent("s", false)
	s.subscribe("will/#", 1)
	s.close()
	connect := func(id string, present bool) *raw {
		c := r.dial()
		p := packet.Connect{Version: packet.V5, ClientID: id, Props: packet.Properties{SessionExpiry: packet.Some[uint32](1000)}}
		p.Will = &packet.Will{Topic: "will/" + id, QoS: 1, Props: packet.Properties{WillDelay: packet.Some[uint32](1), ContentType: []byte("t")}}
		c.connect(&p)
		if present {
			c.expectBytes(notation("SESSION", id))
		} else {
			c.expectBytes(notation("CONNACK", id))
		}
		return c
	}
	connect("alive", false)
	connect("left", false).close()
	connect("back", false).close()
	r.log.await(t, "client=back", "connection lost")
	publishMany(r.persistent("commits what came before", false), "will/none", 1, 0, 1)
	r.crash()
	connect("back", true).send("e0 00")
	r.log.await(t, "client=back", "client has disconnected")
	got := map[string]bool{}
	s = r.persistent("s", true)
	for range 3 {
		got[string(s.next().(*packet.Publish).Topic)] = true
	}
	if !got["will/alive"] || !got["will/left"] || !got["will/none"] {
		t.Fatalf("got %v, want will/alive, will/left and will/none", got)
	}
	s.send("40 02 00 01 | 40 02 00 02 | 40 02 00 03 | e0 00")
	s.closed()
	r.restart()
	r.persistent("s", true).nothing() // not a second time
}

func suiteEndedByCrash(t *testing.T, h host) {
	r := startOn(t, h)
	for _, id := range []string{"a", "b"} {
		c := r.dial()
		c.connect(&packet.Connect{Version: packet.V5, ClientID: id, Props: packet.Properties{SessionExpiry: packet.Some[uint32](1000)}})
		c.expectBytes(notation("CONNACK", id))
		c.close()
	}
	r.log.await(t, "client=b", "connection lost")
	c := r.dial()
	c.connect(&packet.Connect{Version: packet.V5, ClientID: "a"}) // takes it up, and lets it end with this connection
	c.expectBytes(notation("SESSION", "a"))
	r.crash()
	if n := r.broker.Stats().Sessions; n != 1 {
		t.Errorf("%d sessions, want that of b", n)
	}
	c = r.dial()
	c.connect(&packet.Connect{Version: packet.V5, ClientID: "b"})
	c.expectBytes(notation("SESSION", "b"))
}
