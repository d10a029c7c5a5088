package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/localbroker"
)

func TestRoutesShareALaneByPriorityAndOrder(t *testing.T) {
	u := config.Upstream{LiveShare: 70, Routes: []config.Route{
		{Direction: config.DirectionOut, LocalPrefix: "a/", Filter: "alarm/#", Priority: config.PriorityHigh},
		{Direction: config.DirectionIn, Filter: "orders/#"},
		{Direction: config.DirectionOut, Filter: "b/#"},
		{Direction: config.DirectionBoth, Filter: "c/#", Priority: config.PriorityHigh},
		{Direction: config.DirectionOut, Filter: "d/#", Priority: config.PriorityLow, Order: config.OrderLiveFirst},
	}}
	lanes := lanesOf(u, []string{"low", "high"})
	want := []lane{
		{name: "", filters: []string{"b/#"}, ranks: []int{2}},
		{name: "high", filters: []string{"a/alarm/#", "c/#"}, ranks: []int{0, 3}},
		{name: "low-live", filters: []string{"d/#"}, ranks: []int{4}},
		{name: "low"}, // has something left, though no route fills it any more
	}
	if diff := cmp.Diff(want, lanes, cmp.AllowUnexported(lane{})); diff != "" {
		t.Fatal(diff)
	}
	type drained struct {
		priority bridge.Priority
		share    int
	}
	var got []drained
	for _, l := range lanes {
		got = append(got, drained{l.priority(), l.share(u)})
	}
	if diff := cmp.Diff([]drained{{bridge.PriorityNormal, 0}, {bridge.PriorityHigh, 0}, {bridge.PriorityLow, 70}, {bridge.PriorityLow, 0}},
		got, cmp.AllowUnexported(drained{})); diff != "" {
		t.Error(diff)
	}
	out, in := (&App{}).routes(u, lanes)
	var of []int
	for _, r := range out {
		of = append(of, r.Lane)
	}
	if diff := cmp.Diff([]int{1, 0, 1, 2}, of); diff != "" || len(in) != 2 {
		t.Errorf("lanes of the outward routes (-want +got):\n%s%d inward routes, want 2", diff, len(in))
	}
}

// TestWhatIsNeverQueuedUpstream: a late state is wrong, and a command would come back.
func TestWhatIsNeverQueuedUpstream(t *testing.T) {
	a := &App{topics: gateway.Topics{Base: "t/g"}}
	got := a.laneSubscription(config.Upstream{Name: "cloud"}, lane{filters: []string{"#"}, ranks: []int{0}}, 7)
	want := localbroker.QueueSub{
		Queue: 7, Owner: "cloud", Filters: []string{"#"}, Ranks: []int{0},
		Exclude: []string{"t/g/+/+/set", "t/g/+/set", "t/g/+/get", "t/g/gateway/state", "t/g/gateway/upstream/+/state", "t/g/gateway/status"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
