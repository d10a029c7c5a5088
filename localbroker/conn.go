package localbroker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// Why connections end, other than by a broken rule of the protocol or by the network.
var (
	errDisconnect = errors.New("the client has disconnected")
	errWillWanted = errors.New("the client has disconnected and wants its will to be published")
	errTakenOver  = errors.New("another connection with the same client identifier took over")
	errKeepAlive  = errors.New("nothing was received for one and a half times the keep alive")
	errTimeout    = errors.New("no CONNECT within the connect timeout")
	errRefused    = errors.New("the connection was refused")
)

// conn is one network connection. Who reads it, a goroutine of its own or its attendant, owns all fields but those said to be shared, reads and
// handles packets; the goroutine tidies up at the end. At most one other goroutine, its writer, runs while there is something to write.
type conn struct {
	b         *Broker
	nc        net.Conn
	lo        *ListenerOptions
	log       *slog.Logger
	name      string // client identifier; "" until it is known
	remote    string // address and port
	host      string // address alone
	version   packet.Version
	bridge    bool // the client calls itself a bridge, as mosquitto's do
	client    *client
	session   *session // nil until CONNECT is accepted
	since     time.Time
	deadline  time.Time        // of CONNECT
	idle      time.Duration    // of silence that ends the connection; 0: none does
	will      *gateway.PutWill // nil without one
	terms     *terms           // nil before MQTT 5
	window    int              // QoS 1 and 2 messages that may be in flight to the client
	assigned  bool             // we have chosen the client identifier
	quiet     bool             // nothing has come for a while
	armed     bool             // a deadline is set that tells when that is so
	keepAlive uint16           // seconds
	limit     int              // bytes of the next packet
	patience  time.Duration    // for slow subscribers, left since the last read

	login       proof  // how the client has logged in
	saidMessage seldom // messages that were refused
	saidFilter  seldom // subscriptions that were

	in         inbuf
	sock       *socket    // nil for what is not one
	attendant  *attendant // may read the connection while little comes; nil: none can
	seat       int32      // there
	pace       pace       // of reads
	heard      time.Time  // when the last input was handled
	came       int64      // when the last input came; see crowd
	inCrowd    bool       // so did that of others
	rd         *reading   // while packets are handled
	routes     map[string]*route
	routeBytes int           // about what they take
	replayed   chan struct{} // closed when the retained messages of the last SUBSCRIBE are committed; nil when there is nothing to wait for
	last       *route        // of the latest PUBLISH

	// Shared.
	acks    acks
	reads   atomic.Int32    // see attend.go
	pull    *pull           // the persistent session's queue; of the writer
	writing atomic.Int32    // see writer.go
	parted  chan struct{}   // the writer has left a dead connection; capacity 1; nil until it is dead
	writers *sync.WaitGroup // that the writer's goroutine is counted in

	polite  atomic.Bool // the client gets a DISCONNECT
	killing sync.Once
	reason  error         // why kill was called; valid once closed is closed
	closed  chan struct{} // kill was called
	gone    chan struct{} // everything about this connection is over; nil while nobody waits for that; the broker's mu guards it

	// What a listener's Upgrade has left: nc is the MQTT stream over the connection raw, as it was accepted. Only reader and writer use nc.
	raw       net.Conn
	certified string // the user that a certificate has named; "" if none has
}

// fewMessages is up to how many messages a reader writes to subscribers itself. More are worth a goroutine, which gathers those of other
// publishers meanwhile.
const fewMessages = 4

// reading is what handling packets needs, kept apart because most connections are idle most of the time.
type reading struct {
	publish   packet.Publish
	ack       packet.Ack
	early     []byte // answers that need not wait
	said      bool   // answers of early are ready
	more      bool   // there is something for the writer that the reader does not write itself
	pubacks   []confirmation
	acked     []uint64 // positions that the client has confirmed
	sink      sink
	transit   transit // of the PUBLISH being handled
	collected collected
	now       time.Time // see conn.now
	raw       []byte    // the packet being handled, for the log
	count     uint64    // PUBLISH packets received
	payload   uint64    // bytes of theirs
	packets   uint64    // of any kind received
	answers   uint64    // packets that these are answered by
}

var readings = sync.Pool{New: func() any { return new(reading) }}

// newReading begins to handle what one read has brought.
func (c *conn) newReading() *reading {
	c.patience = slowFactor * c.b.opts.StallPatience
	return readings.Get().(*reading)
}

// free gives the reading back, without what it refers to.
func (rd *reading) free() {
	rd.raw, rd.publish.Topic, rd.publish.Payload = nil, nil, nil
	letGo(&rd.publish.Props)
	if rd.transit.rec != nil {
		rd.transit = transit{}
	}
	clear(rd.sink.pressed)
	rd.sink.pressed = rd.sink.pressed[:0]
	readings.Put(rd)
}

