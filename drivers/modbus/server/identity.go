package server

// Identity is what a [Map] says of itself with function 43, type 14 (Modbus Application Protocol V1.1b3, 6.21). Texts are cut where they would not fit.
type Identity struct {
	Vendor   string // object 0
	Product  string // object 1: the product code
	Revision string // object 2
	Name     string // object 6: how its user calls it; "" for none
}

const (
	identificationType = 14
	// conformity: objects of the regular category, as a list and one by one.
	conformity = 0x82
	// maxText bounds one object, so that all of them fit one answer.
	maxText = 50
)

// The ways to ask for objects: all from one on, up to the category given, or one alone.
const (
	askBasic    = 1
	askRegular  = 2
	askExtended = 3
	askOne      = 4
)

// object is a thing that the server says of itself.
type object struct {
	id   byte
	text string
}

// objects lists what there is, in order: first the basic three.
func (i Identity) objects() []object {
	list := []object{{0, i.Vendor}, {1, i.Product}, {2, i.Revision}}
	if i.Name != "" {
		list = append(list, object{6, i.Name})
	}
	for n := range list {
		list[n].text = list[n].text[:min(len(list[n].text), maxText)]
	}
	return list
}

// answer returns the answer to what follows the function code.
func (i Identity) answer(data []byte) ([]byte, Exception) {
	switch {
	case len(data) < 1 || data[0] != identificationType:
		return nil, IllegalFunction
	case len(data) != 3:
		return nil, IllegalValue
	}
	how, first := data[1], data[2]
	list := i.objects()
	switch how {
	case askBasic:
		list = from(list[:3], first)
	case askRegular, askExtended:
		list = from(list, first)
	case askOne:
		if list = from(list, first); list[0].id != first {
			return nil, IllegalAddress
		}
		list = list[:1]
	default:
		return nil, IllegalValue
	}
	b := []byte{encapsulated, identificationType, how, conformity, 0, 0, byte(len(list))}
	for _, o := range list {
		b = append(append(b, o.id, byte(len(o.text))), o.text...)
	}
	return b, 0
}

// from returns the objects from one on; all of them when there is no such object, as the specification wants it.
func from(list []object, first byte) []object {
	for n, o := range list {
		if o.id == first {
			return list[n:]
		}
	}
	return list
}
