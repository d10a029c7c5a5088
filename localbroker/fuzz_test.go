package localbroker_test

import (
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
	"github.com/tidegate/tidegate/localbroker/packet/packettest"
)

// FuzzConnections takes bytes for a script of what several clients do to a broker: packets good and bad, whole, altered and in pieces,
// connections that are cut, that stop reading, that wait. Nothing panics, no goroutine is left, what the broker holds and allocates stays
// within its limits, and a client that keeps the rules is served all the while.
func FuzzConnections(f *testing.F) {
	fuzzScripts(f, 4096, func(t *testing.T, cases []packettest.Case, script []byte) {
		synctest.Test(t, func(t *testing.T) { runScript(t, inPipes{}, cases, script) })
	})
}

// fuzzScripts plays scripts, which have so many bytes at most.
func fuzzScripts(f *testing.F, most int, play func(t *testing.T, cases []packettest.Case, script []byte)) {
	cases := slices.DeleteFunc(packettest.Cases(), func(c packettest.Case) bool { return len(c.Raw) > 2000 })
	for i, c := range cases {
		five := byte(0)
		if c.Version == packet.V5 {
			five = 1
		}
		f.Add([]byte{scriptConnect, 1, five, scriptCase, byte(i >> 8), byte(i)})
		f.Add([]byte{scriptConnect, 0, five, scriptAltered, byte(i >> 8), byte(i), 3, byte(i), scriptCase | 1, byte(i >> 8), byte(i)})
	}
	for _, seed := range scriptSeeds {
		f.Add([]byte(seed))
	}
	runs := 0
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > most {
			t.Skip("the script is long, which shows nothing that a short one does not")
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		play(t, cases, script)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > maxScriptAlloc {
			t.Errorf("a script of %d bytes made the broker and its clients allocate %d bytes", len(script), grown)
		}
		if runs++; runs%500 == 0 {
			runtime.GC()
			if runtime.ReadMemStats(&after); after.HeapAlloc > maxScriptHeap {
				t.Errorf("after %d scripts the heap has %d bytes", runs, after.HeapAlloc)
			}
		}
	})
}

// What a script may cost, clients and store included.
const (
	maxScriptAlloc = 64 << 20
	maxScriptHeap  = 128 << 20
)

// The actions of a script: three bits of a byte, with the connection in the lowest two.
const (
	scriptConnect   = iota << 5 // 1 byte: how
	scriptCase                  // 2 bytes: a case of the codec's tables
	scriptAltered               // 2 bytes, and where to cut it or to change it, and to what
	scriptRaw                   // 1 byte: so many bytes follow
	scriptPublish               // 1 byte: QoS, retain, topic; 1 byte: size
	scriptFilter                // 1 byte: subscribe or unsubscribe, QoS, filter
	scriptReading               // reads no more, or again
	scriptOtherwise             // 1 byte: time passes, the connection is cut, the broker starts anew
)

// scriptSeeds are some stories.
var scriptSeeds = []string{
	// Two clients, one stops reading while the other publishes; time passes.
	"\x00\x01\x00\x01\x03\x00\xa0\x24\xc0\x81\x02\xff\x81\x01\xff\x81\x06\xff\xe0\x20\xe1\x40",
	// Take-over of a persistent session with messages in flight, and a restart.
	"\x00\x02\x00\xa0\x28\x01\x03\x00\x81\x02\x10\x81\x04\x20\x02\x02\x00\xe3\x80\x00\x02\x00\xe0\x00",
	// A packet in pieces, and a claim of 256 MB.
	"\x00\x01\x00\x60\x02\x30\x05\x60\x03\x00\x01a\x60\x05\x30\xff\xff\xff\x7f\xe0\x30",
	// Wills, by cuts.
	"\x00\x21\x00\x01\x23\x00\x02\x01\x00\xa2\x04\xe0\x00\xe1\x00",
	// MQTT 5: a session that expires, a will with a delay, aliases, a window of one, a shared subscription with two members.
	"\x00\x20\x8b\xa0\x22\x01\x02\x6d\xa1\x22\x02\x05\x01\x82\x41\x10\x82\x41\x10\x82\x42\x20\xe0\xc9\xe1\x00\x82\x41\x08\xe0\x00\xe2\x50\xe2\x7f",
}

