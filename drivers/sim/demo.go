package sim

import (
	"math"
	"time"
)

// Demo returns the devices of the demo, whose registers configs/demo.toml names: on TCP a meter as unit 1 and a tank as unit 2,
// on the serial line a drive as unit 1 and a meter with swapped words as unit 2. They move by the clock now; nil is time.Now.
func Demo(now func() time.Time) (tcp, rtu map[byte]*Unit) {
	tcp = map[byte]*Unit{1: NewMeter(now, HighWordFirst), 2: NewTank(now)}
	rtu = map[byte]*Unit{1: NewDrive(now), 2: NewMeter(now, LowWordFirst)}
	return tcp, rtu
}

// Units returns a device for each unit id: a meter, a tank, a drive, and over again. They move by the clock now; nil is time.Now.
func Units(now func() time.Time, ids ...byte) map[byte]*Unit {
	units := make(map[byte]*Unit, len(ids))
	for i, id := range ids {
		switch i % 3 {
		case 0:
			units[id] = NewMeter(now, HighWordFirst)
		case 1:
			units[id] = NewTank(now)
		case 2:
			units[id] = NewDrive(now)
		}
	}
	return units
}

// wave is a sine: an amplitude in the unit of what it is added to, a period in seconds and a phase in radians.
type wave struct{ amplitude, period, phase float64 }

func (w wave) omega() float64 { return 2 * math.Pi / w.period }

// at returns the wave's value t seconds after the start.
func (w wave) at(t float64) float64 { return w.amplitude * math.Sin(w.omega()*t+w.phase) }

// integral returns the area under the wave from 0 to t, in its unit times seconds.
func (w wave) integral(t float64) float64 {
	return w.amplitude / w.omega() * (math.Cos(w.phase) - math.Cos(w.omega()*t+w.phase))
}

// tenths gives a value as the register that holds its tenfold.
func tenths(v float64) uint16 { return signed(10 * v) }

// signed rounds to an int16 in two's complement and stops at its limits.
func signed(v float64) uint16 {
	return uint16(int16(math.Round(min(max(v, math.MinInt16), math.MaxInt16))))
}
