package bridge

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// fakeQueue is a Queue in memory that notes what it is told.
type fakeQueue struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	list    []gateway.Delivery
	wake    func()
	done    map[uint64]bool // acknowledged
	acked   uint64          // through here without a break
	acks    []uint64
	parked  map[uint64]string
	epochs  uint64
}

func newFakeQueue(bodies ...gateway.Body) *fakeQueue {
	q := &fakeQueue{changed: make(chan struct{}), parked: map[uint64]string{}, done: map[uint64]bool{}}
	for _, b := range bodies {
		q.add(b)
	}
	return q
}

func (q *fakeQueue) add(b gateway.Body) {
	q.mu.Lock()
	defer q.mu.Unlock()
	pos := uint64(len(q.list) + 1)
	rec := &gateway.Record{Seq: 100 + pos, Time: time.UnixMilli(0), Body: b}
	q.list = append(q.list, gateway.Delivery{Ref: gateway.Ref{Queue: 1, QoS: 1}, Pos: pos, Record: rec})
	q.notify()
}

func (q *fakeQueue) notify() {
	close(q.changed)
	q.changed = make(chan struct{})
	if q.wake != nil {
		q.wake()
	}
}

func (q *fakeQueue) Open(wake func()) (acked, last uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake = wake
	return q.acked, uint64(len(q.list))
}

func (q *fakeQueue) Detach() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake = nil
}

func (q *fakeQueue) TryRead(after uint64, buf []gateway.Delivery) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.list[min(int(after), len(q.list)):] {
		if n == len(buf) {
			break
		}
		if !q.done[d.Pos] {
			buf[n] = d
			n++
		}
	}
	return n, nil
}

func (q *fakeQueue) Depth() (records uint64, oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.list {
		if !q.done[d.Pos] {
			records++
		}
	}
	if records > 0 {
		oldest = q.list[0].Record.Time
	}
	return records, oldest
}

func (q *fakeQueue) Ack(pos uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acks = append(q.acks, pos)
	q.done[pos] = true
	for q.done[q.acked+1] {
		q.acked++
	}
	q.notify()
}

func (q *fakeQueue) Park(_ context.Context, pos uint64, reason string) error {
	q.mu.Lock()
	q.parked[pos] = reason
	q.mu.Unlock()
	q.Ack(pos)
	return nil
}

func (q *fakeQueue) NextEpoch(context.Context) (uint64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.epochs++
	return q.epochs, nil
}

func (q *fakeQueue) acksNow() []uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]uint64(nil), q.acks...)
}

// waitAcks waits until n acknowledgements have come.
func (q *fakeQueue) waitAcks(t *testing.T, n int) []uint64 {
	t.Helper()
	deadline := time.After(patience)
	for {
		q.mu.Lock()
		acks, changed := append([]uint64(nil), q.acks...), q.changed
		q.mu.Unlock()
		if len(acks) >= n {
			return acks
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d acknowledgements, want %d: %v", len(acks), n, acks)
		}
	}
}

// fakeLocal is the local broker: it hands what it gets to the test, which decides when it is safe.
type fakeLocal struct{ got chan localPublish }

type localPublish struct {
	rec  *gateway.Record
	done func(error)
}

func newFakeLocal() *fakeLocal { return &fakeLocal{make(chan localPublish, 100)} }

func (l *fakeLocal) Publish(rec *gateway.Record, done func(error)) { l.got <- localPublish{rec, done} }

// inbound returns the next publish that is not a mirror of the link's state.
func (l *fakeLocal) inbound(t *testing.T) localPublish {
	t.Helper()
	for {
		select {
		case p := <-l.got:
			if p.done != nil {
				return p
			}
		case <-time.After(patience):
			t.Fatal("nothing came to the local broker")
		}
	}
}

// frame is a packet that the fake upstream received.
type frame struct {
	head byte
	body []byte
}

func (f frame) kind() byte { return f.head >> 4 }

// publishFields takes a PUBLISH apart.
func (f frame) publishFields() (topic string, id uint16, payload string) {
	n := binary.BigEndian.Uint16(f.body)
	topic, rest := string(f.body[2:2+n]), f.body[2+n:]
	if f.head&0x06 != 0 {
		id, rest = binary.BigEndian.Uint16(rest), rest[2:]
	}
	return topic, id, string(rest)
}

// upstream is a broker that does what the test writes down, byte by byte.
type upstream struct {
	t *testing.T
	l net.Listener
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &upstream{t, l}
}

func (u *upstream) url() *url.URL { return &url.URL{Scheme: "mqtt", Host: u.l.Addr().String()} }

// accept takes the next connection and its CONNECT, which it returns, and sends the CONNACK with a return code.
func (u *upstream) accept(code byte) (*link, frame) {
	u.t.Helper()
	_ = u.l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := u.l.Accept()
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { c.Close() })
	l := &link{u.t, c, bufio.NewReader(c)}
	connect := l.expect(1)
	l.send(0x20, 0, code)
	return l, connect
}

// welcome accepts a connection, its birth, and returns it ready.
func (u *upstream) welcome() (l *link, birth string) {
	u.t.Helper()
	l, _ = u.accept(0)
	f := l.expect(3)
	_, id, birth := f.publishFields()
	l.puback(id)
	return l, birth
}