// scenario reads a script.
type scenario struct{ rest []byte }

func (s *scenario) byte() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

func (s *scenario) bytes(n int) []byte {
	n = min(n, len(s.rest))
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

// scene is what a script is played in.
type scene interface {
	listen(t *testing.T, b *localbroker.Broker) net.Listener
	dial(t *testing.T, ln net.Listener) net.Conn
	soon(what func() bool) bool // whether something is so soon
	pass(d time.Duration)       // time
	patience() time.Duration    // how long a client waits for the broker to take what it writes
}

// inPipes is a scene in a bubble of its own time.
type inPipes struct{}

func (inPipes) listen(*testing.T, *localbroker.Broker) net.Listener { return newPipes() }

func (inPipes) dial(_ *testing.T, ln net.Listener) net.Conn {
	client, server := net.Pipe()
	ln.(*pipes).accept <- server
	return client
}

func (inPipes) soon(what func() bool) bool {
	synctest.Wait()
	return what()
}

func (inPipes) pass(d time.Duration) { elapse(d) }

func (inPipes) patience() time.Duration { return time.Second }

// stage is where scripts are played.
type stage struct {
	t       *testing.T
	scene   scene
	cases   []packettest.Case
	disk    *image
	store   *memStore
	broker  *localbroker.Broker
	ln      net.Listener
	cancel  context.CancelFunc
	done    sync.WaitGroup
	actors  [4]*actor
	witness *actor
}

// actor is one client, which reads or does not.
type actor struct {
	c      net.Conn
	waits  time.Duration // for the broker to take what is written
	v      packet.Version
	id     uint16
	mu     sync.Mutex
	cond   *sync.Cond
	paused bool
	got    []byte
}

func (a *actor) read(keep bool) {
	buf := make([]byte, 4096)
	for {
		a.mu.Lock()
		for a.paused {
			a.cond.Wait()
		}
		a.mu.Unlock()
		n, err := a.c.Read(buf)
		if keep {
			a.mu.Lock()
			a.got = append(a.got, buf[:n]...)
			a.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (a *actor) pause(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paused = on
	a.cond.Broadcast()
}

// heard reports whether what was kept of what has come ends so.
func (a *actor) heard(end string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.HasSuffix(string(a.got), end)
}

// write writes as far as the broker takes it soon.
func (a *actor) write(b []byte) {
	_ = a.c.SetWriteDeadline(time.Now().Add(a.waits))
	_, _ = a.c.Write(b) // whatever becomes of it
}

func runScript(t *testing.T, in scene, cases []packettest.Case, bytes []byte) {
	s := &stage{t: t, scene: in, cases: cases, disk: newImage()}
	s.up()
	for in := (scenario{bytes}); len(in.rest) > 0; {
		s.play(&in)
	}
	s.checkWitness()
	for i := range s.actors {
		s.cut(i)
	}
	s.scene.pass(time.Minute)
	if !s.scene.soon(func() bool { return s.broker.Stats().Connections == 1 }) {
		t.Errorf("%d connections are left, want the witness's alone", s.broker.Stats().Connections)
	}
	s.down()
}

// scriptLimits are those of the broker, small enough to be reached.
func scriptLimits(o *localbroker.Options) {
	o.MaxPacket, o.MaxConnectPacket = 8<<10, 1<<10
	o.MaxQueued, o.MaxQueuedBytes, o.MaxInflight, o.MaxUnacknowledged = 20, 16<<10, 3, 10
	o.MaxSessions, o.MaxSubscriptions = 3, 5
	o.MaxRetained, o.MaxRetainedBytes = 5, 8<<10
	o.MaxConnections, o.MaxPerAddress = 6, 6
}

func (s *stage) up() {
	s.store = openMemStore(s.disk)
	opts := localbroker.Options{Store: s.store, Auth: anybody{}}
	scriptLimits(&opts)
	var err error
	if s.broker, err = localbroker.New(opts); err != nil {
		s.t.Fatal(err)
	}
	s.ln = s.scene.listen(s.t, s.broker)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	broker, ln := s.broker, s.ln
	s.done.Go(func() { _ = broker.Run(ctx) })
	s.done.Go(func() { _ = broker.Serve(ctx, ln, localbroker.ListenerOptions{AllowAnonymous: true}) })
	s.witness = s.dial(true)
	s.witness.write((&packet.Connect{Version: packet.V311, ClientID: witnessID, CleanStart: true}).Append(nil, packet.V311))
	s.witness.write((&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: witnessID}}}).Append(nil, packet.V311))
	if !s.scene.soon(func() bool { return s.witness.heard("\x90\x03\x00\x01\x00") }) {
		s.t.Fatal("the witness is not served")
	}
}

// witnessID is an identifier and topic that no script has.
const witnessID = "the witness, 1f0e6c7b"

// checkWitness sees that messages still come through.
func (s *stage) checkWitness() {
	s.t.Helper()
	s.witness.mu.Lock()
	s.witness.got = nil
	s.witness.mu.Unlock()
	s.broker.Publish(&gateway.Record{Body: &gateway.Message{Topic: witnessID, Payload: []byte("still here")}}, nil)
	if !s.scene.soon(func() bool { return s.witness.heard("still here") }) {
		s.t.Error("what is published does not come to the witness any more")
	}
}

func (s *stage) down() {
	s.cancel()
	s.done.Wait()
	s.store.stop(true)
	s.witness.c.Close()
	for _, a := range s.actors {
		if a != nil {
			a.pause(false)
			a.c.Close()
		}
	}
	s.scene.soon(func() bool { return true })
}

func (s *stage) dial(keep bool) *actor {
	a := &actor{c: s.scene.dial(s.t, s.ln), waits: s.scene.patience(), v: packet.V311}
	a.cond = sync.NewCond(&a.mu)
	go a.read(keep)
	return a
}

// actor returns the i-th client, with a connection at least.
func (s *stage) actor(i int) *actor {
	if s.actors[i] == nil {
		s.actors[i] = s.dial(false)
	}
	return s.actors[i]
}

func (s *stage) cut(i int) {
	if a := s.actors[i]; a != nil {
		a.pause(false)
		a.c.Close()
		s.actors[i] = nil
	}
}

// play carries out one action.
func (s *stage) play(in *scenario) {
	op := in.byte()
	i := int(op & 3)
	switch op &^ 0x1f {
	case scriptConnect:
		s.cut(i)
		p := connectOf(in.byte(), in.byte())
		s.actor(i).v = p.Version
		s.actor(i).write(p.Append(nil, p.Version))
	case scriptCase:
		s.actor(i).write(s.caseOf(in))
	case scriptAltered:
		s.actor(i).write(altered(s.caseOf(in), in.byte(), in.byte()))
	case scriptRaw:
		s.actor(i).write(in.bytes(int(in.byte())))
	case scriptPublish:
		s.actor(i).publish(in.byte(), in.byte())
	case scriptFilter:
		s.actor(i).filter(in.byte())
	case scriptReading:
		a := s.actor(i)
		a.pause(!a.paused)
	case scriptOtherwise:
		s.otherwise(i, in.byte())
	}
}

// scriptNames are identifiers, topics and filters.
var scriptNames = [8]string{"a", "a/b", "c", "#", "+", "a/#", "$SYS/x", "+/b"}

func connectOf(how, five byte) *packet.Connect {
	p := &packet.Connect{Version: packet.V311, CleanStart: how&1 > 0, ClientID: scriptNames[how>>1&3]}
	if how&0x08 > 0 {
		p.Version = packet.V31
	}
	if how&0x10 > 0 {
		p.KeepAlive = 5
	}
	if how&0x20 > 0 {
		p.Will = &packet.Will{Topic: scriptNames[how>>6], Payload: []byte("gone"), QoS: packet.QoS(how >> 6 % 3), Retain: how&2 > 0}
	}
	if five&1 == 0 {
		return p
	}
	p.Version = packet.V5
	p.Props.SessionExpiry = packet.Some([]uint32{0, 1, 30, 1<<32 - 1}[five>>1&3])
	if n := five >> 3 & 3; n > 0 {
		p.Props.ReceiveMaximum = packet.Some(uint16(n))
	}
	if five&0x20 > 0 {
		p.Props.TopicAliasMaximum = packet.Some[uint16](2)
	}
	if five&0x40 > 0 {
		p.Props.MaximumPacketSize = packet.Some[uint32](100)
	}
	if p.Will != nil && five&0x80 > 0 {
		p.Will.Props.WillDelay = packet.Some[uint32](5)
	}
	return p
}

func (s *stage) caseOf(in *scenario) []byte {
	return slices.Clone(s.cases[int(binary.BigEndian.Uint16([]byte{in.byte(), in.byte()}))%len(s.cases)].Raw)
}

// altered cuts a packet off at a place, or puts another byte there.
func altered(raw []byte, at, to byte) []byte {
	i := int(at>>1) % len(raw)
	if at&1 > 0 {
		return raw[:i]
	}
	raw[i] = to
	return raw
}

func (a *actor) nextID() uint16 {
	a.id = a.id%50 + 1
	return a.id
}

func (a *actor) publish(how, size byte) {
	p := packet.Publish{Topic: []byte(scriptNames[how>>3&3%3]), QoS: packet.QoS(how & 3 % 3), Retain: how&4 > 0, Dup: how&0x80 > 0 && how&3%3 > 0}
	p.Payload = make([]byte, int(size)*16)
	if p.QoS > 0 {
		p.ID = a.nextID()
	}
	if a.v == packet.V5 && how&0x40 > 0 {
		p.Props.TopicAlias = packet.Some(uint16(size%3 + 1))
		p.Props.MessageExpiry = packet.Some(uint32(size >> 6))
		p.Props.UserProperties = []packet.UserProperty{{Name: []byte("n"), Value: p.Payload[:min(len(p.Payload), 50)]}}
		if size&0x10 > 0 {
			p.Topic = nil
		}
	}
	a.write(p.Append(nil, a.v))
}

func (a *actor) filter(how byte) {
	name := scriptNames[how>>2&7]
	if how&0x20 > 0 {
		name = "$share/g/" + name
	}
	if how&0x80 > 0 {
		a.write((&packet.Unsubscribe{ID: a.nextID(), Filters: []string{name}}).Append(nil, a.v))
		return
	}
	p := packet.Subscribe{ID: a.nextID(), Subscriptions: []packet.Subscription{{Filter: name, QoS: packet.QoS(how & 3 % 3)}}}
	if a.v == packet.V5 && how&0x40 > 0 {
		p.Props.SubscriptionIDs = []uint32{uint32(how)}
		p.Subscriptions[0].RetainAsPublished, p.Subscriptions[0].NoLocal = true, how&0x20 == 0
	}
	a.write(p.Append(nil, a.v))
}

// otherwise is what else may happen.
func (s *stage) otherwise(i int, how byte) {
	switch how >> 6 {
	case 0:
		s.cut(i)
	case 1:
		s.scene.pass(time.Duration(how&0x3f) * time.Second)
	case 2: // a kill; the clients' connections go with it
		s.checkWitness()
		s.store.mu.Lock()
		s.disk = s.store.disk.clone()
		s.store.mu.Unlock()
		s.down()
		s.actors = [4]*actor{}
		s.up()
	case 3: // acknowledgements of whatever may be in flight
		var b []byte
		for id := range uint16(how & 7) {
			b = packet.AppendAck(b, packet.Type(4+how>>3&3), id+1)
		}
		s.actor(i).write(b)
	}
}
