package payload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// ErrRecord is wrapped by every error of [ParseRecord]: the bytes are not a record of a version that is known here.
var ErrRecord = errors.New("not a record")

// ParseRecord reads the binary form of one record. The result shares no memory with b. Whatever b holds, it costs no more memory than
// a fixed multiple of len(b), and the worst that happens is an error; bytes after the record are one too.
func ParseRecord(b []byte) (*gateway.Record, error) {
	d := decoder{b: b}
	rec := d.record()
	if d.err == nil && d.at < len(d.b) {
		d.fail("%d bytes follow it", len(d.b)-d.at)
	}
	if d.err != nil {
		return nil, d.err
	}
	return rec, nil
}

// decoder reads parts of b in turn. After an error each further part is zero, so that only loops need to ask.
type decoder struct {
	b    []byte
	at   int
	text string // all of b, once it is worth one copy for many strings
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("parse record at byte %d: %w: %s", d.at, ErrRecord, fmt.Sprintf(format, args...))
		d.at = len(d.b)
	}
}

func (d *decoder) byte() byte {
	if d.at >= len(d.b) {
		d.fail("it ends too early")
		return 0
	}
	d.at++
	return d.b[d.at-1]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b[d.at:])
	if n <= 0 {
		d.fail("a number is cut off or too long")
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// span takes the next n bytes and returns where they start.
func (d *decoder) span(n uint64) (from int) {
	if n > uint64(len(d.b)-d.at) {
		d.fail("%d bytes are announced, %d are left", n, len(d.b)-d.at)
		return d.at
	}
	from = d.at
	d.at += int(n)
	return from
}

func (d *decoder) string() string {
	from := d.span(d.uvarint())
	if d.text != "" {
		return d.text[from:d.at]
	}
	return string(d.b[from:d.at])
}

// bytes returns a copy, and nil when there are none.
func (d *decoder) bytes() []byte {
	from := d.span(d.uvarint())
	return append([]byte(nil), d.b[from:d.at]...)
}

func (d *decoder) instant() time.Time {
	sec, nsec := d.varint(), d.uvarint()
	if nsec >= uint64(time.Second) {
		d.fail("a time has %d nanoseconds", nsec)
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

func (d *decoder) record() *gateway.Record {
	if v := d.byte(); d.err == nil && v != recordVersion {
		d.fail("version %d, want %d", v, recordVersion)
	}
	head := d.byte()
	rec := &gateway.Record{Seq: d.uvarint(), Time: d.instant(), ClockUnset: head&headClockUnset != 0}
	if head&headOrigin != 0 {
		rec.Origin = d.string()
	}
	switch head & kindMask {
	case kindMessage:
		rec.Body = d.message(head)
	case kindBatch:
		rec.Body = d.batch(head, rec.Time)
	case kindGap:
		rec.Body = d.gap(head, rec.Time)
	default:
		d.fail("unknown kind of body")
	}
	return rec
}

func (d *decoder) level(head byte) byte {
	level := head >> levelShift & levelMask
	if level == levelMask {
		d.fail("head %#02x has an unknown QoS or publish mode", head)
	}
	return level
}

func (d *decoder) message(head byte) *gateway.Message {
	m := &gateway.Message{QoS: gateway.QoS(d.level(head)), Retain: head&headRetain != 0}
	m.Topic = d.string()
	m.Payload = d.bytes()
	if head&headProperties != 0 {
		m.Properties = d.properties()
	}
	return m
}

func (d *decoder) properties() *gateway.Properties {
	flags := d.byte()
	if flags&propUnknown != 0 {
		d.fail("properties %#02x have unknown flags", flags)
	}
	p := &gateway.Properties{HasExpiry: flags&propHasExpiry != 0}
	if flags&propFormat != 0 {
		p.PayloadFormat = d.byte()
	}
	if flags&propExpiry != 0 {
		p.Expiry = d.uint32()
	}
	if flags&propContentType != 0 {
		p.ContentType = d.string()
	}
	if flags&propResponse != 0 {
		p.ResponseTopic = d.string()
	}
	if flags&propCorrelation != 0 {
		if p.CorrelationData = d.bytes(); p.CorrelationData == nil {
			p.CorrelationData = []byte{}
		}
	}
	if flags&propUser != 0 {
		p.User = d.user()
	}
	return p
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > math.MaxUint32 {
		d.fail("%d does not fit 32 bits", v)
		return 0
	}
	return uint32(v)
}

// count reads a number of things of at least size bytes each, and refuses one that the rest of the record cannot hold.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64((len(d.b)-d.at)/size) {
		d.fail("%d parts are announced, %d bytes are left", n, len(d.b)-d.at)
		return 0
	}
	return int(n)
}

func (d *decoder) user() []gateway.UserProperty {
	n := d.count(2)
	var user []gateway.UserProperty // grows with what is really there
	for i := 0; i < n && d.err == nil; i++ {
		user = append(user, gateway.UserProperty{Name: d.string(), Value: d.string()})
	}
	return user
}

func (d *decoder) batch(head byte, t time.Time) *gateway.Batch {
	if head&headProperties != 0 {
		d.fail("a batch has no properties")
	}
	d.text = string(d.b)
	b := &gateway.Batch{Publish: gateway.PublishMode(d.level(head)), Topic: d.string(), Time: t}
	if head&headOwnTime != 0 {
		b.Time = d.instant()
	}
	n := d.count(2)
	if n == 0 || d.err != nil {
		return b
	}
	b.Names = make([]string, n)
	for i := range b.Names {
		b.Names[i] = d.string()
	}
	if d.err != nil {
		return b
	}
	b.Readings = make([]gateway.Reading, n)
	d.readings(b)
	return b
}

func (d *decoder) readings(b *gateway.Batch) {
	last, reason := b.Time, gateway.ReasonNone
	for i := range b.Readings {
		if d.err != nil {
			return
		}
		r := &b.Readings[i]
		head := d.byte()
		if r.Quality = gateway.Quality(head & readingQuality); r.Quality > gateway.QualityGood {
			d.fail("a reading has an unknown quality")
		}
		if head&readingReason != 0 {
			if own := d.string(); own != "" {
				reason = gateway.Reason(own)
			}
			r.Reason = reason
		}
		if r.Time = d.readingTime(head>>readingTimeShift&readingTimeMask, last); !r.Time.IsZero() {
			last = r.Time
		}
		r.Value = d.value(gateway.Kind(head >> readingKindShift & readingKindMask))
	}
}

func (d *decoder) readingTime(mode byte, last time.Time) time.Time {
	switch mode {
	case timeSame:
		return last
	case timeDelta:
		return last.Add(time.Duration(d.varint()))
	case timeAbsolute:
		return d.instant()
	default:
		return time.Time{}
	}
}

func (d *decoder) value(kind gateway.Kind) gateway.Value {
	switch kind {
	case gateway.KindBool:
		return gateway.Bool(d.byte() != 0)
	case gateway.KindInt:
		return gateway.Int(d.varint())
	case gateway.KindUint:
		return gateway.Uint(d.uvarint())
	case gateway.KindFloat32:
		if from := d.span(4); d.err == nil {
			return gateway.Float32(math.Float32frombits(binary.LittleEndian.Uint32(d.b[from:])))
		}
	case gateway.KindFloat64:
		if from := d.span(8); d.err == nil {
			return gateway.Float64(math.Float64frombits(binary.LittleEndian.Uint64(d.b[from:])))
		}
	case gateway.KindString:
		return gateway.String(d.string())
	case gateway.KindBytes:
		return gateway.FromBits(gateway.KindBytes, 0, d.string())
	}
	return gateway.Value{}
}

func (d *decoder) gap(head byte, t time.Time) *gateway.Gap {
	if head&headProperties != 0 || d.level(head) != 0 {
		d.fail("head %#02x is not that of a gap", head)
	}
	g := &gateway.Gap{Queue: d.string(), From: d.uvarint(), To: d.uvarint(), Count: d.uvarint(), Reason: d.string(), Time: t}
	if head&headOwnTime != 0 {
		g.Time = d.instant()
	}
	return g
}
