package sim

import (
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	us := time.Microsecond
	tests := []struct {
		line           Line
		name           string
		char, t15, t35 time.Duration
		poll1, poll125 time.Duration // a whole cycle that reads so many registers
	}{
		{Line{Baud: 9600}, "9600 8N1", 1041 * us, 1562 * us, 3645 * us, 22916 * us, 281250 * us},
		{Line{Baud: 9600, Parity: EvenParity}, "9600 8E1", 1145 * us, 1718 * us, 4010 * us, 25208 * us, 309375 * us},
		{Line{Baud: 9600, StopBits: 2}, "9600 8N2", 1145 * us, 1718 * us, 4010 * us, 25208 * us, 309375 * us},
		{Line{Baud: 19200}, "19200 8N1", 520 * us, 781 * us, 1822 * us, 11458 * us, 140625 * us},
		{Line{Baud: 19200, Parity: OddParity}, "19200 8O1", 572 * us, 859 * us, 2005 * us, 12604 * us, 154687 * us},
		{Line{Baud: 38400}, "38400 8N1", 260 * us, 750 * us, 1750 * us, 7406 * us, 71989 * us},
		{Line{Baud: 57600, Parity: EvenParity}, "57600 8E1", 190 * us, 750 * us, 1750 * us, 6364 * us, 53725 * us},
		{Line{Baud: 115200}, "115200 8N1", 86 * us, 750 * us, 1750 * us, 4802 * us, 26329 * us},
		{Line{Baud: 115200, DataBits: 7, Parity: EvenParity, StopBits: 2}, "115200 7E2", 95 * us, 750 * us, 1750 * us, 4932 * us, 28613 * us},
		{Line{}, "unpaced", 0, 0, 0, 0, 0},
		{Line{Baud: -1}, "unpaced", 0, 0, 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.line.String(); got != tt.name {
				t.Errorf("String = %q, want %q", got, tt.name)
			}
			poll := func(n int) time.Duration { return tt.line.Chars(8+5+2*n) + 2*tt.line.T35() }
			for _, c := range []struct {
				what      string
				got, want time.Duration
			}{
				{"character", tt.line.Chars(1), tt.char},
				{"t1.5", tt.line.T15(), tt.t15},
				{"t3.5", tt.line.T35(), tt.t35},
				{"cycle of 1 register", poll(1), tt.poll1},
				{"cycle of 125 registers", poll(125), tt.poll125},
			} {
				if (c.got - c.want).Abs() > us {
					t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
				}
			}
		})
	}
}