func newConn(b *Broker, nc net.Conn, lo *ListenerOptions) *conn {
	remote := nc.RemoteAddr().String()
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote // not a network with ports
	}
	c := &conn{
		b: b, raw: nc, nc: nc, lo: lo, remote: remote, host: host,
		limit:  b.opts.MaxConnectPacket,
		closed: make(chan struct{}),
	}
	c.log = slog.New((*connLog)(c))
	return c
}

// kill ends the connection from any goroutine: the reader and the writer fail at their next step. For a client that gets a DISCONNECT the
// reader alone does, writes it and closes, unless it cannot do so soon.
func (c *conn) kill(reason error) {
	c.killing.Do(func() {
		c.reason = reason
		close(c.closed)
		if !c.polite.Load() {
			c.raw.Close() // not nc, which may say goodbye and wait for the answer
		} else {
			_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // fails on a closed connection only
			time.AfterFunc(farewellTime, func() { c.raw.Close() })
		}
		if c.reads.CompareAndSwap(readsAttended, readsOwn) {
			c.attendant.handBack(c, nil)
		}
	})
}

// run serves the connection until it ends.
func (c *conn) run(ctx context.Context) {
	c.deadline = time.Now().Add(c.b.opts.ConnectTimeout)
	_ = c.raw.SetReadDeadline(c.deadline) // fails on a closed connection only, as the read then does
	if err := c.upgrade(ctx); err != nil {
		c.end(err)
		c.writers.Done()
		return
	}
	c.grasp()
	c.serve(ctx)
}

// end does what is to be done when nothing is read any more, and err was why.
func (c *conn) end(err error) {
	defer c.b.untrack(c)
	c.finish(err)
	c.in.free()
	c.report(c.reason)
	if c.session != nil {
		c.leave(errors.Is(err, errDisconnect)) // whoever else may have closed it meanwhile
	}
}

// finish closes the connection. What the client was still to be told, about packets before the one that ended it, gets a moment to leave,
// and so does the reason.
func (c *conn) finish(err error) {
	reason := err
	select {
	case <-c.closed:
		reason = c.reason
	default:
	}
	hurry := time.AfterFunc(farewellTime, func() {
		c.kill(reason)
		c.raw.Close()
	})
	c.partWriter()
	if hurry.Stop() {
		s := scratches.Get().(*scratch)
		defer s.free()
		last := c.acks.take(nil)
		last, said := c.appendGoodbye(last, reason)
		if len(last) > 0 && c.send(last, s) == nil && said {
			c.linger(reason)
		}
	}
	c.part()
	c.kill(reason)
	c.raw.Close()
}

// handle handles one packet.
func (c *conn) handle(ctx context.Context, f packet.Frame) error {
	t := f.Type()
	if t != packet.TypePublish && t != packet.TypePuback {
		c.commitCollected()
	}
	if c.session == nil {
		if t != packet.TypeConnect {
			return breach("%s came before CONNECT", t, "MQTT-3.1.0-1")
		}
		return c.handleConnect(ctx, f)
	}
	switch t {
	case packet.TypePublish:
		return c.handlePublish(f)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		return c.handleAck(f)
	case packet.TypeSubscribe:
		return c.handleSubscribe(f)
	case packet.TypeUnsubscribe:
		return c.handleUnsubscribe(f)
	case packet.TypePingreq:
		return c.handlePing(f)
	case packet.TypeDisconnect:
		return c.handleDisconnect(f)
	case packet.TypeConnect:
		return breach("a second %s came", t, "MQTT-3.1.0-2")
	}
	return breach("a client must not send %s", t, "MQTT-4.8.0-1")
}

// isAnswered reports whether a packet is answered by one of ours.
func isAnswered(f packet.Frame) bool {
	switch f.Type() {
	case packet.TypePublish:
		return f.First&0x06 != 0 // QoS above 0
	case packet.TypePuback, packet.TypePubcomp, packet.TypeDisconnect:
		return false
	}
	return true
}

// awaitRoom stops reading while too many answers wait for the store, or for a client that does not read them.
func (c *conn) awaitRoom() error {
	for c.acks.crowded(c.b.opts.MaxUnacknowledged) {
		c.flush()
		select {
		case <-c.acks.room:
		case <-c.closed:
			return c.reason
		}
	}
	return nil
}

