package sim

import (
	"math"
	"time"
)

// Addresses of the drive.
const (
	driveStatus   = 0 // input, uint16, bits below
	driveSpeed    = 1 // input, int16 [rpm]
	driveTorque   = 2 // input, int16, tenths of %
	driveSetpoint = 0 // holding, int16 [rpm]
	driveRun      = 0 // coil
)

// Bits of the drive's status.
const (
	statusReady      = 1 << 0
	statusRunning    = 1 << 1 // the shaft turns or is to turn
	statusAtSetpoint = 1 << 2
)

const (
	driveRamp     = 200.0 // rpm per second
	driveMaxSpeed = 3000  // rpm, either way
	driveRated    = 1500.0
	rampTorque    = 35.0 // % that a ramp takes
	loadTorque    = 30.0 // % that the load takes at rated speed
)

var driveRipple = wave{amplitude: 1.5, period: 11} // % of torque while the shaft turns

// drive is a variable speed drive: the speed ramps to the setpoint while it runs, else to 0.
type drive struct {
	speed float64 // rpm
	last  time.Duration
}

// NewDrive makes a drive: status at input:0 (bit 0 ready, 1 running, 2 at setpoint), speed [rpm, signed] at input:1, torque [% x 10, signed] at
// input:2, speed setpoint [rpm, signed, -3000 to 3000, else exception 3] at holding:0, and coil:0 to run. It begins
// at rest, told to run at 1450 rpm, and ramps at 200 rpm a second. It moves by the clock now; nil is time.Now.
func NewDrive(now func() time.Time) *Unit {
	u := newUnit(Layout{
		Coils:            []Range{{First: 0, Count: 1}},
		HoldingRegisters: []Range{{First: 0, Count: 1}},
		InputRegisters:   []Range{{First: 0, Count: 3}},
		Accept: func(t Table, _, value uint16) bool {
			return t != HoldingRegisters || (int16(value) >= -driveMaxSpeed && int16(value) <= driveMaxSpeed)
		},
	}, &drive{}, now)
	mustSet(u.bank, HoldingRegisters, driveSetpoint, 1450)
	mustSet(u.bank, Coils, driveRun, 1)
	return u
}

func (d *drive) advance(b *Bank, elapsed time.Duration) {
	step := elapsed - d.last
	d.last = elapsed
	run := mustGet(b, Coils, driveRun) == 1
	target := 0.0
	if run {
		target = float64(int16(mustGet(b, HoldingRegisters, driveSetpoint)))
	}
	d.ramp(target, step.Seconds())

	status := uint16(statusReady)
	if run || d.speed != 0 {
		status |= statusRunning
	}
	if run && d.speed == target {
		status |= statusAtSetpoint
	}
	mustSet(b, InputRegisters, driveStatus, status, signed(d.speed), tenths(d.torque(target)))
}

// ramp moves the speed towards the target by no more than the time allows.
func (d *drive) ramp(target, seconds float64) {
	way := driveRamp * seconds
	if math.Abs(target-d.speed) <= way {
		d.speed = target
		return
	}
	d.speed += math.Copysign(way, target-d.speed)
}

// torque in % is what the load takes at this speed, and what the ramp adds.
func (d *drive) torque(target float64) float64 {
	torque := loadTorque * d.speed / driveRated
	switch {
	case target > d.speed:
		torque += rampTorque
	case target < d.speed:
		torque -= rampTorque
	}
	if d.speed != 0 {
		torque += driveRipple.at(d.last.Seconds())
	}
	return torque
}
