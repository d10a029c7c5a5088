package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// ErrNotTaken is wrapped by the error of a publish that the local broker could not take now, but may take later.
var ErrNotTaken = errors.New("the local broker cannot take it now")

// Local is the local broker as the bridge needs it.
type Local interface {
	// Publish takes a record and calls done once when it is safe, or with the reason why it was refused: for good, unless that is [ErrNotTaken].
	Publish(rec *gateway.Record, done func(error))
}

// Credentials are what a connection identifies itself with.
type Credentials struct {
	ClientID           string // "": that of the options; some clouds have it signed too
	Username, Password string
	Expires            time.Time // zero: never. The connection is renewed before, when what is in flight is confirmed.
}

// Lazy makes an upstream connect only when there is enough to send, for links that cost by time; inbound messages come only while it is connected. The zero
// value connects at once and stays.
type Lazy struct {
	Records uint64        // connect when a lane holds so many; 0: their number does not matter
	After   time.Duration // connect when a lane's oldest record is so old; 0: their age does not matter
	Idle    time.Duration // disconnect when there was nothing to send for so long: 10 s
}

func (l Lazy) on() bool { return l.Records > 0 || l.After > 0 }

// Options are what a bridge needs to know. Name, Servers, Dial, NextEpoch, Local and Topics are required, and Lanes for sending.
type Options struct {
	Name      string     // of the upstream
	GatewayID string     // for batches, which carry no gateway's topic
	StoreID   string     // for batches
	Servers   []*url.URL // the first is the primary one; the others are tried in turn when it fails
	ClientID  string
	// Credentials is asked at each connect; nil: there are none.
	Credentials func(ctx context.Context) (Credentials, error)
	// Dial opens the transport to one of Servers, within ctx.
	Dial    func(ctx context.Context, server *url.URL) (net.Conn, error)
	Out, In []Route

	KeepAlive      time.Duration // 30 s
	ConnectTimeout time.Duration // 15 s: less makes a client hop for ever while a cluster elects a leader
	WriteTimeout   time.Duration // 10 s
	AckTimeout     time.Duration // 20 s for the oldest publish in flight; then the connection is given up
	MaxInflight    int           // 64 publishes
	MaxPacket      int           // 1 MiB, of what the upstream may send
	MinReconnect   time.Duration // least time from one attempt to connect to the next; 0: what the waits give
	RetryPrimary   time.Duration // 10 min: how often the first server is looked at while another is in use; negative: never
	Spread         time.Duration // the first connection, and the first after a calm one was lost, wait a random time of up to this
	Rate           Rate
	Lazy           Lazy

	// InboundPersistent keeps the upstream's session, so that it holds inbound messages for us while we are away.
	InboundPersistent bool
	SubscribeBatch    int // most filters in a SUBSCRIBE packet; 0: no bound

	MaxQoS     *gateway.QoS // of everything that is sent and subscribed; nil: no bound
	NoRetain   bool         // nothing is sent with the retain flag
	NoWill     bool         // CONNECT carries no last will
	MaxPayload int          // bytes; a larger message is set aside; 0: no bound
	StateTopic string       // of birth and will on the upstream; "": base/gateway/state by the routes

	Status      func() []byte // what base/gateway/status tells the upstream; nil: nothing
	StatusEvery time.Duration // 60 s

	Lanes     []Lane
	NextEpoch func(ctx context.Context) (uint64, error) // counts one more connection, and commits it before it returns
	Local     Local
	Topics    gateway.Topics
	Logger    *slog.Logger
	Now       func() time.Time
}

func (o Options) withDefaults() Options {
	setDefault(&o.KeepAlive, 30*time.Second)
	setDefault(&o.ConnectTimeout, 15*time.Second)
	setDefault(&o.WriteTimeout, 10*time.Second)
	setDefault(&o.AckTimeout, 20*time.Second)
	setDefault(&o.MaxInflight, 64)
	setDefault(&o.MaxPacket, 1<<20)
	setDefault(&o.RetryPrimary, 10*time.Minute)
	setDefault(&o.StatusEvery, time.Minute)
	setDefault(&o.Lazy.Idle, 10*time.Second)
	setDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Out, o.In = slices.Clone(o.Out), slices.Clone(o.In)
	for i := range o.Out {
		o.ceiling(&o.Out[i])
		setDefault(&o.Out[i].Batch.MaxRecords, 500)
		setDefault(&o.Out[i].Batch.MaxBytes, 64<<10)
		setDefault(&o.Out[i].Batch.Linger, time.Second)
		if o.MaxPayload > 0 {
			o.Out[i].Batch.MaxBytes = min(o.Out[i].Batch.MaxBytes, o.MaxPayload)
		}
	}
	for i := range o.In {
		o.In[i].QoS = o.atMost(o.In[i].QoS)
	}
	return o
}

// ceiling keeps a route within what the upstream can take.
func (o *Options) ceiling(r *Route) {
	r.QoS = o.atMost(r.QoS)
	if o.NoRetain {
		r.Retain = RetainClear
	}
}

func (o *Options) atMost(q gateway.QoS) gateway.QoS {
	if o.MaxQoS != nil {
		return min(q, *o.MaxQoS)
	}
	return q
}

func (o *Options) check() error {
	switch {
	case len(o.Servers) == 0:
		return errors.New("no server")
	case o.Dial == nil || o.NextEpoch == nil || o.Local == nil:
		return errors.New("the options Dial, NextEpoch and Local are needed")
	case o.Lazy.on() && len(o.Lanes) == 0:
		return errors.New("a lazy start needs a lane to wait for")
	}
	for _, u := range o.Servers {
		if !slices.Contains([]string{"mqtt", "mqtts", "ws", "wss"}, u.Scheme) {
			return fmt.Errorf("server %s: scheme must be mqtt, mqtts, ws or wss", u.Redacted())
		}
	}
	for _, r := range o.Out {
		if r.Lane < 0 || r.Lane >= len(o.Lanes) {
			return fmt.Errorf("route %s: lane %d of %d", r.Local(), r.Lane, len(o.Lanes))
		}
		if r.Form == FormBatch && r.Batch.Topic == "" {
			return fmt.Errorf("route %s: a batch needs a topic", r.Local())
		}
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
