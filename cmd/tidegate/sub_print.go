package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// printFlags say how sub prints a message.
type printFlags struct {
	verbose, noNewline, json bool
	format                   string
}

func (f *printFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print the topic before the payload")
	flags.BoolVarP(&f.noNewline, "no-newline", "N", false, "end no line after a message")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a line: time, topic, qos, retain, payload (payload_base64 when it is no text), properties")
	flags.StringVarP(&f.format, "format", "F", "", "print as `FORMAT` says: %t topic, %p payload, %x payload in hex, %q QoS, %r retain, %l length, %I time, %j JSON\n"+
		"as mosquitto_sub's, ...; @X as strftime's %X; \\n, \\t, ...: mosquitto_sub(1) has the list")
}

// printer appends a message, received at a time of the local zone, to dst.
type printer func(dst []byte, m *packet.Publish, at time.Time) []byte

// printer returns what prints as the flags ask for. Warnings go to log.
func (f *printFlags) printer(log io.Writer) (printer, error) {
	if f.json && (f.verbose || f.format != "") || f.verbose && f.format != "" {
		return nil, errors.New("-v, -F and --json each say how to print: give one of them")
	}
	end := []byte("\n")
	if f.noNewline {
		end = nil
	}
	switch {
	case f.json:
		return func(dst []byte, m *packet.Publish, at time.Time) []byte {
			return append(appendMessage(dst, m, at), '\n')
		}, nil
	case f.format != "":
		pieces, err := parseFormat(f.format, log)
		if err != nil {
			return nil, fmt.Errorf("-F: %w", err)
		}
		return func(dst []byte, m *packet.Publish, at time.Time) []byte {
			return append(pieces.append(dst, m, at), end...)
		}, nil
	case f.verbose:
		return func(dst []byte, m *packet.Publish, _ time.Time) []byte {
			if f.noNewline && len(m.Payload) == 0 {
				return dst // mosquitto_sub neither
			}
			return append(appendVerbose(dst, m), end...)
		}, nil
	}
	return func(dst []byte, m *packet.Publish, _ time.Time) []byte {
		if len(m.Payload) == 0 {
			return dst // mosquitto_sub prints no empty line either
		}
		return append(append(dst, m.Payload...), end...)
	}, nil
}

func appendVerbose(dst []byte, m *packet.Publish) []byte {
	dst = append(append(dst, m.Topic...), ' ')
	if len(m.Payload) == 0 {
		return append(dst, "(null)"...)
	}
	return append(dst, m.Payload...)
}

// messageDoc is a message for programs.
type messageDoc struct {
	Time          string             `json:"time"` // when it was received, UTC
	Topic         string             `json:"topic"`
	QoS           packet.QoS         `json:"qos"`
	Retain        bool               `json:"retain"`
	Dup           bool               `json:"dup,omitempty"`
	Payload       *string            `json:"payload,omitempty"`        // when it is text
	PayloadBase64 []byte             `json:"payload_base64,omitempty"` // when it is not
	Properties    *messageProperties `json:"properties,omitempty"`
}

// messageProperties are those of MQTT 5 that a message has.
type messageProperties struct {
	properties
	PayloadFormat   *byte    `json:"payload_format,omitempty"` // 1: the payload is said to be UTF-8
	SubscriptionIDs []uint32 `json:"subscription_ids,omitempty"`
}

// jsonTime is RFC 3339 with milliseconds.
const jsonTime = "2006-01-02T15:04:05.000Z07:00"

func appendMessage(dst []byte, m *packet.Publish, at time.Time) []byte {
	doc := messageDoc{
		Time: at.UTC().Format(jsonTime), Topic: string(m.Topic), QoS: m.QoS, Retain: m.Retain, Dup: m.Dup,
		Properties: newMessageProperties(&m.Props),
	}
	if utf8.Valid(m.Payload) {
		text := string(m.Payload)
		doc.Payload = &text
	} else {
		doc.PayloadBase64 = m.Payload
	}
	return append(dst, compactJSON(doc)...)
}

func newMessageProperties(p *packet.Properties) *messageProperties {
	out := messageProperties{
		properties:      properties{ContentType: string(p.ContentType), ResponseTopic: string(p.ResponseTopic), CorrelationData: p.CorrelationData},
		SubscriptionIDs: p.SubscriptionIDs,
	}
	if p.MessageExpiry.Set {
		out.Expiry = &p.MessageExpiry.Value
	}
	if p.PayloadFormat.Set {
		out.PayloadFormat = &p.PayloadFormat.Value
	}
	for _, u := range p.UserProperties {
		out.User = append(out.User, string(u.Name)+"="+string(u.Value))
	}
	if p.ContentType == nil && p.ResponseTopic == nil && p.CorrelationData == nil && p.SubscriptionIDs == nil &&
		out.Expiry == nil && out.PayloadFormat == nil && out.User == nil {
		return nil
	}
	return &out
}

// compactJSON returns v, which can be encoded, on one line.
func compactJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // strings and numbers only
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
