package server

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/tidegate/tidegate/gateway"
)

// write sets the points that a request writes to, in the order of their registers. All of it is checked before any is written.
func (m *Map) write(ctx context.Context, q request) Exception {
	commands, exception := m.commands(q)
	if exception != 0 {
		return exception
	}
	for _, c := range commands {
		if err := m.opts.Commander.Check(c.Device, c.Values); err != nil {
			m.log.Info("a write was refused", "error", err)
			return exceptionOf(err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, m.opts.WriteTimeout)
	defer cancel()
	for _, c := range commands {
		if err := m.opts.Commander.Set(ctx, c.Device, c.Values); err != nil {
			m.log.Warn("a write was not done", "error", err)
			return exceptionOf(err)
		}
	}
	return 0
}

// commands returns the commands of a write: one for each device, or more where devices take turns.
func (m *Map) commands(q request) ([]gateway.Command, Exception) {
	cells := m.tables[q.write.table].in(q.write)
	switch {
	case !cells.gapless(q.write):
		return nil, IllegalAddress
	case !cells.whole(q.write):
		return nil, IllegalValue
	}
	var commands []gateway.Command
	for _, c := range cells {
		var exception Exception
		if q.data == nil {
			commands, exception = m.mask(commands, c, q.and, q.or)
		} else {
			commands, exception = c.write(commands, q.part(c))
		}
		if exception != 0 {
			return nil, exception
		}
	}
	return commands, 0
}

// part returns what a request has for a cell.
func (q request) part(c *cell) []byte {
	size := len(q.data) / q.write.count
	at := size * (c.start - q.write.address)
	return q.data[at : at+size*c.width]
}

// write appends the settings of a whole cell.
func (c *cell) write(commands []gateway.Command, b []byte) ([]gateway.Command, Exception) {
	if c.bits {
		return c.writeBits(commands, 0xFFFF, binary.BigEndian.Uint16(b))
	}
	f := c.fields[0]
	if !f.Writable {
		return nil, IllegalAddress
	}
	v, exception := f.decode(b)
	return appendSetting(commands, f, v), exception
}

// writeBits appends the settings of those bits of a register that touched has. Bits that are nobody's cannot be set.
func (c *cell) writeBits(commands []gateway.Command, touched, content uint16) ([]gateway.Command, Exception) {
	foreign := touched & content
	fields := slices.Clone(c.fields)
	slices.SortFunc(fields, func(a, b *field) int { return a.shift - b.shift })
	for _, f := range fields {
		bit := uint16(1) << f.shift
		foreign &^= bit
		switch {
		case touched&bit == 0:
			continue
		case !f.Writable:
			return nil, IllegalAddress
		}
		v, exception := f.decode(binary.BigEndian.AppendUint16(nil, content))
		if exception != 0 {
			return nil, exception
		}
		commands = appendSetting(commands, f, v)
	}
	if foreign != 0 {
		return nil, IllegalValue
	}
	return commands, 0
}

// mask appends the settings of a mask write (Modbus Application Protocol V1.1b3, 6.16). What it leaves alone is taken from the newest
// reading, which must be good: a value that stands in for it must never reach the device.
func (m *Map) mask(commands []gateway.Command, c *cell, and, or uint16) ([]gateway.Command, Exception) {
	if c.bits {
		return c.writeBits(commands, ^and, or)
	}
	m.mu.RLock()
	b, exception := c.fields[0].good(m.opts.Now())
	m.mu.RUnlock()
	if exception != 0 {
		return nil, exception
	}
	return c.write(commands, binary.BigEndian.AppendUint16(nil, binary.BigEndian.Uint16(b)&and|or&^and))
}

// appendSetting appends a setting to the last command when it is of the same device, and a new command otherwise.
func appendSetting(commands []gateway.Command, f *field, v gateway.Value) []gateway.Command {
	setting := gateway.Setting{Point: f.Point, Value: v}
	if last := len(commands) - 1; last >= 0 && commands[last].Device == f.Device {
		commands[last].Values = append(commands[last].Values, setting)
		return commands
	}
	return append(commands, gateway.Command{Device: f.Device, Values: []gateway.Setting{setting}})
}
