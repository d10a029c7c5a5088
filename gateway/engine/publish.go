package engine

import (
	"slices"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// told is what was published of a point last.
type told struct {
	reading gateway.Reading
	at      time.Time // zero: nothing yet
}

// news reports whether r is worth publishing at now. A reading that no poll has touched is news only when its quality has changed, as
// when it has become stale.
func (t *told) news(p *gateway.Point, r *gateway.Reading, polled bool, now time.Time) bool {
	switch {
	case t.at.IsZero() || r.Quality != t.reading.Quality || r.Reason != t.reading.Reason:
		return true
	case !polled:
		return false
	case p.Deadband == 0 && p.Heartbeat == 0:
		return true
	case p.Heartbeat > 0 && now.Sub(t.at) >= p.Heartbeat:
		return true
	}
	return moved(t.reading.Value, r.Value, p.Deadband)
}

// moved reports whether a value has moved by more than the deadband. What is no number moves when it changes.
func moved(from, to gateway.Value, deadband float64) bool {
	if from == to {
		return false
	}
	if deadband == 0 || !isNumber(from) || !isNumber(to) {
		return true
	}
	a, b := from.Float(), to.Float()
	return b-a > deadband || a-b > deadband
}

func isNumber(v gateway.Value) bool {
	switch v.Kind() {
	case gateway.KindInt, gateway.KindUint, gateway.KindFloat32, gateway.KindFloat64:
		return true
	}
	return false
}

// publishPoll hands over what a poll has brought, if any of it is news. The device's JSON then holds all points; a device that publishes
// its points alone publishes those that are news, so that a fast group does not repeat a slow one.
func (b *bus) publishPoll(d *device, p *poll, now time.Time) {
	d.age(now)
	b.counters.device(d.index, d.state == online, d.readings)
	b.observe(d)
	news := d.newsOf(p, now)
	d.asked = false
	switch {
	case d.told == nil:
		b.publishBatch(d, now)
	case len(news) == 0:
	case d.Publish == gateway.PublishPoints && len(news) < len(d.readings):
		b.publishSome(d, news, now)
	default:
		b.publishBatch(d, now)
	}
}

// newsOf lists the points of which a poll has brought news, if it matters which.
func (d *device) newsOf(p *poll, now time.Time) []int {
	d.news = d.news[:0]
	for i := range d.told {
		if d.asked || d.told[i].news(&d.Points[i], &d.readings[i], d.polled(p, i), now) {
			d.news = append(d.news, i)
		}
	}
	return d.news
}

// talks reports whether all points are news with each poll: then nothing need be remembered of what was published.
func (d *device) talks() bool {
	return len(d.Groups) == 1 && len(d.Points) > 0 && !slices.ContainsFunc(d.Points, func(p gateway.Point) bool { return p.Deadband != 0 || p.Heartbeat != 0 })
}

// publishAll hands over all points of d as they are now, whether they are news or not.
func (b *bus) publishAll(d *device, now time.Time) {
	d.age(now)
	b.counters.device(d.index, d.state == online, d.readings)
	b.observe(d)
	b.publishBatch(d, now)
}

// age makes readings stale that are too old.
func (d *device) age(now time.Time) {
	for i := range d.readings {
		if r := &d.readings[i]; r.Quality == gateway.QualityGood && now.Sub(r.Time) > d.staleAfter[i] {
			r.Quality = gateway.QualityStale
		}
	}
}

// polled reports whether point i was in the groups of p.
func (d *device) polled(p *poll, i int) bool {
	return len(p.groups) == len(d.groups) || slices.Contains(p.groups, d.groupOf[i])
}

// publishBatch hands over all points: in fresh memory, since a record is never changed.
func (b *bus) publishBatch(d *device, now time.Time) {
	readings := slices.Clone(d.readings)
	for i := range d.told {
		d.told[i] = told{readings[i], now}
	}
	b.publish(now, &gateway.Batch{Topic: d.topic, Publish: d.Publish, Time: now, Names: d.names, Readings: readings})
}

// publishSome hands over the points of these indices.
func (b *bus) publishSome(d *device, points []int, now time.Time) {
	batch := &gateway.Batch{
		Topic: d.topic, Publish: d.Publish, Time: now,
		Names: make([]string, len(points)), Readings: make([]gateway.Reading, len(points)),
	}
	for i, p := range points {
		batch.Names[i], batch.Readings[i] = d.names[p], d.readings[p]
		d.told[p] = told{d.readings[p], now}
	}
	b.publish(now, batch)
}
