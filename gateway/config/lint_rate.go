package config

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// What a message takes beside names and topics, in bytes: estimates, for messages that say "about".
const (
	deviceBytes   = 96 // time, seq, quality and brackets of a device's JSON
	valueBytes    = 14 // a value in it, with quotes, colon and comma
	pointBytes    = 8  // a value alone
	envelopeBytes = 75 // what a record has around it in a batch: seq, time, names
)

// offer is what the devices give one route to send, in a second.
type offer struct {
	entries float64 // messages, were each sent by itself
	bytes   float64 // their topics and payloads
}

// add counts messages of some bytes that come once in an interval.
func (o *offer) add(messages, bytes int, interval time.Duration) {
	perSecond := 1 / interval.Seconds()
	o.entries += float64(messages) * perSecond
	o.bytes += float64(bytes) * perSecond
}

// batched returns messages and bytes in a second when the offer is sent in batches.
func (o offer) batched(b Batch) (messages, bytes float64) {
	if o.entries == 0 {
		return 0, 0
	}
	bytes = o.bytes + envelopeBytes*o.entries
	messages = max(o.entries/float64(b.MaxRecords), bytes/float64(b.MaxBytes))
	if b.Linger > 0 {
		messages = max(messages, 1/b.Linger.Seconds())
	} else {
		messages = o.entries
	}
	return min(messages, o.entries), bytes
}

// lintRate compares what the devices offer with what the cloud takes and with what rate says.
func (c *checker) lintRate(path string, u Upstream) {
	offers := c.offers(u)
	messages, bytes := 0.0, 0.0
	for i, o := range offers {
		m, b := o.entries, o.bytes
		if r := u.Routes[i]; r.Payload == PayloadBatch && r.Batch.MaxRecords > 0 && r.Batch.MaxBytes > 0 {
			m, b = o.batched(r.Batch)
		}
		messages, bytes = messages+m, bytes+b
	}
	most, where := u.Ceilings, join(path, "profile")
	switch {
	case most.Messages > 0 && messages > most.Messages:
		c.out.at(where, fmt.Sprintf("upstream %q sends %s messages/s, %s takes %s", u.Name, number(messages), u.Profile, number(most.Messages)),
			u.lighter(offers))
	case most.Bytes > 0 && bytes > float64(most.Bytes):
		c.out.at(where, fmt.Sprintf("upstream %q sends about %s/s, %s takes %s", u.Name, about(bytes), u.Profile, most.Bytes), lessOften)
	case u.Rate.Messages > 0 && messages > u.Rate.Messages:
		c.out.warn(c.said(join(path, "rate", "messages"), where),
			fmt.Sprintf("upstream %q has %s messages/s to send, and its rate is %s: what waits will grow", u.Name, number(messages), number(u.Rate.Messages)),
			u.lighter(offers))
	case u.Rate.Bytes > 0 && bytes > float64(u.Rate.Bytes):
		c.out.warn(c.said(join(path, "rate", "bytes"), where),
			fmt.Sprintf("upstream %q has about %s/s to send, and its rate is %s: what waits will grow", u.Name, about(bytes), u.Rate.Bytes), lessOften)
	}
	c.lintSize(path, u)
}

// said returns the path of a key that the file gives, or the other.
func (c *checker) said(path, otherwise string) string {
	if c.given(path) {
		return path
	}
	return otherwise
}

// offers returns what the devices give each route. Clients of the LAN come on top, and are not known.
func (c *checker) offers(u Upstream) []offer {
	offers := make([]offer, len(u.Routes))
	t := gateway.Topics{Base: c.base()}
	for _, d := range c.cfg.Devices {
		if d.Interval <= 0 {
			continue
		}
		if i, remote, ok := u.outward(t.Device(d.Name)); ok && d.Publish != PublishPoints {
			switch {
			case u.Routes[i].Payload != PayloadPoints:
				offers[i].add(1, len(remote)+d.bytes(), d.Interval)
			case d.Publish == PublishDevice: // with PublishBoth the points come by themselves, below
				for _, p := range d.Points {
					offers[i].add(1, len(remote)+1+len(p.Name)+pointBytes, d.Interval)
				}
			}
		}
		if d.Publish == PublishDevice {
			continue
		}
		for _, p := range d.Points {
			if i, remote, ok := u.outward(t.Point(d.Name, p.Name)); ok {
				offers[i].add(1, len(remote)+pointBytes, d.Interval)
			}
		}
	}
	return offers
}

