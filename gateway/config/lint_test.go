package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

func profiles() []Profile {
	var list []Profile
	for i := range Profile(0).names() {
		list = append(list, Profile(i))
	}
	return list
}

// What a profile cannot take must not come out of its own defaults: a person who names nothing but the profile gets no error about
// a number.
func TestDefaultsKeepToTheCeilings(t *testing.T) {
	for _, p := range profiles() {
		text := fmt.Sprintf(`
upstream = [{ name = "c", servers = ["mqtts://h.example.com"], profile = %q, username = "u", client_id = "d",
route = [{ direction = "out", filter = "#", remote_prefix = %q }] }]`, p, p.Ceilings().Home("d"))
		u := mustParse(t, text).Upstreams[0]
		most := u.Ceilings
		if most.MaxQoS < 1 || most.MaxQoS > 2 {
			t.Errorf("%v: MaxQoS is %d", p, most.MaxQoS)
		}
		if p != ProfileGeneric && !most.NeedsTLS && !most.NeedsLogin {
			t.Errorf("%v asks for nothing", p)
		}
		if most.MaxInflight > 0 && u.MaxInflight > most.MaxInflight {
			t.Errorf("%v: max_inflight is %d, above %d", p, u.MaxInflight, most.MaxInflight)
		}
		if most.Messages > 0 && (u.Rate.Messages <= 0 || u.Rate.Messages > most.Messages) {
			t.Errorf("%v: rate.messages is %v, the ceiling %v", p, u.Rate.Messages, most.Messages)
		}
		if u.Rate.Bytes != most.Bytes {
			t.Errorf("%v: rate.bytes is %v, the ceiling %v", p, u.Rate.Bytes, most.Bytes)
		}
		if u.KeepAlive < most.MinKeepAlive || most.MaxKeepAlive > 0 && u.KeepAlive > most.MaxKeepAlive {
			t.Errorf("%v: keepalive is %v", p, u.KeepAlive)
		}
	}
}

func TestBatchesKeepToTheProfile(t *testing.T) {
	cfg := mustParse(t, `
[[upstream]]
name = "c"
servers = ["mqtts://h.example.com"]
profile = "tencent"
username = "u"
[[upstream.route]]
direction = "out"
filter = "a/#"
payload = "batch"
`)
	if got := cfg.Upstreams[0].Routes[0].Batch.MaxBytes; got != 16*KiB {
		t.Errorf("max_bytes is %v", got)
	}
}

func TestHome(t *testing.T) {
	if got := ProfileAzureIoTHub.Ceilings().Home("d1"); got != "devices/d1/messages/events/" {
		t.Errorf("got %q", got)
	}
	if got := ProfileGeneric.Ceilings().Home("d1"); got != "" {
		t.Errorf("got %q", got)
	}
}

// The sizes that messages call "about" must be near those of real messages.
func TestEstimatedSizesAreNearRealOnes(t *testing.T) {
	for _, points := range []int{1, 10, 100} {
		d := Device{Name: "meter"}
		b := &gateway.Batch{Topic: "tidegate/plant1/meter", Time: time.Unix(1e9, 5e8)}
		for i := range points {
			name := fmt.Sprintf("voltage_l%d", i)
			d.Points = append(d.Points, Point{Name: name})
			b.Names = append(b.Names, name)
			b.Readings = append(b.Readings, gateway.Reading{Value: gateway.Float32(230.1 + float32(i)), Quality: gateway.QualityGood})
		}
		rec := &gateway.Record{Seq: 123456, Time: b.Time, Body: b}
		m := payload.Upstream(rec, gateway.Topics{Base: "tidegate/plant1"})[0]
		near(t, fmt.Sprintf("a device of %d points", points), d.bytes(), len(m.Payload))

		o := offer{entries: 1, bytes: float64(len(m.Topic) + len(m.Payload))}
		e := payload.NewEnvelope("plant1", "0123456789abcdef")
		first := e.Add(rec, m.Topic, m, false)
		_, bytes := o.batched(Batch{MaxRecords: 1, MaxBytes: MiB})
		near(t, fmt.Sprintf("its record of %d points in a batch", points), int(bytes), e.Add(rec, m.Topic, m, false)-first)
	}
}

