package localbroker_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// patience is how long a test waits for what must come. It is long, because it only tells a hang from a slow machine.
const patience = 20 * time.Second

// host is a place where stores live: what is on its disk outlives them.
type host interface {
	open(t testing.TB) localbroker.Store
	close(t testing.TB) // in order
	crash(t testing.TB) // as by kill -9
}

// memHost is the host of the reference store.
type memHost struct {
	disk  *image
	store *memStore
	eager bool // the connections of its broker are attended as soon as they can be
}

func (h *memHost) open(testing.TB) localbroker.Store {
	if h.disk == nil {
		h.disk = newImage()
	}
	h.store = openMemStore(h.disk)
	return h.store
}

func (h *memHost) close(testing.TB) { h.store.stop(true) }

func (h *memHost) crash(testing.TB) {
	h.store.mu.Lock()
	h.disk = h.store.disk.clone() // nothing reaches the disk from here on
	h.store.mu.Unlock()
	h.store.stop(false)
}

// rig is a broker with one listener on loopback.
type rig struct {
	t      testing.TB
	host   host
	mem    *memStore // of a memHost
	store  localbroker.Store
	broker *localbroker.Broker
	addr   string
	log    *logBuffer
	queues []localbroker.QueueSub
	adjust []func(*localbroker.Options)

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// start runs a broker over a reference store until the test ends, and looks for goroutines that it left behind.
func start(t testing.TB, adjust ...func(*localbroker.Options)) *rig {
	t.Helper()
	return startOn(t, &memHost{}, adjust...)
}

func startOn(t testing.TB, h host, adjust ...func(*localbroker.Options)) *rig {
	t.Helper()
	r := &rig{t: t, host: h, log: &logBuffer{}, adjust: adjust}
	r.up()
	t.Cleanup(func() {
		r.down()
		noLeaks(t)
	})
	return r
}

func (r *rig) up() {
	r.t.Helper()
	r.store = r.host.open(r.t)
	if h, ok := r.host.(*memHost); ok {
		r.mem = h.store
	}
	opts := localbroker.Options{Store: r.store, Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Topics: gateway.Topics{Base: "tg/x"}}
	for _, f := range r.adjust {
		f(&opts)
	}
	var err error
	if r.broker, err = localbroker.New(opts); err != nil {
		r.t.Fatal(err)
	}
	if h, ok := r.host.(*memHost); ok && h.eager {
		r.broker.AttendAtOnce()
	}
	for _, q := range r.queues {
		r.broker.AddQueue(q)
	}
	r.listen()
	<-r.broker.Ready()
}

func (r *rig) listen() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	broker := r.broker
	r.done.Go(func() {
		if err := broker.Run(ctx); err != nil {
			r.t.Errorf("run: %v", err)
		}
	})
	r.done.Go(func() {
		if err := broker.Serve(ctx, ln, localbroker.ListenerOptions{Name: "lan", AllowAnonymous: true}); err != nil {
			r.t.Errorf("serve: %v", err)
		}
	})
}

// serve adds a listener and returns its address.
func (r *rig) serve(lo localbroker.ListenerOptions) string {
	r.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.done.Go(func() {
		if err := r.broker.Serve(context.Background(), ln, lo); err != nil {
			r.t.Errorf("serve: %v", err)
		}
	})
	return ln.Addr().String()
}

// stop ends the broker in order and leaves the store open.
func (r *rig) stop() {
	r.cancel()
	r.done.Wait()
}

func (r *rig) down() {
	r.stop()
	r.host.close(r.t)
}

// crash ends everything as kill -9 would, and starts it again on what was on the disk.
func (r *rig) crash() {
	r.t.Helper()
	r.host.crash(r.t)
	r.stop()
	r.up()
}

// restart ends everything in order and starts it again.
func (r *rig) restart() {
	r.t.Helper()
	r.down()
	r.up()
}

// noLeaks fails the test when a goroutine of the broker is left.
func noLeaks(t testing.TB) {
	t.Helper()
	buf := make([]byte, 1<<20)
	var left string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		left = ""
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "tidegate/localbroker.") {
				left = g
			}
		}
		if left == "" {
			return
		}
	}
	t.Errorf("a goroutine was left behind:\n%s", left)
}

// logBuffer keeps a log for looking at.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// await waits until a line of the log holds all words.
func (l *logBuffer) await(t testing.TB, words ...string) {
	t.Helper()
	eventually(t, "a log line with "+strings.Join(words, ", "), func() bool {
		for line := range strings.Lines(l.String()) {
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return true
			}
		}
		return false
	})
}

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// raw is a client that says byte for byte what it is told, in the notation of packettest.
type raw struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader

	version packet.Version // of what is read; 0: 3.1.1
}

func (r *rig) dial() *raw {
	r.t.Helper()
	return r.dialTo(r.addr)
}

func (r *rig) dialTo(addr string) *raw {
	r.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &raw{t: r.t, c: c, r: bufio.NewReader(c)}
}

// clean connects with a clean session, persistent without.
func (r *rig) clean(id string) *raw {
	r.t.Helper()
	c := r.dial()
	c.connect(&packet.Connect{ClientID: id, CleanStart: true})
	c.expect("20 02 00 00")
	return c
}

