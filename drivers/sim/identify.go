package sim

// Device identification (Modbus Application Protocol V1.1b3, 6.21).
const (
	encapsulated       = 43
	identificationType = 14

	// basicStream and singleObject are the kinds of access of a device that knows the basic objects only, its level of conformity.
	basicStream  = 1
	singleObject = 4
	conformity   = 0x81
)

// identify says what the simulation is: the three objects that a device with this function must have.
func identify(data []byte) ([]byte, Exception) {
	objects := []string{"Tidegate", "simulator", "1.0"}
	switch {
	case len(data) != 3:
		return nil, IllegalDataValue
	case data[0] != identificationType:
		return nil, IllegalFunction
	case data[1] < basicStream || data[1] > singleObject:
		return nil, IllegalDataValue
	case data[1] == singleObject && int(data[2]) >= len(objects):
		return nil, IllegalDataAddress
	}
	first, last := 0, len(objects)
	if int(data[2]) < len(objects) { // a stream from an object that is not there begins anew
		first = int(data[2])
	}
	if data[1] == singleObject {
		last = first + 1
	}
	answer := []byte{encapsulated, identificationType, data[1], conformity, 0, 0, byte(last - first)}
	for id := first; id < last; id++ {
		answer = append(append(answer, byte(id), byte(len(objects[id]))), objects[id]...)
	}
	return answer, noException
}
