package payload

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

func reading(v gateway.Value) gateway.Reading {
	return gateway.Reading{Value: v, Quality: gateway.QualityGood, Time: noon}
}

func meter(mode gateway.PublishMode) *gateway.Batch {
	return &gateway.Batch{
		Topic: "t/meter", Publish: mode, Time: noon,
		Names: []string{"voltage_l1", "x", "on", "name", "serial", "empty", "old", "nan"},
		Readings: []gateway.Reading{
			reading(gateway.Float32(230.1)),
			{Value: gateway.Int(1), Reason: gateway.ReasonTimeout},
			reading(gateway.Bool(true)),
			reading(gateway.String(`a "b" <c>`)),
			reading(gateway.Bytes([]byte{1, 2})),
			reading(gateway.String("")),
			{Value: gateway.Int(7), Quality: gateway.QualityStale},
			reading(gateway.Float64(math.NaN())),
		},
	}
}

const meterJSON = `{"time":"2026-11-21T02:26:42.123Z","seq":4711,"quality":"good",` +
	`"values":{"voltage_l1":230.1,"x":null,"on":true,"name":"a \"b\" <c>","serial":"AQI=","empty":"","old":7,"nan":null},` +
	`"bad":{"x":"timeout"},"stale":["old"]}`

func lines(list []*gateway.Message) []string {
	var text []string
	for _, m := range list {
		text = append(text, fmt.Sprintf("%s %d %t %s", m.Topic, m.QoS, m.Retain, m.Payload))
	}
	return text
}

func TestMessages(t *testing.T) {
	device := "t/meter 1 true " + meterJSON
	perPoint := []string{
		"t/meter/voltage_l1 1 true 230.1",
		"t/meter/on 1 true true",
		`t/meter/name 1 true a "b" <c>`,
		"t/meter/serial 1 true AQI=",
	}
	for mode, want := range map[gateway.PublishMode][]string{
		gateway.PublishDevice: {device},
		gateway.PublishPoints: perPoint,
		gateway.PublishBoth:   append([]string{device}, perPoint...),
	} {
		got := lines(Messages(meter(mode), Marks{Seq: 4711}))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("publish mode %d:\n got %q\nwant %q", mode, got, want)
		}
	}
}

func TestBatchJSON(t *testing.T) {
	bad := gateway.Reading{Reason: gateway.ReasonCRC}
	for name, c := range map[string]struct {
		batch gateway.Batch
		want  string
	}{
		"no points": {
			gateway.Batch{Time: noon},
			`{"time":"2026-11-21T02:26:42.123Z","seq":0,"quality":"bad","values":{}}`,
		},
		"all good, in another zone, without milliseconds": {
			gateway.Batch{Time: noon.Truncate(time.Second).In(time.FixedZone("east", 3600)), Names: []string{"a"}, Readings: []gateway.Reading{reading(gateway.Int(1))}},
			`{"time":"2026-11-21T02:26:42.000Z","seq":0,"quality":"good","values":{"a":1}}`,
		},
		"all bad, one never read": {
			gateway.Batch{Time: noon, Names: []string{"a", "b"}, Readings: []gateway.Reading{bad, {}}},
			`{"time":"2026-11-21T02:26:42.123Z","seq":0,"quality":"bad","values":{"a":null,"b":null},"bad":{"a":"crc","b":"not read"}}`,
		},
		"best is stale": {
			gateway.Batch{Time: noon, Names: []string{"a", "b", "c"}, Readings: []gateway.Reading{bad, {Quality: gateway.QualityStale, Value: gateway.Int(1)}, {Quality: gateway.QualityStale}}},
			`{"time":"2026-11-21T02:26:42.123Z","seq":0,"quality":"stale","values":{"a":null,"b":1,"c":null},"bad":{"a":"crc"},"stale":["b","c"]}`,
		},
	} {
		if got := string(AppendBatch(nil, &c.batch, Marks{})); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestViewIsOneOfMessages(t *testing.T) {
	topics := gateway.Topics{Base: "t"}
	for _, mode := range []gateway.PublishMode{gateway.PublishDevice, gateway.PublishPoints, gateway.PublishBoth} {
		rec := &gateway.Record{Seq: 4711, Body: meter(mode)}
		all := Messages(meter(mode), Marks{Seq: 4711})
		for i, want := range all {
			if got := View(rec, uint16(i+1), topics); !reflect.DeepEqual(got, want) {
				t.Errorf("mode %d, view %d: got %+v, want %+v", mode, i+1, got, want)
			}
		}
		if got := View(rec, uint16(len(all)+1), topics); got != nil {
			t.Errorf("mode %d: got %+v beyond the last view", mode, got)
		}
		if got := View(rec, 0, topics); !reflect.DeepEqual(got, all[0]) {
			t.Errorf("mode %d, view 0: got %+v, want the first", mode, got)
		}
	}
}

func TestUpstream(t *testing.T) {
	topics := gateway.Topics{Base: "t"}
	m := &gateway.Message{Topic: "a", Payload: []byte("x"), QoS: 2}
	if got := Upstream(&gateway.Record{Body: m}, topics); len(got) != 1 || got[0] != m {
		t.Errorf("message: got %+v, want itself", got)
	}
	if got := lines(Upstream(&gateway.Record{Seq: 4711, Body: meter(gateway.PublishDevice)}, topics)); got[0] != "t/meter 1 true "+meterJSON {
		t.Errorf("batch: got %q", got)
	}
	want := []string{`t/gateway/gap 1 false {"queue":"cloud","from":17,"to":42,"count":20,"reason":"size","time":"2026-11-21T02:26:43.123Z"}`}
	if got := lines(Upstream(gapRecord(), topics)); !reflect.DeepEqual(got, want) {
		t.Errorf("gap:\n got %q\nwant %q", got, want)
	}
	if got := Upstream(&gateway.Record{}, topics); got != nil {
		t.Errorf("no body: got %+v", got)
	}
}

func TestAppendState(t *testing.T) {
	for _, c := range []struct {
		online bool
		reason string
		want   string
	}{
		{true, "", `{"state":"online","epoch":17,"time":"2026-11-21T02:26:42.123Z"}`},
		{false, "connection lost", `{"state":"offline","epoch":17,"time":"2026-11-21T02:26:42.123Z","reason":"connection lost"}`},
	} {
		if got := string(AppendState(nil, c.online, 17, noon, c.reason)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func BenchmarkMessages(b *testing.B) {
	const points = 100
	batch := &gateway.Batch{Topic: "tidegate/gw/meter", Time: noon}
	for i := range points {
		batch.Names = append(batch.Names, fmt.Sprintf("point_%d", i))
		batch.Readings = append(batch.Readings, reading(gateway.Float32(230.1+float32(i)/10)))
	}
	for name, mode := range map[string]gateway.PublishMode{"device": gateway.PublishDevice, "points": gateway.PublishPoints} {
		b.Run(name, func(b *testing.B) {
			batch.Publish = mode
			b.ReportAllocs()
			for b.Loop() {
				Messages(batch, Marks{Seq: 4711})
			}
			b.ReportMetric(float64(points)*float64(b.N)/b.Elapsed().Seconds(), "points/s")
		})
	}
}
