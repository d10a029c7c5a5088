package e2e_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fault is what a proxy does to the bytes and connections that go through it.
type fault int

const (
	pass    fault = iota
	hole          // goes on accepting connections and taking bytes, and passes none on
	stall         // takes nothing: the sender's window fills up; what it has goes on when the stall is over
	trickle       // a few bytes at a time
	reset         // tears down every connection at once with a RST, those that come included
	faults        // how many there are
)

func (f fault) String() string {
	return [...]string{"pass", "hole", "stall", "trickle", "reset"}[f]
}

// What passes a trickling proxy: so much at a time, and so long in between.
const (
	trickleBytes = 128
	tricklePause = 4 * time.Millisecond
)

// proxy is a TCP proxy with faults.
type proxy struct {
	listener net.Listener
	target   string
	accepted atomic.Int64 // connections accepted while black
	total    atomic.Int64 // connections accepted

	mu      sync.Mutex
	now     fault
	changed chan struct{} // closed and renewed with each change of now
	conns   map[net.Conn]struct{}
	wg      sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.set(pass)
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// set begins a fault, or ends it. What hung in a black hole is cut when that ends: bytes are missing there.
func (p *proxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f == reset || p.now == hole && f != hole {
		p.closeAll(f == reset)
	}
	p.now = f
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *proxy) mode() fault {
	f, _ := p.look()
	return f
}

// look returns the present fault and what is closed when it changes.
func (p *proxy) look() (fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.changed
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.total.Add(1)
		if p.mode() == hole {
			p.accepted.Add(1)
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer p.drop(client)
	switch p.keep(client) {
	case reset:
		abort(client)
		return
	case hole:
		_, _ = io.Copy(io.Discard, client)
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(server)
	p.keep(server)
	var both sync.WaitGroup
	both.Go(func() { p.pump(server, client) })
	both.Go(func() { p.pump(client, server) })
	both.Wait()
}

// pump copies until one side ends, in the way of the present fault.
func (p *proxy) pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf[:p.portion(len(buf))])
		if err != nil {
			return
		}
		if p.mode() == hole {
			continue
		}
		p.portion(n) // a stall that began meanwhile holds what was read
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// portion returns how much to take at once, of n at most. It waits out a stall, and pauses in a trickle.
func (p *proxy) portion(n int) int {
	for {
		f, changed := p.look()
		switch f {
		case stall:
			<-changed // at the end of the test at the latest
		case trickle:
			pause := time.NewTimer(tricklePause)
			select {
			case <-pause.C:
			case <-changed:
			}
			pause.Stop()
			return min(n, trickleBytes)
		default:
			return n
		}
	}
}

// blacken swallows everything from now on; clear cuts what hangs and passes new connections on again.
func (p *proxy) blacken() { p.set(hole) }

func (p *proxy) clear() { p.set(pass) }

// keep notes a connection, to be cut with the others, and returns the fault that it meets.
func (p *proxy) keep(c net.Conn) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return p.now
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeAll(false)
}

// closeAll is called with the lock held.
func (p *proxy) closeAll(abruptly bool) {
	for c := range p.conns {
		if abruptly {
			abort(c)
		} else {
			c.Close()
		}
	}
}

// abort closes a connection with a RST instead of a FIN.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
