package gateway_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/gateway"
)

func TestLatenessIsTheMedian(t *testing.T) {
	var l gateway.Lateness
	for i := range 3000 {
		l.Note(time.Duration(50+i%21) * time.Microsecond) // 50 to 70 us
	}
	if got := l.Usual(); got < 55*time.Microsecond || got > 65*time.Microsecond {
		t.Errorf("usually %v late, want about 60us", got)
	}
	for range 3000 {
		l.Note(time.Second)
	}
	if l.Usual() != gateway.MostLate {
		t.Errorf("always very late: %v, want %v", l.Usual(), gateway.MostLate)
	}
	for range 3000 {
		l.Note(0)
	}
	if l.Usual() != 0 {
		t.Errorf("always in time: %v", l.Usual())
	}
}
