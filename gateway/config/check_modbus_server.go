package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// modbusServers checks the servers for other masters. taken is where something listens already.
func (c *checker) modbusServers(taken []socket) {
	names := map[string]string{}
	for i, s := range c.cfg.ModbusServers {
		path := at("modbus_server", i)
		if c.need(path, "name", `add name = "plc"`) {
			c.name(join(path, "name"), s.Name)
			c.unique(names, join(path, "name"), s.Name, "this name")
		}
		within(c, join(path, "max_connections"), s.MaxConnections, 1, 1000)
		within(c, join(path, "max_per_address"), s.MaxPerAddress, 0, 1000)
		within(c, join(path, "idle_timeout"), s.IdleTimeout, time.Second, 24*time.Hour)
		c.clientCertificates(join(path, "tls"), s.TLS.Listener())
		c.listenerKeyPair(join(path, "tls"), s.TLS.Listener())
		taken = c.modbusListen(path, s, taken)
		c.modbusAllow(path, s)
		c.modbusPurpose(path, s)
	}
}

// modbusListen checks where a server listens.
func (c *checker) modbusListen(path string, s ModbusServer, taken []socket) []socket {
	const example = "127.0.0.1:1502"
	where := join(path, "listen")
	if !c.need(path, "listen", fmt.Sprintf("add listen = %q", example)) || c.out.failed[where] || !c.hostPort(where, s.Listen, example, 0) {
		return taken
	}
	if c.free(taken, where, s.Listen) && listenPort(s.Listen) != "" {
		taken = append(taken, socket{s.Listen, where})
	}
	return taken
}

// modbusAllow checks who may connect: Modbus itself asks nobody who he is.
func (c *checker) modbusAllow(path string, s ModbusServer) {
	where, allow := join(path, "listen"), join(path, "allow")
	for i, n := range s.Allow {
		if member := at(allow, i); !c.out.failed[member] && n.IsValid() && n.Bits() == 0 {
			c.out.warn(member, fmt.Sprintf("allow %q: lets everybody in who can reach %s, and Modbus has no passwords", n.String(), s.Listen), "name the networks of the masters")
		}
	}
	switch certain := s.TLS.ClientCert == ClientCertRequired; {
	case c.out.failed[where] || c.out.failed[allow] || c.out.failed[join(path, "tls")] || !c.given(where):
	case c.given(allow) && len(s.Allow) == 0:
		c.out.at(allow, "allow: the list is empty, and nobody could connect", `name the networks of the masters: allow = ["192.168.1.0/24"]`)
	case !loopback(s.Listen) && !c.given(allow) && !certain:
		c.fail(where, s.Listen, "beyond loopback, and Modbus has no passwords: anybody could read and write",
			`add allow = ["192.168.1.0/24"], the networks and addresses of the masters`)
	}
}

// modbusPurpose checks that a server has either registers or a bus.
func (c *checker) modbusPurpose(path string, s ModbusServer) {
	proxy, registers := c.given(join(path, "proxy")), c.given(join(path, "register"))
	switch {
	case proxy && registers:
		c.out.at(join(path, "proxy"), "proxy: this server has registers too, and a request could be for either",
			"write two servers, each with a port of its own")
	case proxy:
		c.modbusProxy(path, s)
	case !registers:
		c.out.about(path, "a server without registers answers nothing", "add [[modbus_server.register]] below it, or proxy = \"...\", the name of a [[bus]]")
	}
	within(c, join(path, "unit_id"), s.UnitID, 0, 255)
	c.registers(path, s)
}

