package sim

import (
	"math"
	"time"
)

// Addresses of the tank.
const (
	tankLevel       = 0 // input, uint16, tenths of %
	tankTemperature = 1 // input, int16, tenths of a degree Celsius
	tankSetpoint    = 0 // holding, uint16, tenths of %
	tankValve       = 0 // coil
	tankHighAlarm   = 0 // discrete
	tankLowAlarm    = 1 // discrete
)

const (
	tankFilling     = 20.0 // s, time constant of the level with the valve open
	tankDrain       = 0.1  // % per second that are taken out with the valve closed
	tankHigh        = 90.0 // %
	tankLow         = 10.0 // %
	tankMaxSetpoint = 1000
)

var (
	tankRipple  = wave{amplitude: 0.3, period: 17} // % of level, as long as water flows in
	tankWarming = wave{amplitude: 3, period: 300}  // degrees Celsius
	tankMean    = 21.5                             // degrees Celsius
)

// tank is a water tank: its level goes to the setpoint while the valve is open and sinks while it is closed.
type tank struct {
	level float64 // %
	last  time.Duration
}

// NewTank makes a tank: level [% x 10] at input:0, temperature [degC x 10, signed] at input:1, setpoint [% x 10, 0 to 1000, else exception 3]
// at holding:0, the valve at coil:0, high alarm (level above 90 %) at discrete:0 and low alarm (below 10 %) at discrete:1.
// It begins with the valve open, at 42 % on its way to 60 %. It moves by the clock now; nil is time.Now.
func NewTank(now func() time.Time) *Unit {
	u := newUnit(Layout{
		Coils:            []Range{{First: 0, Count: 1}},
		DiscreteInputs:   []Range{{First: 0, Count: 2}},
		HoldingRegisters: []Range{{First: 0, Count: 1}},
		InputRegisters:   []Range{{First: 0, Count: 2}},
		Accept: func(t Table, _, value uint16) bool {
			return t != HoldingRegisters || value <= tankMaxSetpoint
		},
	}, &tank{level: 42}, now)
	mustSet(u.bank, HoldingRegisters, tankSetpoint, 600)
	mustSet(u.bank, Coils, tankValve, 1)
	return u
}

func (k *tank) advance(b *Bank, elapsed time.Duration) {
	step := elapsed - k.last
	k.last = elapsed
	open := mustGet(b, Coils, tankValve) == 1
	k.flow(open, float64(mustGet(b, HoldingRegisters, tankSetpoint))/10, step.Seconds())

	shown := k.level
	if open {
		shown += tankRipple.at(k.last.Seconds())
	}
	shown = min(max(shown, 0), 100)
	mustSet(b, InputRegisters, tankLevel, tenths(shown), tenths(tankMean+tankWarming.at(k.last.Seconds())))
	mustSet(b, DiscreteInputs, tankHighAlarm, bit(shown > tankHigh), bit(shown < tankLow))
}

// flow moves the level by the exact solution for the time passed, so that two steps equal one of their sum.
func (k *tank) flow(open bool, setpoint, seconds float64) {
	if open {
		k.level = setpoint + (k.level-setpoint)*math.Exp(-seconds/tankFilling)
		return
	}
	k.level = max(k.level-tankDrain*seconds, 0)
}

// bit gives a truth value as the content of a coil.
func bit(b bool) uint16 {
	if b {
		return 1
	}
	return 0
}
