package modbus

import "testing"

func TestUnbeatable(t *testing.T) {
	for _, tc := range []struct {
		name   string
		points []string
		want   bool
	}{
		{"NoPoint", nil, true},
		{"Adjacent", []string{"holding:7 uint16", "holding:8 float32", "holding:10 uint16"}, true},
		{"Overlapping", []string{"holding:7 float32", "holding:8 uint16", "holding:9 uint16"}, true},
		{"TwoTables", []string{"holding:7 uint16", "input:9 uint16"}, true},
		{"AGapReadAlong", []string{"holding:7 uint16", "holding:9 uint16"}, false},
		{"AGapLeftOut", []string{"holding:7 uint16", "holding:107 uint16"}, false},
		{"TooManyForOneRequest", []string{"holding:0 uint16", "holding:1 float64", "holding:5 float64"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			points := at(t, tc.points...)
			which := make([]int, len(points))
			for i := range which {
				which[i] = i
			}
			p := planner{points: points, limits: limits{gap: 10, count: 5}, cost: slow().cost(0, 0)}
			blocks := p.plan(which)
			if got := unbeatable(blocks, points); got != tc.want {
				t.Errorf("%s: %v, want %v", show(blocks), got, tc.want)
			}
		})
	}
}
