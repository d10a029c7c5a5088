package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// The formats of sub -F are those of mosquitto_sub(1): sequences that begin with %, @ and \, and text between them.

// piece appends one part of a format to dst.
type piece func(dst []byte, m *packet.Publish, at time.Time) []byte

type pieces []piece

func (p pieces) append(dst []byte, m *packet.Publish, at time.Time) []byte {
	for _, one := range p {
		dst = one(dst, m, at)
	}
	return dst
}

var errFormatEnds = errors.New("the format ends within a sequence; a % is written %%, an @ @@, and a \\ \\\\")

// parseFormat reads a format. What goes wrong with a single message is told to log.
func parseFormat(format string, log io.Writer) (pieces, error) {
	var out pieces
	for format != "" {
		i := strings.IndexAny(format, `%@\`)
		if i != 0 {
			if i < 0 {
				i = len(format)
			}
			out, format = append(out, literal(format[:i])), format[i:]
			continue
		}
		if len(format) < 2 {
			return nil, errFormatEnds
		}
		var one piece
		var err error
		switch format[0] {
		case '%':
			one, format, err = parsePercent(format[1:], log)
		case '@':
			one, format, err = parseAt(format[1:])
		default:
			one, format, err = parseEscape(format[1:])
		}
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func literal(text string) piece {
	return func(dst []byte, _ *packet.Publish, _ time.Time) []byte { return append(dst, text...) }
}

func parseEscape(format string) (piece, string, error) {
	i := strings.IndexByte(`\0aenrtv`, format[0])
	if i < 0 {
		return nil, "", fmt.Errorf(`\%c is unknown; there are \\, \0, \a, \e, \n, \r, \t and \v`, format[0])
	}
	return literal("\\\x00\a\x1b\n\r\t\v"[i : i+1]), format[1:], nil
}

// field is how wide the value of a % sequence is printed.
type field struct {
	left, zero bool
	width, max int // 0: as wide as it is
}

// parsePercent reads what follows a %: flags, width, maximum width, and a letter.
func parsePercent(format string, log io.Writer) (piece, string, error) {
	var f field
	for ; format != "" && (format[0] == '-' || format[0] == '0'); format = format[1:] {
		f.left = f.left || format[0] == '-'
		f.zero = f.zero || format[0] == '0'
	}
	f.width, format = leadingNumber(format)
	if strings.HasPrefix(format, ".") {
		f.max, format = leadingNumber(format[1:])
	}
	if format == "" {
		return nil, "", errFormatEnds
	}
	one := f.piece(format[0], log)
	if one == nil {
		return nil, "", fmt.Errorf("%%%c is unknown; the letters are A C D E F I J P R S U X j l m p q r t x", format[0])
	}
	return one, format[1:], nil
}

// leadingNumber cuts a decimal number off the front of text.
func leadingNumber(text string) (int, string) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err := strconv.Atoi(text[:digits])
	if err != nil || n > 10_000 { // no line is that wide
		n = 0
	}
	return n, text[digits:]
}

// piece returns what prints the value that letter stands for, nil if there is none.
func (f field) piece(letter byte, log io.Writer) piece {
	switch letter {
	case '%':
		return literal("%")
	case 'q':
		return func(dst []byte, m *packet.Publish, _ time.Time) []byte { return append(dst, '0'+byte(m.QoS)) }
	case 'r':
		return func(dst []byte, m *packet.Publish, _ time.Time) []byte { return append(dst, '0'+flagNumber(m.Retain)) }
	case 'j':
		return func(dst []byte, m *packet.Publish, at time.Time) []byte { return appendMosquittoJSON(dst, m, at, nil) }
	case 'J':
		return func(dst []byte, m *packet.Publish, at time.Time) []byte { return appendJSONPayload(dst, m, at, log) }
	}
	if text := textOf(letter); text != nil {
		f.zero = false
		return func(dst []byte, m *packet.Publish, at time.Time) []byte { return f.append(dst, text(m, at)) }
	}
	if text := numberOf(letter); text != nil {
		f.max = 0
		return func(dst []byte, m *packet.Publish, _ time.Time) []byte { return f.append(dst, text(m)) }
	}
	return nil
}

// append appends a value, padded to its width.
func (f field) append(dst []byte, value string) []byte {
	if f.max > 0 && len(value) > f.max {
		value = value[:f.max]
	}
	pad := max(0, f.width-len(value))
	switch {
	case f.left:
		return append(append(dst, value...), strings.Repeat(" ", pad)...)
	case f.zero && value != "":
		return append(append(dst, strings.Repeat("0", pad)...), value...)
	}
	return append(append(dst, strings.Repeat(" ", pad)...), value...)
}

// textOf returns the value of a letter that stands for text.
func textOf(letter byte) func(*packet.Publish, time.Time) string {
	switch letter {
	case 't':
		return func(m *packet.Publish, _ time.Time) string { return string(m.Topic) }
	case 'p':
		return func(m *packet.Publish, _ time.Time) string { return string(m.Payload) }
	case 'C':
		return func(m *packet.Publish, _ time.Time) string { return string(m.Props.ContentType) }
	case 'D':
		return func(m *packet.Publish, _ time.Time) string { return string(m.Props.CorrelationData) }
	case 'P':
		return func(m *packet.Publish, _ time.Time) string { return userProperties(m) }
	case 'R':
		return func(m *packet.Publish, _ time.Time) string { return string(m.Props.ResponseTopic) }
	case 'I':
		return func(_ *packet.Publish, at time.Time) string { return at.Format("2006-01-02T15:04:05-0700") }
	case 'U':
		return func(_ *packet.Publish, at time.Time) string {
			return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond())
		}
	}
	return nil
}

func userProperties(m *packet.Publish) string {
	pairs := make([]string, 0, len(m.Props.UserProperties))
	for _, u := range m.Props.UserProperties {
		pairs = append(pairs, string(u.Name)+":"+string(u.Value))
	}
	return strings.Join(pairs, " ")
}

// numberOf returns the value of a letter that stands for a number or hexadecimal digits, "" where it is absent.
func numberOf(letter byte) func(*packet.Publish) string {
	switch letter {
	case 'l':
		return func(m *packet.Publish) string { return strconv.Itoa(len(m.Payload)) }
	case 'm':
		return func(m *packet.Publish) string { return strconv.Itoa(int(m.ID)) }
	case 'x':
		return func(m *packet.Publish) string { return hex.EncodeToString(m.Payload) }
	case 'X':
		return func(m *packet.Publish) string { return strings.ToUpper(hex.EncodeToString(m.Payload)) }
	case 'A':
		return func(m *packet.Publish) string { return optional(m.Props.TopicAlias) }
	case 'E':
		return func(m *packet.Publish) string { return optional(m.Props.MessageExpiry) }
	case 'F':
		return func(m *packet.Publish) string { return optional(m.Props.PayloadFormat) }
	case 'S':
		return func(m *packet.Publish) string { return strings.Trim(fmt.Sprint(m.Props.SubscriptionIDs), "[]") }
	}
	return nil
}

func optional[T any](o packet.Opt[T]) string {
	if !o.Set {
		return ""
	}
	return fmt.Sprint(o.Value)
}

func flagNumber(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// mosquittoDoc is a message as mosquitto_sub prints it with %j.
type mosquittoDoc struct {
	Time       string               `json:"tst"`
	Topic      string               `json:"topic"`
	QoS        packet.QoS           `json:"qos"`
	Retain     byte                 `json:"retain"`
	Length     int                  `json:"payloadlen"`
	ID         uint16               `json:"mid,omitempty"`
	Properties *mosquittoProperties `json:"properties,omitempty"`
	Payload    any                  `json:"payload"`
}

type mosquittoProperties struct {
	PayloadFormat   *byte           `json:"payload-format-indicator,omitempty"`
	Expiry          *uint32         `json:"message-expiry-interval,omitempty"`
	ContentType     string          `json:"content-type,omitempty"`
	ResponseTopic   string          `json:"response-topic,omitempty"`
	CorrelationData string          `json:"correlation-data,omitempty"`
	SubscriptionID  uint32          `json:"subscription-identifier,omitempty"`
	TopicAlias      uint16          `json:"topic-alias,omitempty"`
	User            json.RawMessage `json:"user-properties,omitempty"`
}

// appendMosquittoJSON appends what %j stands for. raw, when not nil, is the payload as JSON.
func appendMosquittoJSON(dst []byte, m *packet.Publish, at time.Time, raw json.RawMessage) []byte {
	doc := mosquittoDoc{
		Time: at.Format("2006-01-02T15:04:05.000000-0700"), Topic: string(m.Topic), QoS: m.QoS,
		Retain: flagNumber(m.Retain), Length: len(m.Payload), ID: m.ID, Properties: newMosquittoProperties(&m.Props),
	}
	switch {
	case raw != nil:
		doc.Payload = raw
	case len(m.Payload) > 0: // else it is null
		doc.Payload = string(m.Payload)
	}
	return append(dst, compactJSON(doc)...)
}

// appendJSONPayload appends what %J stands for: nothing when the payload is not JSON.
func appendJSONPayload(dst []byte, m *packet.Publish, at time.Time, log io.Writer) []byte {
	if len(m.Payload) == 0 { // null, as in %j
		return appendMosquittoJSON(dst, m, at, nil)
	}
	if !json.Valid(m.Payload) {
		fmt.Fprintf(log, "the payload is not valid JSON on topic %s\n", printable(string(m.Topic)))
		return dst
	}
	return appendMosquittoJSON(dst, m, at, m.Payload)
}

func newMosquittoProperties(p *packet.Properties) *mosquittoProperties {
	out := mosquittoProperties{
		ContentType: string(p.ContentType), ResponseTopic: string(p.ResponseTopic), CorrelationData: string(p.CorrelationData),
		TopicAlias: p.TopicAlias.Value, User: userObject(p.UserProperties),
	}
	if p.PayloadFormat.Set {
		out.PayloadFormat = &p.PayloadFormat.Value
	}
	if p.MessageExpiry.Set {
		out.Expiry = &p.MessageExpiry.Value
	}
	if len(p.SubscriptionIDs) > 0 {
		out.SubscriptionID = p.SubscriptionIDs[0]
	}
	if newMessageProperties(p) == nil && !p.TopicAlias.Set {
		return nil
	}
	return &out
}

// userObject is the user properties as an object in their order, whose names may repeat.
func userObject(pairs []packet.UserProperty) json.RawMessage {
	if len(pairs) == 0 {
		return nil
	}
	var b bytes.Buffer
	for i, u := range pairs {
		b.WriteByte(",{"[flagNumber(i == 0)])
		b.Write(compactJSON(string(u.Name)))
		b.WriteByte(':')
		b.Write(compactJSON(string(u.Value)))
	}
	b.WriteByte('}')
	return b.Bytes()
}
