package payload

import (
	"fmt"

	"github.com/tidegate/tidegate/gateway"
)

// AppendResult appends the JSON of a command's result:
//
//	{"id":"a1","values":{"setpoint":42},"state":"done","time":"2026-11-21T02:26:42.123Z"}
//	{"id":"a1","state":"rejected","error":"point x is not writable","time":"2026-11-21T02:26:42.123Z"}
//
// id, values and error are left out when they are empty.
func AppendResult(dst []byte, r *gateway.Result) []byte {
	dst = append(dst, '{')
	if r.ID != "" {
		dst = append(appendString(append(dst, `"id":`...), r.ID), ',')
	}
	if len(r.Values) > 0 {
		dst = append(appendSettings(append(dst, `"values":`...), r.Values), ',')
	}
	dst = appendString(append(dst, `"state":`...), string(r.State))
	if r.Error != "" {
		dst = appendString(append(dst, `,"error":`...), r.Error)
	}
	return append(appendTime(append(dst, `,"time":`...), r.Time), '}')
}

func appendSettings(dst []byte, list []gateway.Setting) []byte {
	dst = append(dst, '{')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = s.Value.AppendJSON(append(appendString(dst, s.Point), ':'))
	}
	return append(dst, '}')
}

// ParseResult reads what [AppendResult] wrote. JSON does not tell the kinds of numbers apart: a whole number comes back as an Int (a
// Uint beyond int64), another as a Float64, bytes as their base64 text.
func ParseResult(b []byte) (gateway.Result, error) {
	r, err := parseResult(b)
	if err != nil {
		return gateway.Result{}, fmt.Errorf("parse result: %w", err)
	}
	return r, nil
}

func parseResult(b []byte) (r gateway.Result, err error) {
	p, err := newParser(b)
	if err != nil {
		return r, err
	}
	err = p.object(func(key string) (err error) {
		switch key {
		case "id":
			r.ID, err = p.id()
		case "values":
			r.Values, err = p.settings(true)
		case "state":
			r.State, err = p.state()
		case "error":
			r.Error, err = p.text("error")
		case "time":
			r.Time, err = p.time()
		default:
			err = fmt.Errorf("unknown name %q", key)
		}
		return err
	})
	if err == nil {
		err = p.end()
	}
	if err == nil && r.State == "" {
		err = fmt.Errorf("state is missing")
	}
	return r, err
}

func (p *parser) state() (gateway.State, error) {
	s, err := p.text("state")
	if err != nil {
		return "", err
	}
	switch st := gateway.State(s); st {
	case gateway.StateDone, gateway.StateRejected, gateway.StateFailed, gateway.StateExpired, gateway.StateUnknown:
		return st, nil
	}
	return "", fmt.Errorf("unknown state %.40q", s)
}
