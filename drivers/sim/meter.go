package sim

import (
	"math"
	"time"
)

// WordOrder is the order of the two registers of a 32-bit value. Within a register the high byte always comes first.
type WordOrder int

const (
	// HighWordFirst is the byte order ABCD.
	HighWordFirst WordOrder = iota
	// LowWordFirst is the byte order CDAB.
	LowWordFirst
)

// split gives a 32-bit value as two registers.
func (o WordOrder) split(v uint32) (first, second uint16) {
	if o == LowWordFirst {
		return uint16(v), uint16(v >> 16)
	}
	return uint16(v >> 16), uint16(v)
}

// Input registers of the meter.
const (
	meterVoltage = 0  // float32 for L1, L2, L3 at 0, 2, 4 [V]
	meterCurrent = 6  // float32 for L1, L2, L3 at 6, 8, 10 [A]
	meterPower   = 12 // float32 [W]
	meterEnergy  = 20 // uint32 [Wh]
	meterSize    = 22 // registers 14 to 19 exist and are 0
)

// meter is a three-phase energy meter. Everything follows from the power of each phase, which has a closed integral:
// current is power by voltage, and energy needs no summing up, so that it does not depend on how often the meter is read.
type meter struct{ order WordOrder }

// Each phase carries a mean power that its wave never outweighs, so that energy only grows.
var (
	phaseMeanPower = [3]float64{1500, 1100, 1800} // W
	phasePower     = [3]wave{{400, 120, 0}, {300, 75, 1}, {500, 47, 2}}
	phaseVoltage   = [3]wave{{2.1, 31, 0}, {1.7, 37, 2}, {2.4, 29, 4}}
)

const (
	meanVoltage  = 230.0     // V
	startEnergy  = 1_234_567 // Wh; more than 16 bits, so that the word order shows
	secondsPerWh = 3600
)

// NewMeter makes an energy meter with these input registers, 32 bits each in the word order given: float32 voltages of L1 to L3 at 0, 2, 4
// [V], currents at 6, 8, 10 [A], power at 12 [W], uint32 energy at 20 [Wh]. Registers 14 to 19 are 0. It moves by the clock now; nil is time.Now.
func NewMeter(now func() time.Time, order WordOrder) *Unit {
	return newUnit(Layout{InputRegisters: []Range{{First: 0, Count: meterSize}}}, meter{order: order}, now)
}

func (m meter) advance(b *Bank, elapsed time.Duration) {
	t := elapsed.Seconds()
	var total, wattSeconds float64
	for i := range phasePower {
		voltage := meanVoltage + phaseVoltage[i].at(t)
		power := phaseMeanPower[i] + phasePower[i].at(t)
		m.set(b, meterVoltage+2*uint16(i), math.Float32bits(float32(voltage)))
		m.set(b, meterCurrent+2*uint16(i), math.Float32bits(float32(power/voltage)))
		total += power
		wattSeconds += phaseMeanPower[i]*t + phasePower[i].integral(t)
	}
	m.set(b, meterPower, math.Float32bits(float32(total)))
	m.set(b, meterEnergy, uint32(uint64(startEnergy+wattSeconds/secondsPerWh)))
}

func (m meter) set(b *Bank, address uint16, v uint32) {
	first, second := m.order.split(v)
	mustSet(b, InputRegisters, address, first, second)
}

// mustSet writes a model's own cell. That the cell exists is the model's business, so a miss is a mistake in this package.
func mustSet(b *Bank, t Table, address uint16, values ...uint16) {
	if err := b.Set(t, address, values...); err != nil {
		panic("sim: model outside its own layout: " + err.Error())
	}
}

// mustGet reads a model's own cell.
func mustGet(b *Bank, t Table, address uint16) uint16 {
	values, err := b.Get(t, address, 1)
	if err != nil {
		panic("sim: model outside its own layout: " + err.Error())
	}
	return values[0]
}
