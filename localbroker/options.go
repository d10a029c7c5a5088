package localbroker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Authenticator decides who may log in. It may be called for many clients at once, and may take its time: it holds up only the
// client that it is asked about. ctx ends with that client's connect timeout.
type Authenticator interface {
	Authenticate(ctx context.Context, user string, password []byte) bool
}

// Options are the parts and limits of a broker. Store is required; every limit that is zero has the default in its comment.
type Options struct {
	Store  Store
	Auth   Authenticator    // nil: nobody but anonymous clients can log in
	Access Authorizer       // nil: everybody may do everything but publish below $
	Logger *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: time.Now
	Topics gateway.Topics   // base of the gateway's own topics; a session's gaps are told below it

	Version     string        // for $SYS/broker/version
	SysInterval time.Duration // between two publications of the figures below $SYS/broker; 0: they are not published
	// Stored tells how many messages wait for persistent sessions, and their bytes, for $SYS/broker; nil: not known. It must not wait.
	Stored func() (messages, bytes uint64)

	MaxConnections    int           // connections in all, 900: the serial library fails beyond descriptor 1023
	MaxPerAddress     int           // connections from one IP address, half of MaxConnections
	ConnectTimeout    time.Duration // from accept to CONNACK, 10 s
	MaxConnectPacket  int           // bytes of a CONNECT, 16 KiB: all that a client may make us hold before it has logged in
	MaxPacket         int           // bytes of any other packet received, 1 MiB
	WriteTimeout      time.Duration // a socket that takes nothing for so long is closed, 30 s
	MaxInflight       int           // QoS 1 and 2 messages sent to a client and not yet confirmed, 256; at most 32767
	MaxQueued         int           // messages waiting in memory for one connection, 65536
	MaxQueuedBytes    int           // the same in bytes, 8 MiB
	MaxQueuedTotal    int           // bytes waiting in memory for all connections together, 64 MiB; a message that waits for several counts once
	StallPatience     time.Duration // a client that publishes waits so long for a subscriber that takes nothing, 250 ms
	MaxUnacknowledged int           // packets of one connection whose answer waits for the store, 4096; then it is not read on

	// Of MQTT 5 alone; clients are told.
	ReceiveMaximum  int    // QoS 1 and 2 messages that a client may send without having their answers, 1024; at most MaxUnacknowledged
	MaxTopicAliases int    // topic aliases that a client may use, 64
	MaxKeepAlive    uint16 // seconds: who asks for a longer keep alive, or for none, is given this one; 0: they choose
	ResponseBase    string // response information is this, a slash and the client identifier; "": there is none

	MaxSessions      int           // persistent sessions, 1000
	MaxSubscriptions int           // of one session, 1000
	SessionMaxAge    time.Duration // a persistent session is kept so long without a connection, 168 h; negative: for ever

	MaxRetained      int // retained messages of clients and upstreams, 10000
	MaxRetainedBytes int // the same in bytes, 16 MiB
}

// ListenerOptions are what differs between listeners.
type ListenerOptions struct {
	Name           string // for the log; "": the address
	AllowAnonymous bool   // clients may connect without a user name
	// Upgrade, when not nil, makes the MQTT stream of an accepted connection: a TLS handshake, a WebSocket handshake, or both. It runs on the
	// connection's own goroutine after the limits have admitted it, and raw has the connect timeout for its deadline, as ctx has; when the
	// connection is to end before, raw is closed. What it returns passes deadlines on to raw. user is the name in a client's certificate,
	// which takes the place of user name and password; "" when there is none. An error that is io.EOF means that the client has left without
	// a word; others are told in the log.
	Upgrade func(ctx context.Context, raw net.Conn) (nc net.Conn, user string, err error)
}

// QueueSub is a durable consumer inside the process: the out routes of an upstream, or the command inbox.
type QueueSub struct {
	Queue   gateway.QueueID
	Owner   string   // records with this Origin are not offered; "": all are
	Filters []string // what goes into the queue, at any QoS
	// Ranks are of Filters. Of the queues of one Owner, only that with the lowest rank among the filters that match gets a message; nil:
	// all are 0.
	Ranks   []int
	Exclude []string // what does not, although a filter matches
	// Barrier commits a record before its publisher is answered, and before the consumer sees it.
	Barrier bool
	// Replies tells that the consumer answers to the response topics of messages (MQTT 5, 4.10) with the gateway's own rights: those that the
	// sender may not publish to himself are taken out.
	Replies bool
	// NoRetain keeps messages on these topics from becoming retained messages. They go into the queue with their retain flag, so
	// that the consumer can refuse them.
	NoRetain bool
}

// slowFactor is how many times StallPatience a client that publishes is held up by subscribers that are slow but make progress, for each
// read from its connection.
const slowFactor = 4

// stallSteps is in how many steps StallPatience is waited for.
const stallSteps = 5

// sendBuffer is what the kernel may hold for a connection, in bytes. A large buffer drains in large steps, which look as if a slow
// client took nothing for seconds, and costs memory for each that stalls.
const sendBuffer = 128 << 10

// maxLevels bounds the levels of topics and filters, and with them the depth of the trees.
const maxLevels = 200

// fairLevels is how many levels the filters of a session may have for each subscription that it may have: a level takes some 300 bytes.
const fairLevels = 8

func (o Options) withDefaults() (Options, error) {
	if o.Store == nil {
		return o, errors.New("make broker: a store is needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MaxConnections = cmp.Or(o.MaxConnections, 900)
	o.MaxPerAddress = cmp.Or(o.MaxPerAddress, (o.MaxConnections+1)/2)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 10*time.Second)
	o.MaxConnectPacket = cmp.Or(o.MaxConnectPacket, 16<<10)
	o.MaxPacket = cmp.Or(o.MaxPacket, 1<<20)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	o.MaxInflight = min(cmp.Or(o.MaxInflight, 256), maxInflight)
	o.MaxQueued = cmp.Or(o.MaxQueued, 65536)
	o.MaxQueuedBytes = cmp.Or(o.MaxQueuedBytes, 8<<20)
	o.MaxQueuedTotal = cmp.Or(o.MaxQueuedTotal, 64<<20)
	o.StallPatience = cmp.Or(o.StallPatience, 250*time.Millisecond)
	o.MaxUnacknowledged = cmp.Or(o.MaxUnacknowledged, 4096)
	o.ReceiveMaximum = min(cmp.Or(o.ReceiveMaximum, 1024), o.MaxUnacknowledged, math.MaxUint16)
	o.MaxTopicAliases = min(cmp.Or(o.MaxTopicAliases, 64), math.MaxUint16)
	o.MaxSessions = cmp.Or(o.MaxSessions, 1000)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, 1000)
	o.SessionMaxAge = cmp.Or(o.SessionMaxAge, 168*time.Hour)
	o.MaxRetained = cmp.Or(o.MaxRetained, 10000)
	o.MaxRetainedBytes = cmp.Or(o.MaxRetainedBytes, 16<<20)
	return o, nil
}