func (r *rig) persistent(id string, present bool) *raw {
	r.t.Helper()
	c := r.dial()
	c.connect(&packet.Connect{ClientID: id})
	if present {
		c.expect("20 02 01 00")
	} else {
		c.expect("20 02 00 00")
	}
	return c
}

func (c *raw) connect(p *packet.Connect) {
	c.t.Helper()
	if p.Version == 0 {
		p.Version = packet.V311
	}
	c.write(p.Append(nil, p.Version))
}

func (c *raw) write(b []byte) {
	c.t.Helper()
	_ = c.c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.c.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *raw) send(notation string) {
	c.t.Helper()
	c.write(packettest.Bytes(notation))
}

// publish sends a PUBLISH; subscribe subscribes and waits for SUBACK.
func (c *raw) publish(topic, payload string, qos packet.QoS, id uint16, retain bool) {
	c.t.Helper()
	c.write(publishBytes(topic, payload, qos, id, retain, false))
}

func publishBytes(topic, payload string, qos packet.QoS, id uint16, retain, dup bool) []byte {
	p := packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, ID: id, Retain: retain, Dup: dup}
	return p.Append(nil, packet.V311)
}

func (c *raw) subscribe(filter string, qos packet.QoS) {
	c.t.Helper()
	s := packet.Subscribe{ID: 0x7fff, Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}}
	c.write(s.Append(nil, packet.V311))
	c.expectBytes([]byte{0x90, 3, 0x7f, 0xff, byte(qos)})
}

// expect reads exactly these bytes.
func (c *raw) expect(notation string) {
	c.t.Helper()
	c.expectBytes(packettest.Bytes(notation))
}

func (c *raw) expectBytes(want []byte) {
	c.t.Helper()
	_ = c.c.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	if err != nil || !bytes.Equal(got, want) {
		c.t.Fatalf("got  % x (%v)\nwant % x", got[:n], err, want)
	}
}

func (c *raw) expectPublish(topic, payload string, qos packet.QoS, id uint16, retain, dup bool) {
	c.t.Helper()
	c.expectBytes(publishBytes(topic, payload, qos, id, retain, dup))
}

// next reads one packet.
func (c *raw) next() packet.Packet {
	c.t.Helper()
	p, err := c.tryNext()
	if err != nil {
		c.t.Fatalf("read a packet: %v", err)
	}
	return p
}

func (c *raw) tryNext() (packet.Packet, error) {
	_ = c.c.SetReadDeadline(time.Now().Add(patience))
	return readPacket(c.r, cmp.Or(c.version, packet.V311))
}

// readPacket reads one packet of a connection of version v.
func readPacket(r *bufio.Reader, v packet.Version) (packet.Packet, error) {
	first, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	n, err := binary.ReadUvarint(r) // a remaining length is one
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return packet.Parse(packet.Frame{First: first, Body: body}, v)
}

// checkAck checks that p is an acknowledgement of this kind and id.
func (c *raw) checkAck(p packet.Packet, kind packet.Type, id uint16) {
	c.t.Helper()
	if a, ok := p.(*packet.Ack); !ok || a.Kind != kind || a.ID != id {
		c.t.Fatalf("got %v %+v, want %v %d", p.Type(), p, kind, id)
	}
}

// nothing shows that what was sent so far has had no answer and brought nothing: the answer to a ping is the next thing that comes.
func (c *raw) nothing() {
	c.t.Helper()
	for range 3 {
		c.send("c0 00")
		c.expect("d0 00")
	}
}

// silent shows that nothing has come yet, where a ping would not be answered.
func (c *raw) silent() {
	c.t.Helper()
	_ = c.c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if b, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got % x (%v), want nothing yet", b, err)
	}
}

// closed shows that the broker ends the connection, and sends nothing before.
func (c *raw) closed() {
	c.t.Helper()
	_ = c.c.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("the connection is still open")
	}
	if len(b) > 0 {
		c.t.Fatalf("got % x before the end, want nothing", b)
	}
}

func (c *raw) close() { c.c.Close() }

// queue adds a durable consumer to the broker, now and after each restart.
func (r *rig) queue(name string, q localbroker.QueueSub) *consumer {
	q.Queue = r.store.Queue(name)
	r.queues = append(r.queues, q)
	r.broker.AddQueue(q)
	return &consumer{r.t, r.store, q.Queue, 0}
}

// consumer reads a durable queue.
type consumer struct {
	t     testing.TB
	store localbroker.Store
	queue gateway.QueueID
	after uint64
}

// read returns the next n deliveries.
func (c *consumer) read(n int) []gateway.Delivery {
	c.t.Helper()
	var got []gateway.Delivery
	eventually(c.t, "deliveries", func() bool {
		buf := make([]gateway.Delivery, n-len(got))
		k, err := c.store.Read(c.queue, c.after, buf)
		if err != nil {
			c.t.Fatal(err)
		}
		if k > 0 {
			got = append(got, buf[:k]...)
			c.after = buf[k-1].Pos
		}
		return len(got) == n
	})
	return got
}

// empty shows that there is nothing to read now.
func (c *consumer) empty() {
	c.t.Helper()
	buf := make([]gateway.Delivery, 1)
	if n, err := c.store.Read(c.queue, c.after, buf); n != 0 || err != nil {
		c.t.Fatalf("read %d deliveries (%v), want none: %+v", n, err, buf)
	}
}
