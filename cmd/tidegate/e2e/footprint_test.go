package e2e_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/drivers/sim"
)

// TestFootprint holds the gateway to what it may take at its most, its start included: 25 MB with 20 devices of 100 registers each, every second.
func TestFootprint(t *testing.T) {
	const units, registers, most = 20, 100, 25_000_000
	g := newPlant(t, unitsPlant(serveUnits(t, units, registers), units, registers))
	g.logLess()
	g.start()
	inPlant := observe(t, "observer", g.client(), "", "tidegate/plant7/+")
	for i := range units {
		name := fmt.Sprintf("unit%d", i)
		m := inPlant.waitMessages(name, topicIs("tidegate/plant7/"+name), func(m []seen) bool { return len(m) >= 3 })
		if s := parseDevice(t, m[2].payload); s.Quality != "good" || len(s.Bad) > 0 {
			t.Fatalf("%s: %s", name, m[2].payload)
		}
	}
	mem := memory{t, g.proc.cmd.Process.Pid}
	t.Logf("%s at most; now %s, of which the program's file is %s", megabytes(mem.peak()), megabytes(mem.bytes("VmRSS")), megabytes(mem.bytes("RssFile")))
	if peak := mem.peak(); peak > most {
		t.Errorf("the gateway took %s, more than %s", megabytes(peak), megabytes(most))
	}
	g.stop()
}

// serveUnits serves simulated Modbus TCP devices with the unit ids from 1 until the test ends.
func serveUnits(t *testing.T, count, registers int) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	units := map[byte]*sim.Unit{}
	for id := range count {
		units[byte(id+1)] = sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: registers}}})
	}
	server := sim.NewServer(l, units, sim.ServerOptions{})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("simulated devices: %v", err)
		}
	})
	return server.Addr().String()
}

// unitsPlant configures the devices of serveUnits, each register a point.
func unitsPlant(endpoint string, units, registers int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[[bus]]\nname = \"line\"\ntransport = \"tcp\"\nendpoint = %q\n", endpoint)
	for i := range units {
		fmt.Fprintf(&b, "[[device]]\nname = \"unit%d\"\nbus = \"line\"\nunit_id = %d\ninterval = \"1s\"\n", i, i+1)
		for p := range registers {
			fmt.Fprintf(&b, "[[device.point]]\nname = \"point%d\"\naddress = \"holding:%d\"\ntype = \"uint16\"\n", p, p)
		}
	}
	return b.String()
}
