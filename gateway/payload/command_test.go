package payload

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

func TestParseCommand(t *testing.T) {
	one := func(v gateway.Value) gateway.Command {
		return gateway.Command{Device: "d", Values: []gateway.Setting{{Point: "p", Value: v}}}
	}
	for _, c := range []struct {
		point, verb, payload string
		want                 gateway.Command
	}{
		{"p", "set", `42`, one(gateway.Int(42))},
		{"p", "set", " -1\n", one(gateway.Int(-1))},
		{"p", "set", `42.0`, one(gateway.Int(42))},
		{"p", "set", `4.2e1`, one(gateway.Int(42))},
		{"p", "set", `-0`, one(gateway.Int(0))},
		{"p", "set", `0.1`, one(gateway.Float64(0.1))},
		{"p", "set", `1e300`, one(gateway.Float64(1e300))},
		{"p", "set", `9223372036854775807`, one(gateway.Int(math.MaxInt64))},
		{"p", "set", `18446744073709551615`, one(gateway.Uint(math.MaxUint64))},
		{"p", "set", `18446744073709551616`, one(gateway.Float64(18446744073709551616))},
		{"p", "set", `true`, one(gateway.Bool(true))},
		{"p", "set", `"on \u00b0"`, one(gateway.String("on °"))},
		{"p", "set", `""`, one(gateway.String(""))},
		{"", "get", ``, gateway.Command{Device: "d"}},
		{"", "set", `{"values":{"b":1,"a":false}}`, gateway.Command{
			Device: "d", Values: []gateway.Setting{{Point: "b", Value: gateway.Int(1)}, {Point: "a", Value: gateway.Bool(false)}},
		}},
		{"", "set", `{"expires":"2026-11-21T04:26:42.5+02:00","id":"a1","values":{"p":42}}`, gateway.Command{
			ID: "a1", Device: "d", Values: []gateway.Setting{{Point: "p", Value: gateway.Int(42)}},
			Expires: time.Date(2026, 11, 21, 2, 26, 42, 5e8, time.UTC),
		}},
	} {
		got, err := ParseCommand("d", c.point, c.verb, &gateway.Message{Payload: []byte(c.payload)})
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.payload, got, err, c.want)
		}
	}
}

func TestParseCommandRefuses(t *testing.T) {
	many := make([]string, MaxSettings+1)
	for i := range many {
		many[i] = `"p` + strings.Repeat("x", i) + `":1`
	}
	for _, c := range []struct{ point, verb, payload, want string }{
		{"p", "set", ``, `parse command: JSON ends too early: the payload is one JSON value, such as 42, true or "text"`},
		{"p", "set", `on`, `malformed JSON`},
		{"p", "set", `null`, `null where a number, true, false or text is expected`},
		{"p", "set", `[1]`, `an array where`},
		{"p", "set", `{"value":1}`, `an object where`},
		{"p", "set", `1 2`, `something follows the JSON value at byte`},
		{"p", "set", `42,5`, `something follows the JSON value at byte 2: a fraction has a point, not a comma: 42.5`},
		{"p", "set", `-0,25 `, `not a comma: -0.25`},
		{"", "set", `{"values":{"p":42,5}}`, `malformed JSON near byte 18: a fraction has a point, not a comma: 42.5`},
		{"", "set", `{"values":{"p":42,5,"q":1}}`, `not a comma: 42.5`},
		{"p", "set", `1]`, `something follows`},
		{"p", "set", `NaN`, `malformed JSON`},
		{"p", "set", `1e400`, `number 1e400 is too large`},
		{"p", "set", "\"\xff\"", `payload is not UTF-8`},
		{"p", "set", strings.Repeat(" ", MaxCommand) + "1", `payload has 65537 bytes, at most 65536 are allowed`},
		{"p", "get", `1`, `payload of get has 1 bytes`},
		{"p", "put", `1`, `unknown verb "put"`},
		{"", "set", `42`, `a number where an object is expected`},
		{"", "set", `{}`, `values are missing`},
		{"", "set", `{"values":{}}`, `values are missing`},
		{"", "set", `{"values":{"p":1},"when":1}`, `unknown name "when", use values, id and expires`},
		{"", "set", `{"values":{"p":1},"values":{"p":2}}`, `name "values" comes twice`},
		{"", "set", `{"values":{"p":1,"p":2}}`, `name "p" comes twice`},
		{"", "set", `{"values":{"p":null}}`, `value of "p": null where`},
		{"", "set", `{"values":{"p":[[[[1]]]]}}`, `value of "p": an array where`},
		{"", "set", `{"values":{` + strings.Join(many, ",") + `}}`, `more than 256 values`},
		{"", "set", `{"values":[1]}`, `an array where an object is expected`},
		{"", "set", `{"values":{"p":1},"id":7}`, `a number where the text of id is expected`},
		{"", "set", `{"values":{"p":1},"id":""}`, `id is empty`},
		{"", "set", `{"values":{"p":1},"id":"` + strings.Repeat("x", MaxID+1) + `"}`, `id has 129 bytes`},
		{"", "set", `{"values":{"p":1},"expires":"tomorrow"}`, `time "tomorrow" is not RFC 3339`},
		{"", "set", `{"values":{"p":1},"expires":true}`, `true or false where the text of a time is expected`},
		{"", "set", `{"values":{"p":1}`, `JSON`},
		{"", "set", `{"values":{"p":1}}x`, `something follows`},
	} {
		_, err := ParseCommand("d", c.point, c.verb, &gateway.Message{Payload: []byte(c.payload)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: got error %v, want %s", c.payload, err, c.want)
		}
	}
}

// A comma that is none of a fraction is not explained as one.
func TestOtherCommas(t *testing.T) {
	for _, s := range []string{`1,`, `,5`, `1, 5`, `1.5,2`, `1,000,000`, `{"values":{"p":1,}}`, `{"values":{"p":1,q:2}}`} {
		for _, point := range []string{"p", ""} {
			_, err := ParseCommand("d", point, "set", &gateway.Message{Payload: []byte(s)})
			if err == nil || strings.Contains(err.Error(), "fraction") {
				t.Errorf("%s: got %v, want an error that does not speak of fractions", s, err)
			}
		}
	}
}

// A refusal has to find its way back to who sent the command.
func TestParseCommandKeepsTheWayBack(t *testing.T) {
	m := &gateway.Message{
		Payload:    []byte(`{"id":"a1","values":{"p":null}}`),
		Properties: &gateway.Properties{ResponseTopic: "reply/here", CorrelationData: []byte{7}},
	}
	got, err := ParseCommand("d", "", "set", m)
	want := gateway.Command{ID: "a1", Device: "d", Reply: "reply/here", Correl: []byte{7}}
	if err == nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v and an error", got, err, want)
	}
}

