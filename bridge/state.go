package bridge

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// The reasons that state messages give.
const (
	reasonLost    = "connection lost"
	reasonStopped = "stopped"
	reasonStart   = "not connected yet"
	reasonLazy    = "lazy"
	reasonRenew   = "renewing credentials"
	reasonPrimary = "moving to the primary server"
)

// stateTopic is where the upstream sees birth and last will.
func (b *Bridge) stateTopic() string {
	if b.opts.StateTopic != "" {
		return b.opts.StateTopic
	}
	return RemoteTopic(b.opts.Out, b.opts.Topics.State())
}

func (b *Bridge) statePayload(online bool, epoch uint64, reason string) []byte {
	return payload.AppendState(nil, online, epoch, b.opts.Now(), reason)
}

// publishState publishes a birth or a farewell and waits until the upstream has it.
func (e *epoch) publishState(ctx context.Context, state []byte, timeout time.Duration) error {
	e.b.echoes.sent(e.b.stateTopic(), state)
	t := e.client.Publish(e.b.stateTopic(), byte(e.b.opts.atMost(1)), !e.b.opts.NoRetain, state)
	return e.wait(ctx, t, timeout)
}

// publishStatus tells the upstream how the gateway is. It is not waited for: the next one comes soon, and only the newest counts.
func (e *epoch) publishStatus() {
	topic, status := RemoteTopic(e.b.opts.Out, e.b.opts.Topics.Status()), e.b.opts.Status()
	e.b.echoes.sent(topic, status)
	e.client.Publish(topic, 0, !e.b.opts.NoRetain, status)
}

// mirror shows the link's state on the LAN.
func (b *Bridge) mirror(online bool, epoch uint64, reason string) {
	now := b.opts.Now()
	b.opts.Local.Publish(&gateway.Record{
		Time: now,
		Body: &gateway.Message{
			Topic:   b.opts.Topics.UpstreamState(b.opts.Name),
			Payload: payload.AppendState(nil, online, epoch, now, reason),
			Retain:  true,
		},
	}, nil)
}

// using notes for the statistics which server is tried.
func (b *Bridge) using(server *url.URL) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server, b.certExpiry = server.Redacted(), time.Time{}
}

// noteCertificates notes for the statistics when the first of the server's certificates ends.
func (b *Bridge) noteCertificates(c net.Conn) {
	secure, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return
	}
	var first time.Time
	for _, cert := range secure.ConnectionState().PeerCertificates {
		first = earliest(first, cert.NotAfter)
	}
	b.mu.Lock()
	b.certExpiry = first
	b.mu.Unlock()
}
