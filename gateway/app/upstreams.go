package app

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/bridge/transport"
	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/localbroker"
)

// lane is one durable queue of an upstream: the routes of one priority and order share it.
type lane struct {
	name    string // "" for normal priority in strict order
	filters []string
	ranks   []int // of filters: the place of the route in the file
}

// liveLane ends the names of lanes in which live records go first.
const liveLane = "live"

// laneOf names the lane of a route.
func laneOf(r config.Route) string {
	var parts []string
	if r.Priority != config.PriorityNormal {
		parts = append(parts, r.Priority.String())
	}
	if r.Order == config.OrderLiveFirst {
		parts = append(parts, liveLane)
	}
	return strings.Join(parts, "-")
}

// lanesOf lists the lanes of an upstream: those that its routes ask for, and those in which an earlier configuration has left something.
// There is always the normal one: it is where the upstream is told of gaps.
func lanesOf(u config.Upstream, leftover []string) []lane {
	lanes := []lane{{}}
	find := func(name string) *lane {
		for i := range lanes {
			if lanes[i].name == name {
				return &lanes[i]
			}
		}
		lanes = append(lanes, lane{name: name})
		return &lanes[len(lanes)-1]
	}
	for i, r := range u.Routes {
		if r.Direction.Out() {
			l := find(laneOf(r))
			l.filters = append(l.filters, r.LocalPrefix+r.Filter)
			l.ranks = append(l.ranks, i)
		}
	}
	for _, name := range leftover {
		find(name)
	}
	return lanes
}

// priority reads the priority back from a lane's name.
func (l lane) priority() bridge.Priority {
	switch first, _, _ := strings.Cut(l.name, "-"); first {
	case config.PriorityHigh.String():
		return bridge.PriorityHigh
	case config.PriorityLow.String():
		return bridge.PriorityLow
	}
	return bridge.PriorityNormal
}

// share is what live records get of the sends while a backlog waits.
func (l lane) share(u config.Upstream) int {
	if strings.HasSuffix(l.name, liveLane) {
		return u.LiveShare
	}
	return 0
}

// openBridges makes a bridge for each upstream, and has the broker fill its lanes.
func (a *App) openBridges() error {
	var claimed []string
	for _, u := range a.opts.Config.Upstreams {
		link, err := linkOf(u, a.id)
		if err != nil {
			return err
		}
		opts := a.bridgeOptions(u, link)
		lanes := lanesOf(u, a.store.Lanes(u.Name))
		var names []string
		for _, l := range lanes {
			queue := a.store.UpstreamLane(u.Name, l.name)
			a.store.SetLimits(queue.Queue(), queueLimits(u.Queue))
			a.broker.AddQueue(a.laneSubscription(u, l, queue.Queue()))
			opts.Lanes = append(opts.Lanes, bridge.Lane{
				Queue: queue, Priority: l.priority(), LiveShare: l.share(u), Moved: queue.Last(),
			})
			opts.NextEpoch = queue.NextEpoch
			names = append(names, buffer.UpstreamQueue(u.Name, l.name))
		}
		claimed = append(claimed, names...)
		a.queues[u.Name] = names
		opts.Out, opts.In = a.routes(u, lanes)
		b, err := bridge.New(opts)
		if err != nil {
			return err
		}
		a.bridges, a.transports = append(a.bridges, b), append(a.transports, link.transport)
	}
	a.store.Claim(claimed...)
	return nil
}

func queueLimits(q config.Queue) buffer.Limits {
	return buffer.Limits{Bytes: int64(q.MaxSize), Age: q.MaxAge, Count: uint64(q.MaxRecords), Full: buffer.Policy(q.OnFull)}
}

// laneSubscription gathers what the out routes of a lane want. Commands stay on this side: an upstream that subscribes to what it may
// command would get them back and send them again. Births, mirrors and statuses are not queued: a late one is wrong.
func (a *App) laneSubscription(u config.Upstream, l lane, queue gateway.QueueID) localbroker.QueueSub {
	return localbroker.QueueSub{
		Queue: queue, Owner: u.Name, Filters: l.filters, Ranks: l.ranks,
		Exclude: append(a.topics.Commands(), a.topics.State(), a.topics.UpstreamState("+"), a.topics.Status()),
	}
}

