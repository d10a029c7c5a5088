package websocket

import (
	"net"
	"sync"
)

// maxKept bounds the buffers that are kept for later writes, in bytes. The broker gathers about that much for one write.
const maxKept = 128 << 10

var gatherBuffers = sync.Pool{New: func() any { return new([]byte) }}

// gatherer is between a WebSocket and its connection: the frames that are written between hold and release leave in one write.
type gatherer struct {
	raw net.Conn

	mu  sync.Mutex
	buf *[]byte // nil: what is written leaves at once
}

// Write writes one frame or a part of one.
func (g *gatherer) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf == nil {
		return g.raw.Write(p)
	}
	*g.buf = append(*g.buf, p...)
	return len(p), nil
}

// hold keeps what is written back until release.
func (g *gatherer) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.buf = gatherBuffers.Get().(*[]byte)
}

// release writes what was kept back.
func (g *gatherer) release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	buf := g.buf
	g.buf = nil
	_, err := g.raw.Write(*buf)
	if cap(*buf) <= maxKept {
		*buf = (*buf)[:0]
		gatherBuffers.Put(buf)
	}
	return err
}

// firstPacket returns how many of the bytes of p the MQTT packet takes that p begins with (MQTT 3.1.1, 2.2.3): all, when p does not hold it whole.
func firstPacket(p []byte) int {
	length := 0
	for i := 1; i < min(len(p), 5); i++ {
		length |= int(p[i]&0x7f) << (7 * (i - 1))
		if p[i] < 0x80 {
			return min(i+1+length, len(p))
		}
	}
	return len(p)
}
