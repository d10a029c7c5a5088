package payload

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// The binary form of a record, version 1. Numbers are varints as encoding/binary writes them, signed ones zigzag; a string is its
// length and its bytes; a time is its seconds since 1970 (signed) and its nanoseconds.
//
//	record  = version head seq time [origin] body
//	head    = kind (2 bits) | level (2 bits: QoS or publish mode) | flag bits below
//	message = topic payload [properties]
//	batch   = topic [time] count name... reading...
//	gap     = queue from to count reason [time]
//	reading = head byte [reason] [time] value
const recordVersion = 1

// Kinds and flags of a record's head.
const (
	kindMessage = 0
	kindBatch   = 1
	kindGap     = 2
	kindMask    = 3
	levelShift  = 2
	levelMask   = 3

	headRetain     = 1 << 4 // of a message
	headOwnTime    = 1 << 4 // of a batch or gap: its time is not the record's
	headOrigin     = 1 << 5
	headProperties = 1 << 6
	headClockUnset = 1 << 7
)

// Parts of a reading's head: quality, kind of value, where its time comes from, whether a reason follows.
const (
	readingQuality   = 3
	readingKindShift = 2
	readingKindMask  = 7
	readingTimeShift = 5
	readingTimeMask  = 3
	readingReason    = 1 << 7

	timeSame     = 0 // as the reading before it, the first as the batch
	timeNone     = 1 // the zero time
	timeDelta    = 2 // nanoseconds after the reading before it
	timeAbsolute = 3
)

// Flags of properties.
const (
	propFormat = 1 << iota
	propHasExpiry
	propExpiry
	propContentType
	propResponse
	propCorrelation
	propUser
	propUnknown
)

// AppendRecord appends the binary form of rec. The same record always gives the same bytes, and they hold all of it: [ParseRecord]
// gives an equal record back, with its times in UTC to the nanosecond. A record without a body, which cannot be stored, appends nothing.
func AppendRecord(dst []byte, rec *gateway.Record) []byte {
	switch body := rec.Body.(type) {
	case *gateway.Message:
		return appendMessage(dst, rec, body)
	case *gateway.Batch:
		return appendBatchBody(dst, rec, body)
	case *gateway.Gap:
		return appendGapBody(dst, rec, body)
	default:
		return dst
	}
}

func appendHead(dst []byte, rec *gateway.Record, head byte) []byte {
	if rec.Origin != "" {
		head |= headOrigin
	}
	if rec.ClockUnset {
		head |= headClockUnset
	}
	dst = append(dst, recordVersion, head)
	dst = binary.AppendUvarint(dst, rec.Seq)
	dst = appendInstant(dst, rec.Time)
	if rec.Origin != "" {
		dst = appendText(dst, rec.Origin)
	}
	return dst
}

func appendMessage(dst []byte, rec *gateway.Record, m *gateway.Message) []byte {
	head := kindMessage | byte(min(m.QoS, 2))<<levelShift
	if m.Retain {
		head |= headRetain
	}
	if m.Properties != nil {
		head |= headProperties
	}
	dst = appendHead(dst, rec, head)
	dst = appendText(dst, m.Topic)
	dst = appendText(dst, m.Payload)
	if m.Properties != nil {
		dst = appendProperties(dst, m.Properties)
	}
	return dst
}

func appendProperties(dst []byte, p *gateway.Properties) []byte {
	at := len(dst)
	dst = append(dst, 0)
	if p.PayloadFormat != 0 {
		dst[at] |= propFormat
		dst = append(dst, p.PayloadFormat)
	}
	if p.HasExpiry {
		dst[at] |= propHasExpiry
	}
	if p.Expiry != 0 {
		dst[at] |= propExpiry
		dst = binary.AppendUvarint(dst, uint64(p.Expiry))
	}
	if p.ContentType != "" {
		dst[at] |= propContentType
		dst = appendText(dst, p.ContentType)
	}
	if p.ResponseTopic != "" {
		dst[at] |= propResponse
		dst = appendText(dst, p.ResponseTopic)
	}
	if p.CorrelationData != nil {
		dst[at] |= propCorrelation
		dst = appendText(dst, p.CorrelationData)
	}
	if len(p.User) > 0 {
		dst[at] |= propUser
		dst = appendUser(dst, p.User)
	}
	return dst
}

