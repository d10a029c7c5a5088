package payload

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/gateway"
)

func TestUpstreamAsPoints(t *testing.T) {
	rec := &gateway.Record{Seq: 4711, Body: meter(gateway.PublishDevice)}
	got := lines(UpstreamAs(rec, gateway.Topics{Base: "t"}, Sending{Form: FormPoints}))
	want := lines(Messages(meter(gateway.PublishPoints), Marks{Seq: 4711}))
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if rec.Body.(*gateway.Batch).Publish != gateway.PublishDevice {
		t.Error("the record was changed")
	}
}

func TestMarksAreSaid(t *testing.T) {
	rec := &gateway.Record{Seq: 7, ClockUnset: true, Body: &gateway.Batch{Topic: "t/d", Time: time.UnixMilli(0)}}
	got := string(UpstreamAs(rec, gateway.Topics{}, Sending{Backlog: true})[0].Payload)
	want := `{"time":"1970-01-01T00:00:00.000Z","clock":"unset","seq":7,"backlog":true,"quality":"bad","values":{}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(View(rec, 1, gateway.Topics{}).Payload); !strings.Contains(got, `"clock":"unset"`) || strings.Contains(got, "backlog") {
		t.Errorf("on the LAN: %s", got)
	}
}

// TestEnvelopeStaysUTF8: a payload that the parser takes for JSON may hold bytes that are no text.
func TestEnvelopeStaysUTF8(t *testing.T) {
	e := NewEnvelope("g", "s")
	e.Add(&gateway.Record{}, "a", &gateway.Message{Payload: []byte("\"\xff\"")}, false)
	if got := e.Take(); !utf8.Valid(got) || !strings.Contains(string(got), `"payload_base64":"Iv8i"`) {
		t.Errorf("got %q", got)
	}
}

func TestEnvelope(t *testing.T) {
	e := NewEnvelope(`hall"4`, "9f3c")
	if e.Take() != nil || e.Size() != 0 {
		t.Error("an empty envelope is not empty")
	}
	rec := &gateway.Record{Seq: 4711, Time: time.UnixMilli(1500)}
	late := &gateway.Record{Seq: 4712, Time: time.UnixMilli(2500), ClockUnset: true}
	e.Add(rec, "a/b", &gateway.Message{Payload: []byte(`{"x":1}`), Retain: true}, false)
	e.Add(late, "a/c", &gateway.Message{Payload: []byte("on")}, true)
	e.Add(late, "a/d", &gateway.Message{Payload: []byte{0xff, 0}}, false)
	size := e.Add(late, "a/e", &gateway.Message{}, false)
	if e.Len() != 4 {
		t.Errorf("Len is %d", e.Len())
	}
	got := e.Take()
	want := `{"gateway":"hall\"4","store":"9f3c","records":[` +
		`{"seq":4711,"time":"1970-01-01T00:00:01.500Z","retain":true,"topic":"a/b","payload":{"x":1}},` +
		`{"seq":4712,"time":"1970-01-01T00:00:02.500Z","clock":"unset","backlog":true,"topic":"a/c","payload":"on"},` +
		`{"seq":4712,"time":"1970-01-01T00:00:02.500Z","clock":"unset","topic":"a/d","payload_base64":"/wA="},` +
		`{"seq":4712,"time":"1970-01-01T00:00:02.500Z","clock":"unset","topic":"a/e","payload":""}]}`
	if string(got) != want || !json.Valid(got) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if size != len(got) {
		t.Errorf("Add said %d bytes, there are %d", size, len(got))
	}
	e.Add(rec, "a", &gateway.Message{Payload: []byte("1")}, false)
	if next := string(e.Take()); !strings.HasSuffix(next, `"topic":"a","payload":1}]}`) || strings.Count(next, "seq") != 1 {
		t.Errorf("the second envelope is %s", next)
	}
}
