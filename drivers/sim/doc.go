// Package sim simulates Modbus devices: units with the four tables of the Modbus data model, served over Modbus TCP and,
// as RTU slaves, on a pseudo terminal at the pace of a real wire. It is what `tidegate demo` and `tidegate sim` talk to, and
// what the tests of the bus and of the Modbus driver are run against.
//
// # Units
//
// A [Unit] answers for one unit id. [NewUnit] makes one with fixed tables whose cells a test sets and reads; [NewMeter],
// [NewTank] and [NewDrive] make units whose values move with time; [Demo] gives the two sets of units of the demo.
// Addresses are the 0-based ones of the wire. What is outside a unit's ranges is answered with exception 2, so a layout
// with holes shows how a master copes with them:
//
//	unit := sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}, {First: 12, Count: 4}}})
//	unit.Set(sim.HoldingRegisters, 0, 1234)
//
// # Endpoints
//
// A [Server] serves units on a listener; a [Slave] serves them on a [PTY]. Both start with Run and end with its context:
//
//	server := sim.NewServer(listener, map[byte]*sim.Unit{1: unit}, sim.ServerOptions{})
//	err := server.Run(ctx)
//
//	pty, err := sim.OpenPTY("/tmp/rs485")
//	defer pty.Close()
//	slave := sim.NewSlave(pty, map[byte]*sim.Unit{1: unit}, sim.SlaveOptions{Line: sim.Line{Baud: 19200, Parity: sim.EvenParity}})
//	err = slave.Run(ctx)
//
// Tests start them in one line with package simtest. To play the unplugging of a serial adapter, end Run and close the PTY
// (the master's port then fails with EIO), and open another PTY on the same link to plug it in again.
//
// # Pace
//
// A pty hands over a whole frame at once. The Slave restores the time that it would have taken: with c the duration of one
// character, a request of n characters is complete n*c after its first one was seen, is understood after a silence of t3.5, and is
// answered after the processing time, character by character. A cycle that reads N registers thus lasts
// c(13+2N) + 2*t3.5 + processing, and no master can be faster without breaking the silence that Modbus over Serial Line V1.02,
// section 2.5.1.1, demands of it; a Slave counts such requests and, if asked, ignores them as a real one does.
// A Line with Baud 0 is not paced: frames are told apart by their length and CRC.
//
// Unlike the driver of a real UART a pty keeps what was sent while no program had it open: a master should flush
// its input when it opens the port.
//
// # Misbehaviour
//
// [Unit.Inject] makes a unit treat its next requests badly: [NoAnswer], [Late], [GarbageBefore], [GarbageAfter], [WrongUnit],
// [WrongFunction], [ShortAnswer], [LongAnswer], [BadCRC], [ExceptionAnswer], [Split], [Reset], [OldTransaction],
// [StaleFirst], [Echo] and [HalfOpen].
//
// The protocol is that of Modbus Application Protocol V1.1b3 (function codes 1 to 6, 15, 16, 22 and 23), Modbus Messaging
// on TCP/IP V1.0b (MBAP header) and Modbus over Serial Line V1.02 (RTU framing).
package sim
