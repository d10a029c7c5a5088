package config

import (
	"fmt"
	"slices"
	"time"
)

// maxReadRegisters is the most that one read request may ask for (Modbus Application Protocol 1.1b3, 6.3).
const maxReadRegisters = 125

// standardBauds are the rates that UARTs and their drivers commonly offer.
func standardBauds() []int {
	return []int{
		300, 600, 1200, 1800, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 76800, 115200, 128000, 187500,
		230400, 250000, 256000, 460800, 500000, 576000, 921600, 1000000, 1500000, 2000000, 3000000, 4000000,
	}
}

func (c *checker) buses() {
	names, owners := map[string]string{}, map[string]string{}
	for i, b := range c.cfg.Buses {
		path := at("bus", i)
		if c.need(path, "name", `add name = "line1"`) {
			c.name(join(path, "name"), b.Name)
			c.unique(names, join(path, "name"), b.Name, "this name")
		}
		c.bus(path, b)
		if !c.need(path, "transport", `add transport = "tcp" or transport = "rtu"`) {
			continue
		}
		switch {
		case c.out.failed[join(path, "transport")]:
		case b.Transport.Serial():
			c.serial(path, b, owners)
		default:
			c.network(path, b, owners)
		}
		used := slices.ContainsFunc(c.cfg.Devices, func(d Device) bool { return d.Bus == b.Name }) ||
			slices.ContainsFunc(c.cfg.ModbusServers, func(s ModbusServer) bool { return s.Proxy == b.Name })
		if !used && b.Name != "" {
			c.out.warn(path, fmt.Sprintf("no device uses bus %q", b.Name), "it stays closed; add a [[device]] or remove the bus")
		}
	}
}

// bus checks what all transports have in common.
func (c *checker) bus(path string, b Bus) {
	within(c, join(path, "timeout"), b.Timeout, 10*time.Millisecond, time.Minute)
	within(c, join(path, "retries"), b.Retries, 0, 10)
	within(c, join(path, "gap"), b.Gap, 0, 10*time.Second)
	within(c, join(path, "unit_gap"), b.UnitGap, 0, 10*time.Second)
	within(c, join(path, "connect_delay"), b.ConnectDelay, 0, time.Minute)
	within(c, join(path, "max_registers"), b.MaxRegisters, 1, maxReadRegisters)
	if b.MaxGap != nil {
		within(c, join(path, "max_gap"), *b.MaxGap, 0, maxReadRegisters-1)
	}
}

// owner reports a port or endpoint that an earlier bus has: their frames would collide, and answers go to the wrong one.
func (c *checker) owner(owners map[string]string, path, key, shown string) {
	if first, ok := owners[key]; ok {
		c.fail(path, shown, fmt.Sprintf("the bus in %s has this %s already", c.where(first), lastKey(path)),
			"one bus owns it; let the devices of both name the same bus")
		return
	}
	owners[key] = path
}

func (c *checker) devices() {
	names, units := map[string]string{}, map[string]string{}
	for i, d := range c.cfg.Devices {
		path := at("device", i)
		if c.need(path, "name", `add name = "meter"`) {
			c.topicName(join(path, "name"), d.Name)
			c.unique(names, join(path, "name"), d.Name, "this name")
		}
		within(c, join(path, "interval"), d.Interval, time.Millisecond, 24*time.Hour)
		within(c, join(path, "gap"), d.Gap, 0, 10*time.Second)
		c.unit(path, d, units)
		if len(d.Points) == 0 && !c.out.failed[join(path, "point")] {
			c.out.about(path, "a device without points reads nothing", "add [[device.point]] below it")
		}
		c.points(path, d)
	}
}

// unit checks which bus a device is on and its number there.
func (c *checker) unit(path string, d Device, units map[string]string) {
	where := join(path, "unit_id")
	hasUnit := c.need(path, "unit_id", "add unit_id = 1, or the number set on the device") && !c.out.failed[where]
	if !c.need(path, "bus", "add bus = \"...\", the name of a [[bus]]") || c.out.failed[join(path, "bus")] {
		return
	}
	i := slices.IndexFunc(c.cfg.Buses, func(b Bus) bool { return b.Name == d.Bus })
	if i < 0 && c.out.failed["bus"] {
		return // no bus could be read, and that was said
	}
	if i < 0 {
		c.fail(join(path, "bus"), d.Bus, "there is no bus of this name", hintFor(d.Bus, c.busNames(), c.busHint()))
		return
	}
	if !hasUnit {
		return
	}
	low, high := 0, 255
	if transport := c.cfg.Buses[i].Transport; transport != 0 && !transport.Tagged() {
		low, high = 1, 247 // 0 is broadcast, 248 to 255 are reserved (Modbus over Serial Line 1.02, 2.2)
	}
	within(c, where, d.UnitID, low, high)
	key := fmt.Sprintf("%s %d", d.Bus, d.UnitID)
	if first, ok := units[key]; ok && !c.out.failed[where] {
		c.fail(where, d.UnitID, fmt.Sprintf("the device in %s has this unit on bus %q", c.where(first), d.Bus),
			"put the points of both into one device, so that one plan reads them and one writes")
		return
	}
	units[key] = where
}

func (c *checker) busNames() []string {
	var names []string
	for _, b := range c.cfg.Buses {
		names = append(names, b.Name)
	}
	return names
}

func (c *checker) busHint() string {
	if len(c.cfg.Buses) == 0 {
		return "add a [[bus]]"
	}
	return "write " + quotedList(c.busNames())
}