func near(t *testing.T, what string, estimated, real int) {
	t.Helper()
	if estimated < real*3/4 || estimated > real*3/2 {
		t.Errorf("%s: estimated %d bytes, has %d", what, estimated, real)
	}
}

func TestBatched(t *testing.T) {
	for _, tt := range []struct {
		name     string
		offer    offer
		batch    Batch
		messages float64
	}{
		{"nothing", offer{}, Batch{MaxRecords: 1, MaxBytes: KiB, Linger: time.Second}, 0},
		{"linger ends them", offer{100, 10000}, Batch{MaxRecords: 500, MaxBytes: 64 * KiB, Linger: time.Second}, 1},
		{"count ends them", offer{100, 10000}, Batch{MaxRecords: 10, MaxBytes: 64 * KiB, Linger: time.Second}, 10},
		{"bytes end them", offer{100, 100*1024 - 7500}, Batch{MaxRecords: 500, MaxBytes: 10 * KiB, Linger: time.Second}, 10},
		{"fewer records than lingers", offer{0.1, 10}, Batch{MaxRecords: 500, MaxBytes: 64 * KiB, Linger: time.Second}, 0.1},
		{"no linger", offer{100, 10000}, Batch{MaxRecords: 500, MaxBytes: 64 * KiB}, 100},
	} {
		if got, _ := tt.offer.batched(tt.batch); got != tt.messages {
			t.Errorf("%s: %v messages/s, want %v", tt.name, got, tt.messages)
		}
	}
}

// offered parses devices and routes, and returns messages in a second as the linter counts them.
func offered(t *testing.T, routes string) float64 {
	t.Helper()
	cfg := mustParse(t, `
gateway.id = "g"
[[bus]]
name = "b"
transport = "tcp"
endpoint = "10.0.0.5:502"
[[device]]
name = "d"
bus = "b"
unit_id = 1
interval = "500ms"
point = [{ name = "p", address = "input:0", type = "int16" }, { name = "q", address = "input:1", type = "int16" }]
[[device]]
name = "e"
bus = "b"
unit_id = 2
publish = "both"
point = [{ name = "p", address = "input:0", type = "int16" }, { name = "q", address = "input:1", type = "int16" }]
[[upstream]]
name = "c"
servers = ["mqtts://h.example.com"]
`+routes)
	c := &checker{cfg: cfg, out: &report{src: cfg.src, failed: map[string]bool{}}}
	sum := 0.0
	for _, o := range c.offers(cfg.Upstreams[0]) {
		sum += o.entries
	}
	return sum
}

// d gives 2 polls/s of one message, e 1 poll/s of one message and two points.
func TestOffers(t *testing.T) {
	route := func(keys ...string) string {
		return "[[upstream.route]]\ndirection = \"out\"\n" + strings.Join(keys, "\n") + "\n"
	}
	for _, tt := range []struct {
		name, routes string
		want         float64
	}{
		{"no route", "", 0},
		{"devices", route(`filter = "tidegate/g/+"`), 3},
		{"everything", route(`filter = "#"`), 5},
		{"one device", route(`filter = "tidegate/g/d"`), 2},
		{"points of devices", route(`filter = "tidegate/g/+"`, `payload = "points"`), 4},
		{"all as points", route(`filter = "tidegate/g/#"`, `payload = "points"`), 6},
		{"behind a prefix", route(`filter = "+"`, `local_prefix = "tidegate/g/"`, `remote_prefix = "x/"`), 3},
		{"another prefix", route(`filter = "+"`, `local_prefix = "tidegate/h/"`), 0},
		{"the first route takes it", route(`filter = "tidegate/g/d"`, `payload = "points"`) + route(`filter = "tidegate/g/+"`), 5},
		{"in", strings.Replace(route(`filter = "tidegate/g/+"`), `"out"`, `"in"`, 1), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := offered(t, tt.routes); got != tt.want {
				t.Errorf("%v messages/s, want %v", got, tt.want)
			}
		})
	}
}
