package modbus

import (
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/gateway"
)

// hinted is an error with what to look at, which is for people only.
type hinted struct {
	error
	hint string
}

func (h *hinted) Error() string { return h.error.Error() + ": " + h.hint }

func (h *hinted) Unwrap() error { return h.error }

// hintOffset adds to a refused address that its number looks like the one of a manual, which counts from 1 and names the table.
func hintOffset(a Address, err error) error {
	var exception *Error
	if !errors.As(err, &exception) || exception.Exception != illegalAddress || !a.looksModicon() {
		return err
	}
	meant := Address{a.Table, a.Offset%10000 - 1}
	return &hinted{err, fmt.Sprintf(`the number behind %v: counts from 0; if %d is the number in the manual, write address = "%[2]d", which is %[1]v:%[3]d`,
		a.Table, a.Offset, meant.Offset)}
}

// looksModicon reports whether the offset is a five-digit Modicon number of the same table.
func (a Address) looksModicon() bool {
	return a.Table != Coil && int(a.Offset/10000) == a.Table.modicon() && a.Offset%10000 > 0
}

// modicon is the digit that opens a Modicon number of the table.
func (t Table) modicon() int { return [...]int{0, 1, 3, 4}[t&3] }

// learn notes whether the device has answered: with data or by refusing, and not with something that is damaged.
func (dev *device) learn(err error) {
	var exception *Error
	var failed *failure
	refused := errors.As(err, &exception) && errors.As(err, &failed) && !failed.gone
	dev.known = dev.known || err == nil || refused
}

// hintSilence adds what to check to the silence of a device that has not answered since the start. Where others on the bus have, baud and
// parity are right.
func (d *Driver) hintSilence(dev *device, f *failure) error {
	if dev.known || d.client.mixup.found {
		return f
	}
	check := fmt.Sprintf("check unit_id %d", dev.unit)
	var exception *Error
	switch isException := errors.As(f.err, &exception); {
	case isException && f.gone: // what answered is a gateway on the way, so its line is out of our sight
	case f.reason != gateway.ReasonTimeout:
		return f
	case d.known():
		check += ", and whether the device is wired and has power"
	case d.line != "":
		check += ", " + d.line
	}
	return &hinted{f, "it has never answered, " + check}
}

// known reports whether any device of the bus has answered since the start.
func (d *Driver) known() bool {
	for _, dev := range d.devices {
		if dev.known {
			return true
		}
	}
	return false
}

// lineToCheck names what can be wrong with the line to all devices of a bus, with the settings in force; "" when there is no line.
func lineToCheck(o Options) string {
	const rest = "and the wiring: A and B may be swapped"
	switch {
	case o.Bus.Port != "":
		return fmt.Sprintf("baud and parity (%v) %s", o.Bus.Mode, rest)
	case o.framing() == FramingTCP:
		return ""
	case o.Line.Baud != 0:
		return fmt.Sprintf("baud and parity behind the converter (%v) %s", o.Line, rest)
	}
	return "baud and parity behind the converter " + rest
}