var results = []struct {
	result gateway.Result
	json   string
}{
	{
		gateway.Result{ID: "a1", Values: []gateway.Setting{{Point: "b", Value: gateway.Int(1)}, {Point: "a", Value: gateway.Float64(0.5)}}, State: gateway.StateDone, Time: noon},
		`{"id":"a1","values":{"b":1,"a":0.5},"state":"done","time":"2026-11-21T02:26:42.123Z"}`,
	},
	{
		gateway.Result{State: gateway.StateRejected, Error: `point "x" is not writable`, Time: noon},
		`{"state":"rejected","error":"point \"x\" is not writable","time":"2026-11-21T02:26:42.123Z"}`,
	},
	{
		gateway.Result{ID: "é", Values: []gateway.Setting{{Point: "b"}}, State: gateway.StateUnknown, Error: "e", Time: noon},
		`{"id":"é","values":{"b":null},"state":"unknown","error":"e","time":"2026-11-21T02:26:42.123Z"}`,
	},
}

func TestResult(t *testing.T) {
	for _, r := range results {
		if got := string(AppendResult(nil, &r.result)); got != r.json {
			t.Errorf("AppendResult:\n got %s\nwant %s", got, r.json)
		}
		want := r.result
		want.Time = noon.Truncate(time.Millisecond)
		if got, err := ParseResult([]byte(r.json)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseResult: got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestParseResultRefuses(t *testing.T) {
	for payload, want := range map[string]string{
		``:                              "parse result: JSON ends too early",
		`{}`:                            "state is missing",
		`{"state":"maybe"}`:             `unknown state "maybe"`,
		`{"state":"done","extra":1}`:    `unknown name "extra"`,
		`{"state":"done"} {}`:           "something follows",
		`{"state":"done","time":"now"}`: "not RFC 3339",
	} {
		if _, err := ParseResult([]byte(payload)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want %s", payload, err, want)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{`42`, `"x"`, `{"values":{"p":1.5,"q":true},"id":"a","expires":"2026-11-21T02:26:42Z"}`, `{"values":{"p":[`} {
		f.Add("p", []byte(s))
		f.Add("", []byte(s))
	}
	f.Fuzz(func(t *testing.T, point string, b []byte) {
		c, err := ParseCommand("d", point, "set", &gateway.Message{Payload: b})
		if err != nil {
			return
		}
		if len(c.Values) == 0 || len(c.Values) > MaxSettings || len(c.ID) > MaxID {
			t.Fatalf("got %d values, id of %d bytes", len(c.Values), len(c.ID))
		}
		for _, s := range c.Values {
			switch s.Value.Kind() {
			case gateway.KindBool, gateway.KindInt, gateway.KindUint, gateway.KindFloat64, gateway.KindString:
			default:
				t.Fatalf("value of kind %d", s.Value.Kind())
			}
		}
	})
}

func FuzzParseResult(f *testing.F) {
	for _, r := range results {
		f.Add([]byte(r.json))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResult(b)
		if err != nil {
			return
		}
		once := AppendResult(nil, &r)
		again, err := ParseResult(once)
		if err != nil {
			t.Fatalf("what AppendResult wrote: %v: %s", err, once)
		}
		if twice := AppendResult(nil, &again); string(twice) != string(once) {
			t.Fatalf("got %s, want %s", twice, once)
		}
	})
}
