package modbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidegate/tidegate/gateway"
)

// The function of device identification and its kind among the encapsulated interfaces (Modbus Application Protocol V1.1b3, 6.21).
const (
	encapsulated       = 43
	identificationType = 14

	// identificationHead is what comes before the objects: function, type, level, conformity, more follows, next object, number of objects.
	identificationHead = 7
	// usualIdentification is how long an answer is taken to be before it tells itself.
	usualIdentification = 64
)

// Level is how much a device is asked to say of itself.
type Level byte

// The levels. A device that knows fewer than asked for tells what it knows.
const (
	LevelBasic    Level = 1 // vendor, product code and version, which each device with this function has
	LevelRegular  Level = 2 // and names for people
	LevelExtended Level = 3 // and what its maker likes
)

// Identification is what a device says of itself.
type Identification struct {
	Conformity byte // the level that it knows; with the highest bit it also tells single objects
	Objects    []Object
}

// Object is one of the things that a device says.
type Object struct {
	ID    byte
	Value string // as the device has it, usually ASCII
}

// Name returns what the specification calls the object (6.21, table "Objects").
func (o Object) Name() string {
	names := [...]string{"VendorName", "ProductCode", "MajorMinorRevision", "VendorUrl", "ProductName", "ModelName", "UserApplicationName"}
	if int(o.ID) < len(names) {
		return names[o.ID]
	}
	return fmt.Sprintf("object %#02x", o.ID)
}

// newIdentification asks for the objects of a level from one on.
func newIdentification(level Level, first byte) request {
	return request{function: encapsulated, data: []byte{identificationType, byte(level), first}, count: 1}
}

// identificationSize returns the length of the answer that begins with pdu; more than pdu has while its objects are not complete.
func identificationSize(pdu []byte) int {
	if len(pdu) < identificationHead {
		return identificationHead
	}
	size := identificationHead
	for range pdu[identificationHead-1] {
		size += 2
		if len(pdu) < size {
			return size
		}
		size += int(pdu[size-1])
	}
	return size
}

// checkIdentification returns what follows type and level. A device may answer a lower level than it was asked for.
func (q request) checkIdentification(data []byte) ([]byte, error) {
	pdu := append([]byte{q.function}, data...)
	if !bytes.HasPrefix(data, q.head()) || identificationSize(pdu) != len(pdu) {
		return nil, framef("answer % x is no identification of level %d", data, q.data[1])
	}
	return data[2:], nil
}

// Identify asks a device what it is (function 43, type 14). The error wraps ErrNoAnswer when it does not answer; an *Error with exception 1
// says that it does not know the function.
func (d *Driver) Identify(ctx context.Context, device int, level Level) (Identification, error) {
	var id Identification
	dev := d.devices[device]
	for first, more := byte(0), true; more; {
		data, err := d.read(ctx, dev, newIdentification(level, first))
		if err != nil {
			return id, fmt.Errorf("identify device %q: %w%s", dev.info.Name, err, mayNotKnow(err))
		}
		next := data[2]
		id.Conformity, more = data[0], data[1] == 0xFF
		id.Objects = append(id.Objects, objects(data[4:])...)
		if more && next <= first { // else it would go on for ever
			return id, fmt.Errorf("identify device %q: object %#02x follows %#02x", dev.info.Name, next, first)
		}
		first = next
	}
	slices.SortStableFunc(id.Objects, func(a, b Object) int { return int(a.ID) - int(b.ID) })
	return id, nil
}

// mayNotKnow says what silence can mean as well: some devices leave a function without an answer that they do not know.
func mayNotKnow(err error) string {
	var f *failure
	if errors.As(err, &f) && f.reason == gateway.ReasonTimeout {
		return " (it may not know the function)"
	}
	return ""
}

// objects takes a list apart whose size was checked.
func objects(list []byte) (out []Object) {
	for len(list) >= 2 {
		end := 2 + int(list[1])
		out = append(out, Object{ID: list[0], Value: string(list[2:end])})
		list = list[end:]
	}
	return out
}
