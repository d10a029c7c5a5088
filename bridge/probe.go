package bridge

import (
	"context"
	"net"
	"net/url"
	"time"
)

// ProbeSuffix is appended to the client id, so that a test does not throw the running gateway out: a broker ends a connection
// when another one comes with its id [MQTT-3.1.4-2].
const ProbeSuffix = "-test"

// ProbeOptions say what Probe looks at. Servers and Dial are required.
type ProbeOptions struct {
	Servers  []*url.URL // each is looked at, in turn
	ClientID string     // of the gateway
	// SameClientID leaves ProbeSuffix away, for clouds that know a gateway by its client id. A running gateway loses its connection.
	SameClientID bool
	Credentials  func(ctx context.Context) (Credentials, error) // nil: none
	Dial         func(ctx context.Context, server *url.URL) (net.Conn, error)
	Proxy        *url.URL      // that Dial goes through; nil: none
	Filters      []string      // on the upstream, each subscribed to
	Topic        string        // that a test message is published to at QoS 1, not retained; "": none is
	Timeout      time.Duration // of each step, 15 s; the dial has its own besides
	Now          func() time.Time
}

// Step is one thing that Probe tried.
type Step struct {
	Server string        // its URL
	Name   string        // of what was tried: "dns", "tcp", "proxy", "tls", "websocket", "connect", "subscribe", "publish"
	Took   time.Duration // 0 when there was nothing to do
	OK     bool
	Detail string // what was found
	Advice string // what to do about it; "": nothing
}

// The names of the steps, in their order.
const (
	stepDNS       = "dns"
	stepTCP       = "tcp"
	stepProxy     = "proxy"
	stepTLS       = "tls"
	stepWebSocket = "websocket"
	stepConnect   = "connect"
	stepSubscribe = "subscribe"
	stepPublish   = "publish"
)

// Probe walks the way to each server step by step, and reports each step when it is done, with words for what went wrong. A step
// that fails ends the walk to its server, except that each filter is tried. Probe tells whether all went well.
func Probe(ctx context.Context, o ProbeOptions, report func(Step)) bool {
	setDefault(&o.Timeout, 15*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	well := true
	for _, server := range o.Servers {
		p := &prober{o: o, server: server, report: report, well: true}
		p.run(ctx)
		well = well && p.well
	}
	return well
}

// prober looks at one server.
type prober struct {
	o      ProbeOptions
	server *url.URL
	report func(Step)
	well   bool
}

func (p *prober) run(ctx context.Context) {
	c := p.dial(ctx)
	if c == nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	l := newProbeLink(c, p.o.Timeout)
	if !p.connect(ctx, l) {
		return
	}
	for i, filter := range p.o.Filters {
		if !p.subscribe(l, uint16(i+1), filter) {
			return
		}
	}
	if p.o.Topic != "" && !p.publish(l) {
		return
	}
	l.goodbye()
}

// passed reports a step that went well.
func (p *prober) passed(name string, took time.Duration, detail, advice string) {
	p.report(Step{Server: p.server.Redacted(), Name: name, Took: took, OK: true, Detail: detail, Advice: advice})
}

// failed reports a step that did not.
func (p *prober) failed(name string, took time.Duration, detail, advice string) {
	p.well = false
	p.report(Step{Server: p.server.Redacted(), Name: name, Took: took, Detail: detail, Advice: advice})
}

// secured tells whether the server is reached over TLS.
func (p *prober) secured() bool {
	switch p.server.Scheme {
	case "mqtts", "ssl", "tls", "wss":
		return true
	}
	return false
}

// overWebSocket tells whether the server is reached over a WebSocket.
func (p *prober) overWebSocket() bool { return p.server.Scheme == "ws" || p.server.Scheme == "wss" }
