// Package bustest plays the device on the other end of a bus, byte for byte: a conversation that was written down is played back, and the
// test fails when a request differs or when something is left over.
//
//	endpoint := bustest.PlayTCP(t, []bustest.IO{
//		{W: "0001 0000 0006 01 03 0000 0001", R: "0001 0000 0005 01 03 02 08fd"}, // voltage
//	})
//
// [RecordTCP] writes a conversation with a real device down. A [PTY] is a serial port whose other end the test holds.
package bustest
