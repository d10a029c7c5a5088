package bridge

import (
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// The reasons that state messages give.
const (
	reasonLost    = "connection lost"
	reasonStopped = "stopped"
	reasonStart   = "not connected yet"
)

// stateTopic is where the upstream sees birth and last will: mapped like any other topic when a route covers it, so that it stands
// beside the values, and as it is otherwise.
func (b *Bridge) stateTopic() string {
	local := b.opts.Topics.State()
	if _, remote, ok := firstOutward(b.opts.Out, local); ok {
		return remote
	}
	return local
}

func (b *Bridge) statePayload(online bool, epoch uint64, reason string) []byte {
	return payload.AppendState(nil, online, epoch, b.opts.Now(), reason)
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