// reply is what a fake upstream does with a publish.
type reply int

const (
	confirm reply = iota
	ignore        // and go on
	cut           // end the connection
)

// serve answers each connection like a broker, one after the other and for as long as the upstream listens, with a reply to each publish
// that is no birth.
func (u *upstream) serve(answer func(payload string) reply) {
	for {
		c, err := u.l.Accept()
		if err != nil {
			return
		}
		u.serveOne(c, answer)
		c.Close()
	}
}

// serveOne answers a connection until it ends or is to be cut.
func (u *upstream) serveOne(c net.Conn, answer func(payload string) reply) {
	l := &link{u.t, c, bufio.NewReader(c)}
	for {
		f, err := l.read()
		if err != nil {
			return
		}
		switch f.kind() {
		case 1:
			_, err = c.Write([]byte{0x20, 2, 0, 0})
		case 3:
			_, id, got := f.publishFields()
			r := confirm
			if !strings.HasPrefix(got, `{"state":`) {
				r = answer(got)
			}
			switch r {
			case confirm:
				_, err = c.Write([]byte{0x40, 2, byte(id >> 8), byte(id)})
			case cut:
				return
			}
		case 12:
			_, err = c.Write([]byte{0xd0, 0})
		}
		if err != nil {
			return
		}
	}
}

// link is one connection on the side of the fake upstream.
type link struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

// expect reads the next packet that is no ping and insists on its type.
func (l *link) expect(kind byte) frame {
	l.t.Helper()
	for {
		f, err := l.read()
		if err != nil {
			l.t.Fatalf("wait for packet type %d: %v", kind, err)
		}
		if f.kind() == 12 {
			l.send(0xd0)
			continue
		}
		if f.kind() != kind {
			l.t.Fatalf("packet type %d (% x), want %d", f.kind(), f.body, kind)
		}
		return f
	}
}

func (l *link) read() (frame, error) {
	_ = l.c.SetReadDeadline(time.Now().Add(patience))
	head, err := l.r.ReadByte()
	if err != nil {
		return frame{}, err
	}
	size, err := binary.ReadUvarint(l.r)
	if err != nil {
		return frame{}, err
	}
	body := make([]byte, size)
	_, err = io.ReadFull(l.r, body)
	return frame{head, body}, err
}

// send sends a packet with a body shorter than 128 bytes.
func (l *link) send(head byte, body ...byte) {
	l.t.Helper()
	if _, err := l.c.Write(append([]byte{head, byte(len(body))}, body...)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *link) puback(id uint16) {
	l.t.Helper()
	l.send(0x40, byte(id>>8), byte(id))
}

// publish sends a QoS 1 PUBLISH.
func (l *link) publish(topic, payload string, id uint16) {
	l.t.Helper()
	body := append([]byte{byte(len(topic) >> 8), byte(len(topic))}, topic...)
	body = append(body, byte(id>>8), byte(id))
	l.send(0x32, append(body, payload...)...)
}

// silent reports that nothing but pings comes within a moment. It can only miss a late mistake, never invent one.
func (l *link) silent(d time.Duration) bool {
	_ = l.c.SetReadDeadline(time.Now().Add(d))
	_, err := l.r.Peek(1)
	return err != nil
}

// running is a bridge under test.
type running struct {
	*Bridge
	stop  context.CancelFunc
	ended chan error
}

// run starts a bridge; it is stopped at the end of the test.
func run(t *testing.T, o Options) *running {
	t.Helper()
	return runTuned(t, o, func(*Bridge) {})
}

// impatient makes the bridge connect again at once.
func impatient(b *Bridge) {
	b.backoff = func(time.Duration, failure) time.Duration { return 0 }
}

// dialTCP is the plainest way to a server.
func dialTCP(ctx context.Context, server *url.URL) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", server.Host)
}

// runTuned is run with a change to the bridge before it starts.
func runTuned(t *testing.T, o Options, tune func(*Bridge)) *running {
	t.Helper()
	if o.NextEpoch == nil {
		o.NextEpoch = newFakeQueue().NextEpoch
		if len(o.Lanes) == 1 {
			o.NextEpoch = o.Lanes[0].Queue.(*fakeQueue).NextEpoch
		}
	}
	o.Name, o.ClientID = "cloud", "gw-cloud"
	o.Topics = gateway.Topics{Base: "tidegate/gw"}
	if o.Local == nil {
		o.Local = newFakeLocal()
	}
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	tune(b)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{b, cancel, make(chan error, 1)}
	go func() { r.ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-r.ended:
		case <-time.After(patience):
			t.Error("the bridge did not stop")
		}
	})
	return r
}

func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
		r.ended <- nil
	case <-time.After(patience):
		t.Fatal("the bridge did not stop")
	}
}

func text(topic, payload string) *gateway.Message {
	return &gateway.Message{Topic: topic, Payload: []byte(payload), QoS: 1}
}

var all = []Route{{Filter: "#", QoS: 1}}

// one makes q the only lane.
func one(q *fakeQueue) []Lane { return []Lane{{Queue: q, Priority: PriorityNormal}} }