func appendUser(dst []byte, user []gateway.UserProperty) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(user)))
	for _, u := range user {
		dst = appendText(appendText(dst, u.Name), u.Value)
	}
	return dst
}

func appendBatchBody(dst []byte, rec *gateway.Record, b *gateway.Batch) []byte {
	head := kindBatch | byte(min(b.Publish, gateway.PublishBoth))<<levelShift
	if !b.Time.Equal(rec.Time) {
		head |= headOwnTime
	}
	dst = appendHead(dst, rec, head)
	dst = appendText(dst, b.Topic)
	if head&headOwnTime != 0 {
		dst = appendInstant(dst, b.Time)
	}
	n := points(b)
	dst = binary.AppendUvarint(dst, uint64(n))
	for _, name := range b.Names[:n] {
		dst = appendText(dst, name)
	}
	var reason gateway.Reason
	last := b.Time
	for i := range n {
		dst, last, reason = appendReading(dst, &b.Readings[i], last, reason)
	}
	return dst
}

// appendReading writes a reading apart from what it shares with the one before: most readings of a poll came with one answer, and most
// bad ones have one cause. It returns the time and the reason for the next.
func appendReading(dst []byte, r *gateway.Reading, last time.Time, reason gateway.Reason) ([]byte, time.Time, gateway.Reason) {
	kind := r.Value.Kind()
	if kind > gateway.KindBytes {
		kind = gateway.KindNone
	}
	mode, delta := timeMode(r.Time, last)
	head := byte(min(r.Quality, gateway.QualityGood)) | byte(kind)<<readingKindShift | mode<<readingTimeShift
	if r.Reason != gateway.ReasonNone {
		head |= readingReason
	}
	dst = append(dst, head)
	switch {
	case r.Reason == gateway.ReasonNone:
	case r.Reason == reason:
		dst = append(dst, 0) // no reason is empty: length 0 stands for the one before
	default:
		dst, reason = appendText(dst, r.Reason), r.Reason
	}
	switch mode {
	case timeDelta:
		dst = binary.AppendVarint(dst, int64(delta))
	case timeAbsolute:
		dst = appendInstant(dst, r.Time)
	}
	if mode != timeNone {
		last = r.Time
	}
	return appendValue(dst, kind, r.Value), last, reason
}

func timeMode(t, last time.Time) (mode byte, delta time.Duration) {
	if t.Equal(last) {
		return timeSame, 0
	}
	if t.IsZero() {
		return timeNone, 0
	}
	if delta = t.Round(0).Sub(last.Round(0)); delta == math.MaxInt64 || delta == math.MinInt64 {
		return timeAbsolute, 0
	}
	return timeDelta, delta
}

func appendValue(dst []byte, kind gateway.Kind, v gateway.Value) []byte {
	switch kind {
	case gateway.KindBool:
		return append(dst, byte(min(v.Bits(), 1)))
	case gateway.KindInt:
		return binary.AppendVarint(dst, int64(v.Bits()))
	case gateway.KindUint:
		return binary.AppendUvarint(dst, v.Bits())
	case gateway.KindFloat32:
		return binary.LittleEndian.AppendUint32(dst, uint32(v.Bits()))
	case gateway.KindFloat64:
		return binary.LittleEndian.AppendUint64(dst, v.Bits())
	case gateway.KindString, gateway.KindBytes:
		return appendText(dst, v.Text())
	default:
		return dst
	}
}

func appendGapBody(dst []byte, rec *gateway.Record, g *gateway.Gap) []byte {
	head := byte(kindGap)
	if !g.Time.Equal(rec.Time) {
		head |= headOwnTime
	}
	dst = appendText(appendHead(dst, rec, head), g.Queue)
	dst = binary.AppendUvarint(dst, g.From)
	dst = binary.AppendUvarint(dst, g.To)
	dst = binary.AppendUvarint(dst, g.Count)
	dst = appendText(dst, g.Reason)
	if head&headOwnTime != 0 {
		dst = appendInstant(dst, g.Time)
	}
	return dst
}

func appendInstant(dst []byte, t time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix())
	return binary.AppendUvarint(dst, uint64(t.Nanosecond()))
}

func appendText[S ~string | ~[]byte](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