// modbusProxy checks the bus that requests are passed on to.
func (c *checker) modbusProxy(path string, s ModbusServer) {
	for _, key := range []string{"unit_id", "holes"} {
		if c.given(join(path, key)) {
			c.out.atKey(join(path, key), key+": a proxy passes on what is asked", "remove it; it is for servers with registers")
		}
	}
	where := join(path, "proxy")
	i := slices.IndexFunc(c.cfg.Buses, func(b Bus) bool { return b.Name == s.Proxy })
	switch {
	case c.out.failed[where] || i < 0 && c.out.failed["bus"]:
	case i < 0:
		c.fail(where, s.Proxy, "there is no bus of this name", hintFor(s.Proxy, c.busNames(), c.busHint()))
	case listenPort(s.Listen) != "" && c.reaches(c.cfg.Buses[i].Endpoint, s.Listen):
		c.fail(where, s.Proxy, fmt.Sprintf("this bus is connected to %s, which is this server itself", c.cfg.Buses[i].Endpoint), "name the bus of the devices")
	}
}

// reaches tells whether an endpoint on this machine is what listens at an address.
func (c *checker) reaches(endpoint, listen string) bool {
	return endpoint != "" && loopback(endpoint) && sameSocket(endpoint, listen)
}

// registers checks what a server shows.
func (c *checker) registers(path string, s ModbusServer) {
	taken := map[Address]taker{}
	for i, r := range s.Registers {
		where := at(join(path, "register"), i)
		hasAddress := c.need(where, "address", `add address = "holding:0" or "input:0"`) && !c.out.failed[join(where, "address")]
		hasSource := c.need(where, "source", `add source = "device/point"`) && c.source(where, r)
		if !hasAddress || !hasSource || c.out.failed[join(where, "type")] {
			continue
		}
		source, _ := c.cfg.Source(r)
		if source.Type == 0 && r.Type == 0 || c.out.failed[join(where, "length")] {
			continue // what is wrong with the point was said
		}
		if c.registerPlace(where, r) {
			c.overlap(where, r, taken)
			c.registerForm(where, r, source)
		}
		c.registerWrites(where, r, source)
	}
}

// source checks that a register shows a point that there is.
func (c *checker) source(path string, r ModbusRegister) bool {
	where := join(path, "source")
	deviceName, pointName := r.split()
	switch _, _, ok := c.cfg.Place(r); {
	case c.out.failed[where] || c.out.failed["device"]:
		return false
	case ok:
		return true
	case deviceName == "":
		c.fail(where, r.Source, "not a device and its point", `write "boiler/setpoint"`)
		return false
	}
	i := slices.IndexFunc(c.cfg.Devices, func(d Device) bool { return d.Name == deviceName })
	if i < 0 {
		var names []string
		for _, d := range c.cfg.Devices {
			names = append(names, d.Name)
		}
		c.fail(where, r.Source, "there is no device of this name", hintFor(deviceName, names, "write the name of a [[device]], a slash and that of its point"))
		return false
	}
	var names []string
	for _, p := range c.cfg.Devices[i].Points {
		names = append(names, p.Name)
	}
	if !c.out.failed[join(at("device", i), "point")] {
		c.fail(where, r.Source, fmt.Sprintf("device %q has no point %q", deviceName, pointName), hintFor(pointName, names, "it has "+strings.Join(names, ", ")))
	}
	return false
}

// registerPlace checks where a register lies, and whether its type fits there.
func (c *checker) registerPlace(path string, r ModbusRegister) bool {
	where := join(path, "type")
	switch table := r.Address.Table; {
	case table.Bits() && r.Type != TypeBool:
		c.fail(where, r.Type.String(), fmt.Sprintf("%s holds a single bit", r.Address), `write type = "bool", or leave the key out`)
	case !table.Bits() && r.Type == TypeBool:
		c.fail(where, r.Type.String(), fmt.Sprintf("%s is a register of 16 bits", r.Address), "leave the key out: what is on is 1; or add bit = 0, which leaves the others to other points")
	case table.Bits() && r.Bit != nil:
		c.out.atKey(join(path, "bit"), fmt.Sprintf("bit: %s holds a single bit", r.Address), "remove it")
	case r.Bit != nil && r.Type != TypeUint16:
		c.fail(where, r.Type.String(), "with bit, a register is what points share, one bit each", "remove it")
	case int(r.Address.Number)+r.Words()-1 > lastAddress:
		c.fail(join(path, "address"), r.Address, fmt.Sprintf("type %s takes %d registers, and the last one is 65535", r.Type, r.Words()), "correct the address or the type")
	default:
		return true
	}
	return false
}

