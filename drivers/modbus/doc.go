// Package modbus reads and writes the points of Modbus devices on one bus: it plans which registers to ask for together, holds one
// conversation at a time, and turns registers into values.
//
//	d, err := modbus.New(modbus.Options{
//		Name:    "line1",
//		Bus:     bus.Options{Endpoint: "192.168.1.20:502"},
//		Devices: []modbus.Device{{Name: "meter", Unit: 1, Points: []modbus.Point{{
//			Point: gateway.Point{Name: "voltage", Unit: "V"}, Address: modbus.Address{Table: modbus.Holding, Offset: 0},
//			Type:  modbus.Uint16, Scale: 0.1,
//		}}}},
//	})
//
// [Driver] has the methods of the engine's Driver interface with types of this package; whoever wires both converts them.
//
// # Specifications
//
// From modbus.org:
//
//   - Modbus Application Protocol V1.1b3: the data model (4.3), function codes 1 (6.1), 2 (6.2), 3 (6.3), 4 (6.4), 5 (6.5), 6 (6.6),
//     15 (6.11), 16 (6.12), 22 (6.16), 23 (6.17) and 43/14 (6.21), and the exceptions (7)
//   - Modbus over Serial Line V1.02: unit addresses (2.2), the RTU frame (2.5.1), its silences (2.5.1.1) and its check sum (2.5.1.2, appendix B), and the ASCII frame (2.5.2)
//   - Modbus Messaging on TCP/IP V1.0b: the MBAP header (3.1.3) and the client's handling of transactions (4.4.2.1)
//
// They do not say how 32-bit values lie in registers, nor what a byte order within a register would be: see [Order].
//
// # What is asked for together
//
// The points of a device that have the same interval are read with the requests that take the least time on the bus together: up to 125 registers
// or 2000 bits in one (Modbus Application Protocol V1.1b3, 6.1 to 6.4), across a gap of unwanted ones where they cost less than another request. That depends on
// the baud rate and format, and on how long the device takes to answer, which is measured; the plan changes when it saves a
// twentieth. Points that share registers are asked for once, and none is split.
//
// A block that a device refuses with exception 2 or 3 is halved until the points that it refuses stand alone. They are bad with that
// reason and left out of the later polls, and no request reaches across them; two points whose halves were answered and whose block was not stay apart.
// What was refused is asked for again after a minute, then after two, and so on up to once a day; and when the bus was lost.
//
// # Which answer is taken
//
// An RTU or ASCII frame carries no transaction id. An answer is taken when unit, function, byte count (for a write: address and value) and check sum
// are those of the request; what comes before, behind and in between is skipped until the time is up. After a request that stayed without an
// answer its unit is not asked anything new until another timeout has passed, so that a late answer is not
// taken for a new one. Only the repetition of the same read is sent at once: it asks for what the late answer holds.
// An answer that comes later than twice the timeout cannot be told from one of the same shape to a newer request: choose the timeout longer
// than the device is ever silent.
//
// On TCP, TLS and UDP the transaction id tells, and the connection is closed after a timeout. A gateway that answers as unit 0 or 255 for the
// units behind it is understood, because the id is enough. RTU and ASCII frames over TCP are treated as on a serial line, but for its silences.
//
// # Which framing is spoken
//
// A device that is asked in the wrong one does not answer. While nothing has ever answered at an endpoint, a few reads are sent in the other
// framing instead: an answer to them names the mistake and brings no value.
package modbus
