package localbroker

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// sysPrefix is what the topics of the broker's own figures begin with. Names and forms are mosquitto's, so that what reads them there reads them here.
const sysPrefix = "$SYS/broker/"

// loadPeriods are what loads are averages over.
var loadPeriods = [...]struct {
	name   string
	length time.Duration
}{{"1min", time.Minute}, {"5min", 5 * time.Minute}, {"15min", 15 * time.Minute}}

// sysTree publishes the broker's figures. Only its own goroutine uses it.
type sysTree struct {
	b     *Broker
	start time.Time
	told  map[string]string // topic without prefix, and value, as published last

	at      time.Time // of the previous figures
	counted figures
	loads   [len(loadNames)][len(loadPeriods)]float64 // each minute
	maximum int                                       // clients that were there at a time
}

// figures are those counters that have a load.
type figures [len(loadNames)]uint64

var loadNames = [...]string{
	"messages/received", "messages/sent", "publish/received", "publish/sent", "publish/dropped", "bytes/received", "bytes/sent",
	"sockets", "connections",
}

func newSysTree(b *Broker, now time.Time) *sysTree {
	return &sysTree{b: b, start: now, at: now, told: make(map[string]string)}
}

// publishSys publishes the figures at once and then at each interval, until ctx ends.
func (b *Broker) publishSys(ctx context.Context) {
	if b.opts.SysInterval <= 0 {
		return
	}
	tree := newSysTree(b, b.opts.Now())
	ticker := time.NewTicker(b.opts.SysInterval)
	defer ticker.Stop()
	for {
		tree.publish(b.opts.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// publish publishes what has changed, at QoS 0: nobody needs every value, and none is worth a write to the disk. Subscribers that come later get the
// latest as retained messages, which are kept in memory alone.
func (t *sysTree) publish(now time.Time) {
	say := func(topic, format string, args ...any) {
		value := fmt.Sprintf(format, args...)
		if told, ok := t.told[topic]; ok && told == value {
			return
		}
		t.told[topic] = value
		t.b.Publish(&gateway.Record{
			Time: now, Body: &gateway.Message{Topic: sysPrefix + topic, Payload: []byte(value), Retain: true},
		}, nil)
	}
	say("version", "tidegate version %s", t.b.opts.Version)
	say("uptime", "%d seconds", int64(now.Sub(t.start).Seconds()))
	t.sayClients(say)
	t.sayStored(say)
	t.sayCounters(say, now)
}

// sayFunc publishes one figure, if it has changed.
type sayFunc = func(topic, format string, args ...any)

func (t *sysTree) sayClients(say sayFunc) {
	connected, away := t.b.countClients()
	total := connected + away
	t.maximum = max(t.maximum, total)
	say("clients/total", "%d", total)
	say("clients/connected", "%d", connected)
	say("clients/active", "%d", connected)
	say("clients/disconnected", "%d", away)
	say("clients/inactive", "%d", away)
	say("clients/maximum", "%d", t.maximum)
	say("clients/expired", "%d", t.b.stats.expired.Load())
	say("subscriptions/count", "%d", t.b.tree.subscriptions())
}

// sayStored tells what the broker keeps: messages that wait for persistent sessions, and those retained.
func (t *sysTree) sayStored(say sayFunc) {
	retained, bytes := t.b.retained.volume()
	count := uint64(retained)
	if t.b.opts.Stored != nil {
		waiting, size := t.b.opts.Stored()
		count, bytes = count+waiting, bytes+size
	}
	say("retained messages/count", "%d", retained)
	say("messages/stored", "%d", count)
	say("store/messages/count", "%d", count)
	say("store/messages/bytes", "%d", bytes)
}

func (t *sysTree) sayCounters(say sayFunc, now time.Time) {
	c := &t.b.stats
	f := figures{
		c.packetsIn.Load(), c.sent.Load() + c.answers.Load(), c.received.Load(), c.sent.Load(), c.dropped.Load() + c.denied.Load(),
		c.bytesIn.Load(), c.bytesOut.Load(), c.sockets.Load(), c.connects.Load(),
	}
	say("messages/received", "%d", f[0])
	say("messages/sent", "%d", f[1])
	say("publish/messages/received", "%d", f[2])
	say("publish/messages/sent", "%d", f[3])
	say("publish/messages/dropped", "%d", f[4])
	say("publish/bytes/received", "%d", c.payloadIn.Load())
	say("publish/bytes/sent", "%d", c.payloadOut.Load())
	say("bytes/received", "%d", f[5])
	say("bytes/sent", "%d", f[6])
	t.average(f, now)
	for i, name := range loadNames {
		for j, period := range loadPeriods {
			say("load/"+name+"/"+period.name, "%.2f", t.loads[i][j])
		}
	}
}

// average takes new figures into the loads: averages of what came each minute, in which the past fades within their period.
func (t *sysTree) average(f figures, now time.Time) {
	if since := now.Sub(t.at); since > 0 {
		for i := range f {
			rate := float64(f[i]-t.counted[i]) / since.Minutes()
			for j, period := range loadPeriods {
				t.loads[i][j] = rate + math.Exp(-since.Seconds()/period.length.Seconds())*(t.loads[i][j]-rate)
			}
		}
		t.at, t.counted = now, f
	}
}

// countClients returns how many clients are connected, and how many are away and have a session that waits for them.
func (b *Broker) countClients() (connected, away int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cl := range b.clients {
		switch {
		case cl.conn != nil:
			connected++
		case cl.session != nil:
			away++
		}
	}
	return connected, away
}

// volume returns how many messages are retained, and their bytes.
func (r *retained) volume() (count int, bytes uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.byTopic {
		bytes += uint64(len(k.msg.Payload))
	}
	return len(r.byTopic), bytes
}