// routes maps the routes of an upstream, in the order of the file.
func (a *App) routes(u config.Upstream, lanes []lane) (out, in []bridge.Route) {
	for _, r := range u.Routes {
		route := bridge.Route{
			Filter: r.Filter, LocalPrefix: r.LocalPrefix, RemotePrefix: r.RemotePrefix,
			QoS: gateway.QoS(r.QoS), Retain: bridge.Retain(r.Retain), Form: bridge.Form(r.Payload),
			Lane: slices.IndexFunc(lanes, func(l lane) bool { return l.name == laneOf(r) }),
		}
		if r.Payload == config.PayloadBatch {
			route.Batch = bridge.Batch{
				Topic: a.batchTopic(r), MaxRecords: r.Batch.MaxRecords, MaxBytes: int(r.Batch.MaxBytes), Linger: r.Batch.Linger,
			}
		}
		if r.Direction.Out() {
			out = append(out, route)
		}
		if r.Direction.In() {
			in = append(in, route)
		}
	}
	return out, in
}

// batchTopic is where a route sends its batches.
func (a *App) batchTopic(r config.Route) string {
	if r.Batch.Topic != "" {
		return r.Batch.Topic
	}
	return r.RemotePrefix + strings.TrimPrefix(a.topics.Batches(), r.LocalPrefix)
}

func (a *App) bridgeOptions(u config.Upstream, link link) bridge.Options {
	o := bridge.Options{
		Name: u.Name, GatewayID: a.id, StoreID: a.store.StoreID(),
		Servers: link.servers, ClientID: link.clientID, Dial: link.transport.Dial, Credentials: link.credentials,
		KeepAlive: u.KeepAlive, MaxInflight: u.MaxInflight, RetryPrimary: u.RetryPrimary, Spread: u.Spread,
		Rate:              bridge.Rate{Messages: u.Rate.Messages, Bytes: float64(u.Rate.Bytes)},
		InboundPersistent: u.InboundSession == config.InboundPersistent,
		Status:            a.newestStatus, StatusEvery: u.StatusInterval,
		Local: local{a.broker}, Topics: a.topics, Logger: a.log.With("component", "bridge"),
	}
	if u.RetryPrimary == 0 {
		o.RetryPrimary = -1
	}
	if u.StatusInterval == 0 {
		o.Status = nil
	}
	if u.Start == config.StartLazy {
		o.Lazy = bridge.Lazy{Records: uint64(u.Lazy.Records), After: u.Lazy.After}
	}
	setCeilings(&o, u.Ceilings)
	return o
}

// setCeilings keeps a bridge within what its upstream takes.
func setCeilings(o *bridge.Options, c config.Ceilings) {
	if c.MaxQoS > 0 {
		qos := gateway.QoS(c.MaxQoS)
		o.MaxQoS = &qos
	}
	o.NoRetain, o.NoWill = c.NoRetain, c.NoWill
	o.MaxPayload, o.MinReconnect, o.SubscribeBatch = int(c.Payload), c.MinReconnect, c.SubscribeFilters
}

// transportOf says how an upstream is reached.
func transportOf(u config.Upstream) (*transport.Transport, error) {
	o := transport.Options{
		TLS: transport.TLSOptions{
			CAFile: u.TLS.CAFile, CertFile: u.TLS.CertFile, KeyFile: u.TLS.KeyFile,
			ServerName: u.TLS.ServerName, ALPN: u.TLS.ALPN, MinVersion: u.TLS.MinVersion.String(),
		},
		Proxy: u.Proxy.URL(u.ProxyPassword),
	}
	for _, p := range u.TLS.Pins {
		o.TLS.Pins = append(o.TLS.Pins, base64.StdEncoding.EncodeToString(p[:]))
	}
	return transport.New(o)
}
