package localbroker_test

import (
	"net"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// FuzzAttended is FuzzConnections over TCP, where connections are attended whenever they can be. No time passes in it but what its scripts take.
func FuzzAttended(f *testing.F) {
	fuzzScripts(f, 512, func(t *testing.T, cases []packettest.Case, script []byte) {
		runScript(t, overTCP{}, cases, script)
	})
}

// overTCP is a scene of real sockets.
type overTCP struct{}

func (overTCP) listen(t *testing.T, b *localbroker.Broker) net.Listener {
	b.AttendAtOnce()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func (overTCP) dial(t *testing.T, ln net.Listener) net.Conn {
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetLinger(0) // a cut is one, and no port is kept for it
	return c
}

func (overTCP) soon(what func() bool) bool {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !what(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

func (overTCP) pass(time.Duration) {}

func (overTCP) patience() time.Duration { return 10 * time.Millisecond }
