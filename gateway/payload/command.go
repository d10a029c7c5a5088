package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/gateway"
)

// The bounds of a command.
const (
	MaxCommand  = 64 << 10 // bytes of payload
	MaxSettings = 256      // values in one command
	MaxID       = 128      // bytes of an id
)

// ParseCommand reads a command from the message on a command topic; device, point and verb are those of
// [gateway.Topics.ParseCommand]. The payload of <point>/set is a JSON value, that of <device>/set is
//
//	{"values":{"setpoint":42},"id":"a1","expires":"2026-11-21T02:26:42Z"}
//
// with id and expires optional, and that of <device>/get is empty. Anything else is an error: unknown or repeated names, null, arrays, objects
// inside values, more than the bounds above. A number that is whole becomes an Int (a Uint beyond the range of int64), another a
// Float64. Response topic and correlation data are taken from the message's properties.
//
// With an error the command holds what had been understood until then, so that the refusal can be answered.
func ParseCommand(device, point, verb string, m *gateway.Message) (gateway.Command, error) {
	c := gateway.Command{Device: device}
	if p := m.Properties; p != nil {
		c.Reply, c.Correl = p.ResponseTopic, p.CorrelationData
	}
	if err := parseCommand(&c, point, verb, m.Payload); err != nil {
		return c, fmt.Errorf("parse command: %w", err)
	}
	return c, nil
}

func parseCommand(c *gateway.Command, point, verb string, b []byte) error {
	switch {
	case len(b) > MaxCommand:
		return fmt.Errorf("payload has %d bytes, at most %d are allowed", len(b), MaxCommand)
	case verb == "get" && len(b) > 0:
		return fmt.Errorf("payload of get has %d bytes, send an empty one", len(b))
	case verb == "get":
		return nil
	case verb != "set":
		return fmt.Errorf("unknown verb %q, use set or get", verb)
	case point == "":
		return parseDeviceSet(c, b)
	}
	return parsePointSet(c, point, b)
}

func parsePointSet(c *gateway.Command, point string, b []byte) error {
	p, err := newParser(b)
	if err != nil {
		return err
	}
	v, err := p.value(false)
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return fmt.Errorf(`%w: the payload is one JSON value, such as 42, true or "text"`, err)
	}
	c.Values = []gateway.Setting{{Point: point, Value: v}}
	return nil
}

func parseDeviceSet(c *gateway.Command, b []byte) error {
	p, err := newParser(b)
	if err != nil {
		return err
	}
	err = p.object(func(key string) (err error) {
		switch key {
		case "values":
			c.Values, err = p.settings(false)
		case "id":
			c.ID, err = p.id()
		case "expires":
			c.Expires, err = p.time()
		default:
			return fmt.Errorf("unknown name %q, use values, id and expires", key)
		}
		return err
	})
	if err == nil {
		err = p.end()
	}
	if err == nil && len(c.Values) == 0 {
		err = fmt.Errorf("values are missing, send at least one")
	}
	return err
}

// parser reads strict JSON token by token: it never nests deeper than the shape that it expects.
type parser struct {
	dec *json.Decoder
	src []byte
}

func newParser(b []byte) (*parser, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("payload is not UTF-8")
	}
	p := &parser{dec: json.NewDecoder(bytes.NewReader(b)), src: b}
	p.dec.UseNumber()
	return p, nil
}

func (p *parser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if err == io.EOF {
		return nil, fmt.Errorf("JSON ends too early")
	}
	if err != nil {
		if hint := hintComma(p.src, p.dec.InputOffset()); hint != "" {
			return nil, fmt.Errorf("malformed JSON near byte %d%s", p.dec.InputOffset(), hint)
		}
		return nil, fmt.Errorf("malformed JSON near byte %d: %w", p.dec.InputOffset(), err)
	}
	return t, nil
}

func (p *parser) end() error {
	if _, err := p.dec.Token(); err != io.EOF {
		at := p.dec.InputOffset()
		return fmt.Errorf("something follows the JSON value at byte %d%s", at, hintComma(p.src, at))
	}
	return nil
}

// object reads an object and calls member for each name, which must read its value.
func (p *parser) object(member func(key string) error) error {
	t, err := p.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%s where an object is expected", describe(t))
	}
	seen := make(map[string]struct{})
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return err
		}
		key, _ := t.(string) // the decoder refuses any other name
		if _, twice := seen[key]; twice {
			return fmt.Errorf("name %q comes twice", key)
		}
		seen[key] = struct{}{}
		if err := member(key); err != nil {
			return err
		}
	}
	_, err = p.token()
	return err
}

func (p *parser) settings(null bool) ([]gateway.Setting, error) {
	var list []gateway.Setting
	err := p.object(func(key string) error {
		if len(list) == MaxSettings {
			return fmt.Errorf("more than %d values", MaxSettings)
		}
		v, err := p.value(null)
		if err != nil {
			return fmt.Errorf("value of %q: %w", key, err)
		}
		list = append(list, gateway.Setting{Point: key, Value: v})
		return nil
	})
	return list, err
}

// value reads a boolean, number or string, and null where that is allowed.
func (p *parser) value(null bool) (gateway.Value, error) {
	t, err := p.token()
	if err != nil {
		return gateway.Value{}, err
	}
	switch t := t.(type) {
	case bool:
		return gateway.Bool(t), nil
	case json.Number:
		return number(string(t))
	case string:
		return gateway.String(t), nil
	case nil:
		if null {
			return gateway.Value{}, nil
		}
	}
	return gateway.Value{}, fmt.Errorf("%s where a number, true, false or text is expected", describe(t))
}

// number keeps whole numbers exact: the registers of a meter count beyond what a float64 holds.
func number(s string) (gateway.Value, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return gateway.Int(i), nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return gateway.Uint(u), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return gateway.Value{}, fmt.Errorf("number %.40s is too large", s)
	}
	if f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
		return gateway.Int(int64(f)), nil
	}
	return gateway.Float64(f), nil
}

func (p *parser) text(what string) (string, error) {
	t, err := p.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%s where the text of %s is expected", describe(t), what)
	}
	return s, nil
}

func (p *parser) id() (string, error) {
	s, err := p.text("id")
	switch {
	case err != nil:
		return "", err
	case s == "":
		return "", fmt.Errorf("id is empty, leave it out or choose one")
	case len(s) > MaxID:
		return "", fmt.Errorf("id has %d bytes, at most %d are allowed", len(s), MaxID)
	}
	return s, nil
}

func (p *parser) time() (time.Time, error) {
	s, err := p.text("a time")
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if t = t.UTC(); err != nil || t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("time %.40q is not RFC 3339, write it like 2026-11-21T02:26:42Z", s)
	}
	return t, nil
}

func describe(t json.Token) string {
	switch t := t.(type) {
	case json.Delim:
		if t == '[' || t == ']' {
			return "an array"
		}
		return "an object"
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "true or false"
	default:
		return "a number"
	}
}
