package localbroker_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// Every packet that the codec's cases call bad ends the connection with a line in the log, as the first packet and after CONNECT, and
// nothing else happens.
func TestMalformedPacketsEndTheirConnectionOnly(t *testing.T) {
	r := start(t)
	witness := r.clean("witness")
	witness.subscribe("#", 2)
	for _, c := range packettest.Cases() {
		if c.Valid() || c.Version == packet.V5 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			first := r.dial()
			first.t = t
			first.write(c.Raw)
			first.finish()
			ended(t, first)

			if packet.Type(c.Raw[0]>>4) == packet.TypeConnect {
				return
			}
			later := r.dial()
			later.t = t
			later.connect(&packet.Connect{Version: c.Version, ClientID: "m", CleanStart: true})
			later.expect("20 02 00 00")
			later.write(c.Raw)
			later.finish()
			later.closedWithoutAnswer()
		})
	}
	witness.nothing()
	eventually(t, "bad connections counted", func() bool {
		st := r.broker.Stats()
		return st.Malformed > 0 && st.Refused > 0
	})
}

// finish says that no more bytes will come, so that a packet which is merely cut off ends the connection too.
func (c *raw) finish() {
	if tcp, ok := c.c.(interface{ CloseWrite() error }); ok {
		_ = tcp.CloseWrite()
	}
}

// ended reads a connection's end; before it, nothing but the refusal of a CONNECT may come.
func ended(t *testing.T, c *raw) {
	t.Helper()
	_ = c.c.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c.r)
	if len(b) > 0 && (b[0] != 0x20 || b[3] == 0) {
		t.Fatalf("got % x (%v), want nothing or a CONNACK that refuses", b, err)
	}
}

// What the codec's cases call good must not end a connection, unless a client may not send it.
func TestGoodPacketsAreTaken(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.Auth = anybody{} })
	for _, c := range packettest.Cases() {
		if !c.Valid() || c.Version == packet.V5 || !c.FromClient() {
			continue
		}
		t.Run(c.Name, func(t *testing.T) { takesPacket(t, r, c) })
	}
}

func takesPacket(t *testing.T, r *rig, c packettest.Case) {
	conn := r.dial()
	conn.t = t
	switch p := c.Packet.(type) {
	case *packet.Connect:
		conn.write(c.Raw)
		ack := conn.next().(*packet.Connack)
		if want := p.ClientID == "" && !p.CleanStart; ack.Code.Failed() != want {
			t.Fatalf("got %v, want a refusal: %v", ack.Code, want)
		}
		return
	case *packet.Disconnect:
		conn.connect(&packet.Connect{Version: c.Version, ClientID: "g", CleanStart: true})
		conn.expect("20 02 00 00")
		conn.write(c.Raw)
		conn.closed()
		return
	}
	conn.connect(&packet.Connect{Version: c.Version, ClientID: "g", CleanStart: true, Bridge: true})
	conn.expect("20 02 00 00")
	conn.write(c.Raw)
	if p, ok := c.Packet.(*packet.Publish); ok && p.Topic[0] == '$' && !bytes.HasPrefix(p.Topic, []byte("$SYS/broker/connection/")) {
		conn.closed() // good, but not allowed
		return
	}
	conn.send("c0 00")
	for conn.next().Type() != packet.TypePingresp {
	}
}
