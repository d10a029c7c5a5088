package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// valuePoints are points of the kinds of value that a single register of the plain sort is not.
const valuePoints = `
[[bus]]
name = "plant"
transport = "tcp"
endpoint = %q
[[device]]
name = "pump"
bus = "plant"
unit_id = 1
interval = "20ms"
[[device.point]]
name = "serial"
address = "holding:0"
type = "string"
length = 3
[[device.point]]
name = "count"
address = "holding:3"
type = "bcd32"
[[device.point]]
name = "ratio"
address = "holding:5"
type = "float16"
writable = true
[[device.point]]
name = "running"
address = "holding:6"
bit = 0
writable = true
[[device.point]]
name = "step"
address = "holding:6"
bits = "8-11"
writable = true
[[device.point]]
name = "mode"
address = "holding:7"
type = "uint16"
enum = { 0 = "off", 1 = "auto", 2 = "manual" }
writable = true
[[device.point]]
name = "level"
address = "holding:8"
type = "int16"
scale = 0.1
invalid = [0x8000]
[[device]]
name = "quiet"
bus = "plant"
unit_id = 2
interval = "20ms"
[[device.point]]
name = "temperature"
address = "holding:0"
type = "int16"
deadband = 5
heartbeat = "1s"
`

// deviceState is the message of a device.
type deviceState struct {
	Time   time.Time
	Values map[string]any
	Bad    map[string]string
}

// viewer reads the messages of a gateway.
type viewer struct {
	t *testing.T
	*client.Client
}

// patient bounds the waits of a viewer, to find out that nothing comes.
const patient = 30 * time.Second

func (v viewer) publish(topic, payload string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), patient)
	defer cancel()
	if err := v.Publish(ctx, &packet.Publish{QoS: 1, Topic: []byte(topic), Payload: []byte(payload)}); err != nil {
		v.t.Fatal(err)
	}
}

// until returns the payload of the first message on a topic that is as wanted.
func (v viewer) until(what, topic string, wanted func(payload []byte) bool) []byte {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), patient)
	defer cancel()
	for last := "nothing"; ; {
		m, err := v.Receive(ctx)
		if err != nil {
			v.t.Fatalf("%s: %v; the last on %s was %s", what, err, topic, last)
		}
		if string(m.Topic) != topic {
			continue
		}
		if wanted(m.Payload) {
			return m.Payload
		}
		last = string(m.Payload)
	}
}

// state waits until a device's message has these values and these reasons, as JSON.
func (v viewer) state(topic, values, bad string) {
	v.t.Helper()
	v.until("values "+values+" and bad "+bad, topic, func(payload []byte) bool {
		var s deviceState
		if err := json.Unmarshal(payload, &s); err != nil {
			v.t.Fatal(err)
		}
		gotValues, err1 := json.Marshal(s.Values) // sorted by name
		gotBad, err2 := json.Marshal(s.Bad)
		return err1 == nil && err2 == nil && string(gotValues) == values && string(gotBad) == bad
	})
}

// startViewed runs a gateway over the devices of valuePoints.
func startViewed(t *testing.T, units map[byte]*sim.Unit) (v viewer, base string) {
	t.Helper()
	where := simtest.TCP(t, units, sim.ServerOptions{}).Address
	a, err := open(t, t.TempDir(), minimal+fmt.Sprintf(valuePoints, where))
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	c, err := client.Dial(ctx, client.Options{
		URL: "mqtt://" + a.BrokerAddrs()[0].String(), Inbox: 4096, Connect: packet.Connect{ClientID: "viewer", CleanStart: true, KeepAlive: 60},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.Subscribe(ctx, packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: a.BaseTopic() + "/#", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	return viewer{t, c}, a.BaseTopic()
}

func unitWith(t *testing.T, registers ...uint16) *sim.Unit {
	t.Helper()
	u := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: len(registers)}}})
	if err := u.Set(sim.HoldingRegisters, 0, registers...); err != nil {
		t.Fatal(err)
	}
	return u
}