// yield waits for subscribers whose queues have become long, so that they need not lose messages: while they make progress, and not for
// longer than a second for each read. One that takes nothing for a moment is not waited for again until it does.
func (c *conn) yield() error {
	pressed := c.rd.sink.pressed
	c.rd.sink.pressed = pressed[:0]
	if c.patience <= 0 {
		return nil
	}
	c.flush()
	for _, s := range pressed {
		for s != c.session && c.patience > 0 { // only we can drain our own
			more, err := c.wait(s)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// wait waits for one subscriber, until it has taken something or StallPatience is over, and reports whether that may be worth while once
// more. It counts in steps, each as long as it was to be: on a machine that has no time for us there is none for the subscriber either, and what
// it could not do meanwhile is not held against it.
func (c *conn) wait(s *session) (more bool, err error) {
	room, progress := s.drained()
	if room == nil {
		return false, nil
	}
	step := c.b.opts.StallPatience / stallSteps
	timer := time.NewTimer(step)
	defer timer.Stop()
	for left := stallSteps; c.patience > 0; timer.Reset(step) {
		start := time.Now()
		select {
		case <-room:
			c.patience -= min(step, time.Since(start))
			return false, nil
		case <-timer.C:
			c.patience -= step
		case <-c.closed:
			return false, c.reason
		}
		left--
		if moves, over := s.moves(progress, left == 0); moves || over {
			return moves, nil
		}
	}
	return false, nil
}

// leave ends the session's connection, and the session if it was to end with it. What the client wanted to be said after it is said, now or
// after a delay, unless it has said DISCONNECT.
func (c *conn) leave(goodbye bool) {
	b, s := c.b, c.session
	now := b.opts.Now()
	left := s.detach(now)
	ends := s.expiry == 0
	if s.persistent() {
		b.opts.Store.Detach(s.queue)
		if !ends {
			b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{b.putSession(s, now)}}, nil)
			b.passOn(s)
		}
	} else {
		b.forgetSubscriptions(s)
	}
	b.handOver(left)
	switch {
	case c.will == nil:
	case goodbye:
		b.opts.Store.Commit(&gateway.Change{Ops: []gateway.Op{gateway.DropWill{ClientID: s.id}}}, nil)
	case c.will.Delay > 0 && !ends:
		b.postpone(c.client, c.will, now)
	default:
		b.publishWill(c.will)
	}
	if s.persistent() && ends {
		b.dropSession(c.client, nil) // nobody else can: the next connection waits until we are gone
	}
	b.unregister(c)
}

// report says in the log why the connection ended, and counts it.
func (c *conn) report(reason error) {
	var broken *brokenRule
	switch {
	case errors.Is(reason, errRefused):
		c.refusedStranger("connection refused", reason)
	case errors.As(reason, &broken) && c.session != nil:
		c.b.stats.malformed.Add(1)
		c.log.Warn("connection closed: the client broke the protocol", "error", reason, "bytes", broken.dump, "hint", broken.hint)
	case errors.As(reason, &broken):
		c.refusedStranger("connection closed: the client broke the protocol", reason, "bytes", broken.dump, "hint", broken.hint)
	case c.session == nil && errors.Is(reason, errTimeout):
		c.refusedStranger("connection closed", reason)
	case errors.Is(reason, io.EOF) && c.session != nil:
		c.log.Info("connection lost: the client closed it without DISCONNECT")
	case errors.Is(reason, io.EOF):
		c.log.Debug("connection closed before CONNECT")
	default:
		c.log.Info("connection ended", "reason", reason)
	}
}

// refusedStranger counts a client that was not let in, and says so if that is due.
func (c *conn) refusedStranger(what string, reason error, more ...any) {
	c.b.stats.refused.Add(1)
	if n, due := c.b.refusals.say(c.b.opts.Now(), c, reason); due {
		c.log.Warn(what, append([]any{"error", reason, "times", n}, more...)...)
	}
}

// maxConnectDump is how much of a bad CONNECT may be logged: what follows may be a password.
const maxConnectDump = 12

// brokenRule is an error of the client's, with the bytes that show it.
type brokenRule struct {
	err  error
	code packet.ReasonCode // of DISCONNECT in MQTT 5
	dump string
	hint string
}

func (e *brokenRule) Error() string { return e.err.Error() }

func (e *brokenRule) Unwrap() error { return e.err }

// breach says that a packet came which may not come here; clause is the statement of MQTT 3.1.1.
func breach(format string, t packet.Type, clause string) error {
	return violation(packet.ReasonProtocolError, format+" [%s]", t, clause)
}

// explain adds to an error of the protocol the bytes of the packet and the likely cause.
func (c *conn) explain(err error) error {
	if err == nil {
		return nil
	}
	var broken *brokenRule
	if !errors.As(err, &broken) {
		var bad *packet.Error
		if !errors.As(err, &bad) || errors.Is(err, errRefused) {
			return err
		}
		broken = &brokenRule{err: err, code: bad.Code}
		err = broken
	}
	broken.hint = packet.Hint(c.rd.raw)
	if c.session == nil {
		c.rd.raw = c.rd.raw[:min(len(c.rd.raw), maxConnectDump)]
	}
	broken.dump = packet.Dump(c.rd.raw)
	return err
}
