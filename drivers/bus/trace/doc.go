// Package trace writes down what is said on a bus, and reads it back: one JSON object for each conversation, a line each.
//
//	{"time":"2026-03-01T12:00:00.000512Z","bus":"line1","sent_us":1830,"sent":"01 03 00 00 00 02 c4 0b",
//	 "received":[{"us":14210,"bytes":"01 03 04 00 0a 01 02 9a 60"}],"took_us":14260,"outcome":"answer"}
//
// Offsets are microseconds since the time of the line. Bytes are hexadecimal, as they were on the wire: frames with their header or check sum.
// What was received before sent_us was thrown away, as a late answer or as noise. The outcome is one of those listed at [Outcome];
// "error" then says in words what went wrong. "dropped" is the number of conversations right before this one that are missing, because the
// file could not be written as fast as they came; "cut" is the number of received bytes that were too many to keep.
//
// [File] is the writer. It never holds up a bus: what its queue has no room for is counted and left out. [Read] reads a file, and package
// bustest plays one back: a trace is a test case.
package trace
