package server

import (
	"sync/atomic"

	"github.com/tidegate/tidegate/gateway"
)

// counters are what a server counts.
type counters struct {
	accepted, denied, refused, evicted, malformed, timeouts, requests, exceptions atomic.Uint64
}

func (c *counters) snapshot() gateway.ModbusServerStats {
	return gateway.ModbusServerStats{
		Accepted: c.accepted.Load(), Denied: c.denied.Load(), Refused: c.refused.Load(), Evicted: c.evicted.Load(),
		Malformed: c.malformed.Load(), Timeouts: c.timeouts.Load(),
		Requests: c.requests.Load(), Exceptions: c.exceptions.Load(),
	}
}
