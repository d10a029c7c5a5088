package app

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/gateway"
)

// statusBench is a gateway whose snapshots a test sets.
type statusBench struct {
	buffer gateway.BufferStats
	buses  []gateway.BusStats
	maker  *statusMaker
	now    time.Time
}

func newStatusBench(endurance int64) *statusBench {
	b := &statusBench{now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	b.maker = newStatusMaker(statusSources{
		version: "1.2.3", store: "9f3c", endurance: endurance,
		buffer: func() gateway.BufferStats { return b.buffer },
		broker: func() gateway.BrokerStats { return gateway.BrokerStats{Connections: 2} },
		bridges: func() []gateway.BridgeStats {
			return []gateway.BridgeStats{{Name: "cloud", Connected: true, Epoch: 17}}
		},
		buses:     func() []gateway.BusStats { return b.buses },
		clockSet:  func() bool { return true },
		upstreams: []statusQueues{{"cloud", []string{"upstream/cloud", "upstream/cloud/high"}}},
	}, b.now)
	return b
}

func (b *statusBench) after(d time.Duration) Status {
	b.now = b.now.Add(d)
	return b.maker.make(b.now)
}

func TestStatusSumsUpItsUpstreams(t *testing.T) {
	b := newStatusBench(0)
	b.buffer.Queues = []gateway.QueueStats{
		{Name: "upstream/cloud", Depth: 3, Oldest: b.now.Add(-time.Minute)},
		{Name: "upstream/cloud/high", Depth: 4},
		{Name: "session/x", Depth: 100, Oldest: b.now.Add(-time.Hour)},
	}
	got := b.after(10 * time.Second)
	want := []StatusUpstream{{Name: "cloud", Connected: true, Epoch: 17, Records: 7}}
	if diff := cmp.Diff(want, got.Upstreams); diff != "" {
		t.Error(diff)
	}
	if got.Buffer.Records != 7 || got.Buffer.Oldest != 70 || got.Uptime != 10 || got.Clock != "set" || got.Clients != 2 {
		t.Errorf("got %+v", got)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
}

func TestStatusProjectsTheRoomThatIsLeft(t *testing.T) {
	b := newStatusBench(0)
	b.buffer.MaxBytes = 1_000_000
	b.buffer.Queues = []gateway.QueueStats{{Name: "upstream/cloud", Depth: 1, Bytes: 1000}}
	if got := b.after(10 * time.Second).Buffer.HoursLeft; got != nil {
		t.Errorf("hours left are known from one look: %v", *got)
	}
	for range 100 { // 100 bytes a second
		b.buffer.Queues[0].Bytes += 1000
		b.after(10 * time.Second)
	}
	b.buffer.Queues[0].Bytes += 1000
	got := b.after(10 * time.Second).Buffer.HoursLeft
	if got == nil || *got < 2.4 || *got > 2.6 { // (1,000,000 - 102,000) bytes / 100 bytes/s
		t.Errorf("hours left are %v, want about 2.5", got)
	}
	for range 60 {
		b.buffer.Queues[0].Bytes -= 1000
		b.after(10 * time.Second)
	}
	if got := b.after(10 * time.Second).Buffer.HoursLeft; got != nil {
		t.Errorf("hours left are %v while the backlog shrinks", *got)
	}
}

func TestStatusProjectsTheCard(t *testing.T) {
	b := newStatusBench(1_000_000_000)
	b.buffer.WearSince, b.buffer.WearBytes = b.now, 1_000_000
	if got := b.after(time.Hour).Buffer.CardYears; got != nil {
		t.Errorf("a projection from one hour: %v", *got)
	}
	got := b.after(47 * time.Hour).Buffer.CardYears // 2 days for a thousandth
	if got == nil || *got != 5.5 {
		t.Errorf("got %v, want 5.5 years", got)
	}
}

func TestStatusTellsWhoIsBehind(t *testing.T) {
	b := newStatusBench(0)
	b.buses = []gateway.BusStats{{Name: "line", Missed: 7, Devices: []gateway.DeviceStats{
		{Name: "meter", Online: true, Wanted: 1, Achieved: 0.70004, Behind: true},
		{Name: "pump", Online: true, Wanted: 0.1, Achieved: 0.1},
		{Name: "dead", Wanted: 1},
	}}}
	want := []StatusBus{{
		Name: "line", Online: 2, Devices: 3, Wanted: 2.1, Achieved: 0.8, Missed: 7, Behind: []StatusDevice{{"meter", 1, 0.7}},
	}}
	if diff := cmp.Diff(want, b.after(10*time.Second).Buses); diff != "" {
		t.Error(diff)
	}
}

func TestStatusLoadIsOfTheInterval(t *testing.T) {
	b := newStatusBench(0)
	b.buses = []gateway.BusStats{{Name: "line", Open: true, Busy: 5 * time.Second, Devices: []gateway.DeviceStats{{Online: true}, {}}}}
	b.after(10 * time.Second)
	b.buses[0].Busy += time.Second
	want := []StatusBus{{Name: "line", Open: true, Load: 0.1, Online: 1, Devices: 2}}
	if diff := cmp.Diff(want, b.after(10*time.Second).Buses); diff != "" {
		t.Error(diff)
	}
}
