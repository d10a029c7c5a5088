package localbroker

import (
	"errors"
	"io"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// coded is a reason to end a connection with the reason code that says so in MQTT 5.
type coded struct {
	code packet.ReasonCode
	err  error
}

func (e *coded) Error() string { return e.err.Error() }

func (e *coded) Unwrap() error { return e.err }

// goodbyes are the reason codes of DISCONNECT for why we end connections ourselves (MQTT 5, 3.14.2.1).
var goodbyes = [...]struct {
	why  error
	code packet.ReasonCode
}{
	{errTakenOver, packet.ReasonSessionTakenOver},
	{errKeepAlive, packet.ReasonKeepAliveTimeout},
	{errShutdown, packet.ReasonServerShuttingDown},
	{errUserGone, packet.ReasonAdministrativeAction}, // not 0x87, which answers a request: the client has made none
	{errPasswordChanged, packet.ReasonAdministrativeAction},
	{errMayNotSubscribe, packet.ReasonAdministrativeAction},
}

// disconnectCode returns the reason code for the end of a connection. It is false when the client, or the network, has ended it.
func disconnectCode(why error) (packet.ReasonCode, bool) {
	var broken *brokenRule
	var c *coded
	switch {
	case errors.As(why, &broken):
		return broken.code, true
	case errors.As(why, &c):
		return c.code, true
	}
	for _, g := range goodbyes {
		if errors.Is(why, g.why) {
			return g.code, true
		}
	}
	return 0, false
}

// appendGoodbye appends the DISCONNECT that tells a client of MQTT 5 why its connection ends, if it is one, knows that it is connected
// (MQTT-3.14.0-1), and has not ended it itself.
func (c *conn) appendGoodbye(dst []byte, why error) (out []byte, said bool) {
	code, ours := disconnectCode(why)
	if !ours || !c.polite.Load() || !c.acks.open.Load() {
		return dst, false
	}
	p := packet.Disconnect{Code: code}
	c.explainTo(&p.Props, why.Error(), func() int { return len(p.Append(nil, packet.V5)) })
	return p.Append(dst, packet.V5), true
}

// linger lets a client that has broken the protocol read why: closing with its input unread would reset the connection and take the answer
// away from it.
func (c *conn) linger(why error) {
	var broken *brokenRule
	if errors.As(why, &broken) {
		c.drain()
	}
}

// drain says that nothing more will be written, and reads on for a moment.
func (c *conn) drain() {
	if c.nc.SetReadDeadline(time.Now().Add(farewellTime)) != nil {
		return
	}
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c.nc, farewellBytes)) // whatever ends it, we close next
	}
}

// killed reports whether kill was called.
func (c *conn) killed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}