// taker is a register that takes an address: as a whole, or some of its bits.
type taker struct {
	path string
	bits map[int]string // paths, by bit; nil: all of it
}

// overlap reports a register that takes what another one has.
func (c *checker) overlap(path string, r ModbusRegister, taken map[Address]taker) {
	where := join(path, "address")
	for n := range r.Words() {
		at := Address{r.Address.Table, r.Address.Number + uint16(n)}
		first, ok := taken[at]
		switch {
		case !ok && r.Bit != nil:
			taken[at] = taker{path, map[int]string{*r.Bit: path}}
		case !ok:
			taken[at] = taker{path: path}
		case r.Bit == nil || first.bits == nil:
			hint := "choose another address"
			if n > 0 || first.path != "" && r.Words() > 1 {
				hint = fmt.Sprintf("type %s takes %d registers; choose another address", r.Type, r.Words())
			}
			c.fail(where, r.Address, fmt.Sprintf("%s:%d belongs to the register in %s", at.Table, at.Number, c.where(first.path)), hint)
			return
		case first.bits[*r.Bit] != "":
			c.fail(join(path, "bit"), *r.Bit, fmt.Sprintf("the register in %s has this bit of %s", c.where(first.bits[*r.Bit]), r.Address), "choose another bit")
			return
		default:
			first.bits[*r.Bit] = path
		}
	}
}

// registerForm checks whether the value of the point fits into the registers.
func (c *checker) registerForm(path string, r ModbusRegister, source Point) {
	form := Point{Address: r.Address, Type: r.Type, Length: r.Length, ByteOrder: r.ByteOrder, Writable: r.Writable}
	if r.Bit != nil {
		within(c, join(path, "bit"), *r.Bit, 0, 15)
	}
	if r.Type.text() && c.given(join(path, "type")) || c.given(join(path, "length")) {
		c.length(path, form)
	}
	c.order(path, form)
	c.registerScale(path, r, source)
	c.badValue(path, r, form)
	if reason, hint := unfit(r, source); reason != "" {
		where := join(path, "type")
		if !c.given(where) {
			where = join(path, "source")
		}
		c.out.at(where, fmt.Sprintf("%s: %s", lastKey(where), reason), hint)
		return
	}
	c.registerRange(path, r, source)
}

// onOff tells whether a point is a single bit.
func (p Point) onOff() bool { return p.Type == TypeBool || p.Bit != nil }

// unfit says why registers of this type cannot hold the values of a point; "" when they can.
func unfit(r ModbusRegister, source Point) (reason, hint string) {
	name := source.Type.String()
	switch single := r.Type == TypeBool || r.Bit != nil; {
	case single && !source.onOff():
		return fmt.Sprintf("%s is a %s, and one bit cannot hold it", r.Source, name), "use an input or holding register; of a number in the device, read the one bit as a point of its own"
	case len(source.Enum) > 0 && (r.Type == TypeString || r.Type.size() > 0 && !r.Type.float() && !r.Type.bcd()):
		return enumUnfit(r, source)
	case len(source.Enum) > 0 && !single:
		return fmt.Sprintf("%s has names for whole numbers, which a %s does not hold", r.Source, r.Type), `write type = "uint16" for the numbers, or "string" for the names`
	case single:
		return "", ""
	case r.Type == TypeBytes && source.Type == TypeBytes && r.Length != source.Length:
		return fmt.Sprintf("%s has %d registers of bytes, and not %d", r.Source, source.Length, r.Length), "leave length out"
	case r.Type.text() && r.Type != source.Type:
		return fmt.Sprintf("%s is a %s, and a %s cannot hold it", r.Source, name, r.Type), "leave type out"
	case source.Type.text() && !r.Type.text():
		return fmt.Sprintf("%s is a %s, and a %s cannot hold it", r.Source, name, r.Type), fmt.Sprintf("write type = %q and its length, or leave type out", name)
	}
	return "", ""
}