// Values of every kind go from registers to an MQTT client, and commands back, through a whole gateway.
func TestValuesEndToEnd(t *testing.T) {
	pump := unitWith(t, 0x504D, 0x2D37, 0x0000, 0x1234, 0x5678, 0x3E00, 0xF3F0, 1, 0x00D7)
	v, base := startViewed(t, map[byte]*sim.Unit{1: pump, 2: unitWith(t, 100)})
	topic := base + "/pump"
	v.state(topic, `{"count":12345678,"level":21.5,"mode":"auto","ratio":1.5,"running":false,"serial":"PM-7","step":3}`, "null")
	if err := pump.Set(sim.HoldingRegisters, 7, 9, 0x8000); err != nil { // a mode without a name, and no level
		t.Fatal(err)
	}
	v.state(topic, `{"count":12345678,"level":null,"mode":"9","ratio":1.5,"running":false,"serial":"PM-7","step":3}`, `{"level":"sentinel"}`)
	for _, tc := range []struct {
		values, state, said string
		register, content   uint16
	}{
		{`{"running":true}`, "done", `"running":true`, 6, 0xF3F1}, // the bits around it stay
		{`{"step":10}`, "done", `"step":10`, 6, 0xFAF1},
		{`{"mode":"manual"}`, "done", `"mode":"manual"`, 7, 2},
		{`{"mode":1}`, "done", `"mode":"auto"`, 7, 1}, // the number of a name
		{`{"mode":3}`, "rejected", "3 is none of off (0), auto (1), manual (2)", 7, 1},
		{`{"mode":"turbo"}`, "rejected", "turbo is none of off (0), auto (1), manual (2)", 7, 1},
		{`{"step":16}`, "rejected", "outside the range of the register: 0 to 15", 6, 0xFAF1},
		{`{"ratio":0.25}`, "done", `"ratio":0.25`, 5, 0x3400},
	} {
		v.publish(topic+"/set", `{"values":`+tc.values+`}`)
		result := string(v.until("a result", topic+"/result", func([]byte) bool { return true }))
		if !strings.Contains(result, `"state":"`+tc.state+`"`) || !strings.Contains(result, tc.said) {
			t.Errorf("set %s: %s, want %s with %s", tc.values, result, tc.state, tc.said)
		}
		if cells, err := pump.Get(sim.HoldingRegisters, tc.register, 1); err != nil || cells[0] != tc.content {
			t.Errorf("set %s: register %d has %04x, %v, want %04x", tc.values, tc.register, cells, err, tc.content)
		}
	}
	v.state(topic, `{"count":12345678,"level":null,"mode":"auto","ratio":0.25,"running":true,"serial":"PM-7","step":10}`, `{"level":"sentinel"}`)
}

// What hardly moves is published when it has left the band, and otherwise not before its heartbeat is due.
func TestDeadbandEndToEnd(t *testing.T) {
	quiet := unitWith(t, 100)
	v, base := startViewed(t, map[byte]*sim.Unit{1: unitWith(t, make([]uint16, 9)...), 2: quiet})
	last := v.temperature(base, 100)
	for _, next := range []float64{103, 109, 104, 95} {
		if err := quiet.Set(sim.HoldingRegisters, 0, uint16(next)); err != nil {
			t.Fatal(err)
		}
		m := v.temperature(base, next)
		if d := m.Time.Sub(last.Time); math.Abs(next-last.Values["temperature"].(float64)) <= 5 && d < 990*time.Millisecond {
			t.Errorf("%v was published %v after %v: it is within the band, and the heartbeat is 1 s", next, d, last.Values)
		}
		last = m
	}
}

// temperature waits for the message with this value. Those before it, with the value before, are of the heartbeat.
func (v viewer) temperature(base string, want float64) (s deviceState) {
	v.t.Helper()
	v.until(fmt.Sprintf("the value %v", want), base+"/quiet", func(payload []byte) bool {
		s = deviceState{}
		if err := json.Unmarshal(payload, &s); err != nil {
			v.t.Fatal(err)
		}
		return s.Values["temperature"] == want
	})
	return s
}
