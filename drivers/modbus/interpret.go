package modbus

import (
	"encoding/binary"

	"github.com/tidegate/tidegate/gateway"
)

// MaxInterpreted is how many registers [Interpret] takes: as many as one answer holds.
const MaxInterpreted = maxRegisters

// Interpretation is one way to understand registers.
type Interpretation struct {
	Register int // the first, counted from 0
	Count    int // how many
	Type     Type
	Order    Order
	Value    gateway.Value
	Reason   gateway.Reason // why there is no value
}

// Interpret returns each way in which points can understand registers that lie one after the other, of which only who knows the device can
// tell the right one: every type that fits, in every order, from every register on, and all of them as text.
func Interpret(registers []uint16) []Interpretation {
	var wire []byte
	for _, r := range registers {
		wire = binary.BigEndian.AppendUint16(wire, r)
	}
	var list []Interpretation
	for _, count := range []int{1, 2, 4} {
		for at := 0; at+count <= len(registers); at++ {
			list = append(list, interpretNumbers(wire[2*at:], at, count)...)
		}
	}
	for _, order := range singleOrders() {
		if len(registers) > 0 && len(registers) <= MaxInterpreted {
			list = append(list, interpret(wire, 0, Point{Type: String, Order: order, Length: len(registers)}))
		}
	}
	return list
}

// interpretNumbers returns the numbers that take count registers.
func interpretNumbers(wire []byte, at, count int) []Interpretation {
	orders := singleOrders()
	if count > 1 {
		orders = []Order{ABCD, CDAB, BADC, DCBA}
	}
	var list []Interpretation
	for _, order := range orders {
		for _, typ := range Types() {
			if size := typ.traits().size; size > 0 && typ.width() == count {
				list = append(list, interpret(wire, at, Point{Type: typ, Order: order}))
			}
		}
	}
	return list
}

func singleOrders() []Order { return []Order{AB, BA} }

func interpret(wire []byte, at int, p Point) Interpretation {
	v, reason := newCodec(p).decode(wire)
	return Interpretation{Register: at, Count: p.width(), Type: p.Type, Order: p.Order, Value: v, Reason: reason}
}