// enumUnfit says which named number the registers cannot hold.
func enumUnfit(r ModbusRegister, source Point) (reason, hint string) {
	if r.Type == TypeString {
		return "", ""
	}
	low, high := Point{Type: r.Type}.span()
	for n := range source.Enum {
		if n < low || n > 0 && uint64(n) > high {
			return fmt.Sprintf("%s has a name for %d, which a %s does not hold", r.Source, n, r.Type), "choose a wider type, or leave type out"
		}
	}
	return "", ""
}

// registerScale checks scale and offset.
func (c *checker) registerScale(path string, r ModbusRegister, source Point) {
	if r.Scale == 0 && c.given(join(path, "scale")) {
		c.fail(join(path, "scale"), 0, "every value would be the offset", "leave the key out for 1")
		return
	}
	if len(source.Enum) == 0 && !source.onOff() && r.Type.size() > 0 {
		return
	}
	for _, key := range []string{"scale", "offset"} {
		if c.given(join(path, key)) {
			c.out.atKey(join(path, key), fmt.Sprintf("%s: %s has no number to scale", key, r.Source), "remove it")
		}
	}
}

// badValue checks what is read of a point without a good reading.
func (c *checker) badValue(path string, r ModbusRegister, form Point) {
	where := join(path, "bad_value")
	switch {
	case r.BadValue == nil || c.out.failed[where]:
	case r.Type.text():
		c.out.at(where, fmt.Sprintf("bad_value: a %s has no number", r.Type), "remove it; masters get an exception")
	case r.Type == TypeBool || r.Bit != nil:
		if r.BadValue.Bits > 1 || !r.BadValue.whole() {
			c.out.at(where, fmt.Sprintf("bad_value %s: one bit is 0 or 1", r.BadValue.text), "write 0 or 1")
		}
	default:
		c.sentinel(where, form, *r.BadValue)
	}
}

// registerRange warns of values that the registers cannot hold.
func (c *checker) registerRange(path string, r ModbusRegister, source Point) {
	if source.onOff() || source.Type.text() || len(source.Enum) > 0 || r.Type.float() || r.Type.text() {
		return
	}
	low, high := source.readings()
	least, most := scaled(Point{Type: r.Type}, r.Scale, r.Offset)
	if half := math.Abs(r.Scale) / 2; low >= least-half && high <= most+half || math.IsInf(low, 0) || math.IsInf(high, 0) {
		return
	}
	where := join(path, "type")
	if !c.given(where) {
		where = join(path, "source")
	}
	c.out.warn(where, fmt.Sprintf("%s can be %s to %s, and the register holds %s to %s: masters get an exception where it cannot",
		r.Source, show(low), show(high), show(least), show(most)), "choose a wider type or another scale, or bound the point with valid_min and valid_max")
}

// readings returns the smallest and the largest good reading of a number; infinities where there is no bound worth telling.
func (p Point) readings() (low, high float64) {
	low, high = math.Inf(-1), math.Inf(1)
	if !p.Type.float() {
		low, high = scaled(p, p.Scale, p.Offset)
	}
	if p.ValidMin != nil {
		low = max(low, *p.ValidMin)
	}
	if p.ValidMax != nil {
		high = min(high, *p.ValidMax)
	}
	return low, high
}

// scaled returns the range of a whole number times scale plus offset.
func scaled(p Point, scale, offset float64) (low, high float64) {
	least, most := p.span()
	a, b := float64(least)*scale+offset, float64(most)*scale+offset
	return min(a, b), max(a, b)
}

// registerWrites checks that what masters may set can be set.
func (c *checker) registerWrites(path string, r ModbusRegister, source Point) {
	where := join(path, "writable")
	switch {
	case !r.Writable:
	case !r.Address.Table.Writable():
		c.fail(where, true, fmt.Sprintf("masters cannot write to %s", r.Address), "only coils and holding registers can be written")
	case !source.Writable:
		c.fail(where, true, fmt.Sprintf("%s is not writable", r.Source), "add writable = true to the point, or remove it here")
	}
}
