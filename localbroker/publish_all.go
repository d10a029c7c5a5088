package localbroker

import "github.com/tidegate/tidegate/gateway"

// maxTogether is how many readings are published together at most: each may become a message, and they wait for a subscriber until the last one
// is there.
const maxTogether = 1024

// PublishAll is Publish for each of these records, in their order; nobody waits for them. Batches that follow one another are committed together,
// and a subscriber is woken or written to once for all of them. The slice is not kept.
func (b *Broker) PublishAll(recs []*gateway.Record) {
	if b.running() != nil {
		return
	}
	for len(recs) > 0 {
		n := b.together(recs)
		if n > 1 {
			b.publishBatches(recs[:n])
		} else {
			b.Publish(recs[0], nil)
		}
		recs = recs[max(n, 1):]
	}
}

// together returns how many of the first of these records are batches that can be published together.
func (b *Broker) together(recs []*gateway.Record) int {
	limit := min(maxTogether, b.opts.MaxQueued/queueShare)
	for i, rec := range recs {
		batch, ok := rec.Body.(*gateway.Batch)
		if !ok {
			return i
		}
		if limit -= len(batch.Readings); limit < 0 {
			return i
		}
	}
	return len(recs)
}

// publishBatches is publishBatch for several, for which nobody waits.
func (b *Broker) publishBatches(recs []*gateway.Record) {
	var k sink
	expanded, changes := make([]expansion, len(recs)), make([]gateway.Change, len(recs))
	b.routing.RLock()
	for i, rec := range recs {
		e := &expanded[i]
		*e = b.expand(rec.Body.(*gateway.Batch))
		changes[i] = e.change(rec)
	}
	b.opts.Store.CommitAll(changes, nil, 0)
	for i, rec := range recs {
		b.spreadBatch(&expanded[i], rec, &k)
	}
	b.routing.RUnlock()
	k.flushFew(b)
}
