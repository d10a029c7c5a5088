package modbus

import (
	"fmt"
	"testing"
	"time"
)

// The groups of a device are in the order of their intervals, also where an int has 32 bits and a few seconds do not fit.
func TestGroupsAreInTheOrderOfTheirIntervals(t *testing.T) {
	var d Device
	for _, interval := range []time.Duration{4 * time.Second, time.Second, time.Hour, 0, 100 * time.Millisecond, 24 * time.Hour} {
		d.Points = append(d.Points, Point{Interval: interval})
	}
	d.Interval = 10 * time.Second
	var got []time.Duration
	for _, g := range newGroups(d) {
		got = append(got, g.interval)
	}
	if s := fmt.Sprint(got); s != "[100ms 1s 4s 10s 1h0m0s 24h0m0s]" {
		t.Errorf("groups of %s", s)
	}
}