// bytes returns about how long the JSON of a device is.
func (d Device) bytes() int {
	n := deviceBytes
	for _, p := range d.Points {
		n += len(p.Name) + valueBytes
		if p.Type.text() {
			n += 2 * p.Length
		}
	}
	return n
}

const lessOften = "give the devices a longer interval, or let fewer of them through the routes"

// lighter names the batching with which an offer fits, or what else to do.
func (u Upstream) lighter(offers []offer) string {
	wider := Batch{MaxRecords: 100000, MaxBytes: MiB}
	if most := u.Ceilings.Payload; most > 0 {
		wider.MaxBytes = min(wider.MaxBytes, most)
	}
	var usual Route
	usual.setDefaults()
	usual.Batch.MaxBytes = min(usual.Batch.MaxBytes, wider.MaxBytes)
	for _, b := range []Batch{usual.Batch, wider} {
		for _, linger := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute} {
			b.Linger = linger
			if hint, ok := u.fits(offers, b); ok {
				return hint
			}
		}
	}
	return lessOften
}

// fits tells whether an offer keeps to the rate when all routes send batches, and what to write for it.
func (u Upstream) fits(offers []offer, b Batch) (hint string, ok bool) {
	messages, bytes := 0.0, 0.0
	for _, o := range offers {
		m, n := o.batched(b)
		messages, bytes = messages+m, bytes+n
	}
	pace := u.Rate.Messages
	if pace == 0 {
		pace = u.Ceilings.pace()
	}
	if messages > pace || u.Rate.Bytes > 0 && bytes > float64(u.Rate.Bytes) {
		return "", false
	}
	var usual Route
	usual.setDefaults()
	keys := fmt.Sprintf("linger = %q", show(b.Linger))
	if b.MaxRecords != usual.Batch.MaxRecords {
		keys += fmt.Sprintf(", max_records = %d, max_bytes = %q", b.MaxRecords, b.MaxBytes)
	}
	return fmt.Sprintf(`use payload = "batch" with batch = { %s } (then %s of about %s)`, keys, plural(messages), about(bytes/messages)), true
}

// lintSize warns of devices whose JSON the cloud may find too long.
func (c *checker) lintSize(path string, u Upstream) {
	most, t := u.Ceilings.Payload, gateway.Topics{Base: c.base()}
	for i, d := range c.cfg.Devices {
		j, _, ok := u.outward(t.Device(d.Name))
		if !ok || most == 0 || d.Publish == PublishPoints || u.Routes[j].Payload == PayloadPoints || d.bytes() <= int(most) {
			continue
		}
		c.out.warn(at("device", i), fmt.Sprintf("messages of %q have about %s, and %s of upstream %q takes %s: they will be set aside",
			d.Name, about(float64(d.bytes())), u.Profile, u.Name, most), `send them with payload = "points", or divide the device`)
	}
}

// number writes a rate with as many digits as it is worth.
func number(f float64) string { return digits(f, 3) }

// digits writes f with so many digits, and with all of those before the point.
func digits(f float64, n int) string {
	if f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', n, 64)
}

func plural(messages float64) string {
	if number(messages) == "1" {
		return "1 message/s"
	}
	return number(messages) + " messages/s"
}

// about writes an estimated number of bytes.
func about(bytes float64) string {
	switch {
	case bytes >= float64(MiB):
		return digits(bytes/float64(MiB), 2) + " MiB"
	case bytes >= float64(KiB):
		return digits(bytes/float64(KiB), 2) + " KiB"
	}
	return digits(bytes, 2) + " B"
}
