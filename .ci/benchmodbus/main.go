// Command benchmodbus measures what a gateway that polls Modbus TCP costs, and how fast it can be. It starts simulated devices and a gateway as
// processes of their own, counts the points that a subscriber gets, and reads what the gateway's process has used from /proc:
//
//	go build -o bin/tidegate ./cmd/tidegate
//	go run ./.ci/benchmodbus -gateway bin/tidegate                                       # 20 units x 100 registers each second
//	go run ./.ci/benchmodbus -gateway bin/tidegate -interval 1ms -buses 4 -registers 125 # as fast as it goes
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/drivers/sim"
)

// setup is what is measured.
type setup struct {
	gateway   string
	buses     int
	units     int // of all buses
	registers int // of each unit
	interval  time.Duration
	warm      time.Duration
	span      time.Duration
}

func main() {
	var s setup
	simulate := flag.Int("simulate", 0, "only play `N` endpoints with devices, and print their addresses")
	flag.StringVar(&s.gateway, "gateway", "bin/tidegate", "gateway `FILE` to measure")
	flag.IntVar(&s.buses, "buses", 1, "endpoints, each with a connection of its own")
	flag.IntVar(&s.units, "units", 20, "devices, over all endpoints")
	flag.IntVar(&s.registers, "registers", 100, "points of each device, 1 to 125")
	flag.DurationVar(&s.interval, "interval", time.Second, "between polls of a device")
	flag.DurationVar(&s.warm, "warm", 3*time.Second, "what is left out at the beginning")
	flag.DurationVar(&s.span, "span", 15*time.Second, "what is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *simulate > 0 {
		err = play(ctx, *simulate, s)
	} else {
		err = measure(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmodbus:", err)
		os.Exit(1)
	}
}

// play runs simulated devices until ctx ends.
func play(ctx context.Context, endpoints int, s setup) error {
	g, ctx := errgroup.WithContext(ctx)
	for range endpoints {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		units := map[byte]*sim.Unit{}
		for id := range s.units {
			units[byte(id+1)] = sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: s.registers}}})
		}
		server := sim.NewServer(l, units, sim.ServerOptions{})
		fmt.Println(server.Addr())
		g.Go(func() error { return server.Run(ctx) })
	}
	return g.Wait()
}

func measure(ctx context.Context, s setup) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "benchmodbus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	endpoints, devices, err := startDevices(ctx, s)
	if err != nil {
		return err
	}
	defer stopProcess(devices)
	broker, err := freeAddress()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "gateway.toml")
	if err := os.WriteFile(file, configuration(s, dir, broker, endpoints), 0o600); err != nil {
		return err
	}
	gateway := exec.Command(s.gateway, "run", "-c", file)
	gateway.Stderr = &bytes.Buffer{}
	if err := gateway.Start(); err != nil {
		return err
	}
	defer stopProcess(gateway)
	c, err := subscribe(ctx, broker)
	if err != nil {
		return fmt.Errorf("%w; the gateway said:\n%s", err, gateway.Stderr)
	}
	defer c.Close()
	return report(ctx, s, gateway.Process.Pid, c)
}

// report counts for a while and prints what it saw.
func report(ctx context.Context, s setup, pid int, c *counter) error {
	pause(ctx, s.warm)
	begin, before := time.Now(), c.seen()
	cpu, err := cpuTime(pid)
	if err != nil {
		return err
	}
	pause(ctx, s.span)
	after, took := c.seen(), time.Since(begin)
	used, err := cpuTime(pid)
	if err != nil {
		return fmt.Errorf("the gateway has ended: %w", err)
	}
	memory, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	fmt.Printf("%d buses, %d units x %d registers, interval %v, over %v\n", s.buses, s.units, s.registers, s.interval, took.Round(time.Millisecond))
	fmt.Printf("at the subscriber: %.0f points/s in %.0f messages/s\n",
		float64(after.points-before.points)/took.Seconds(), float64(after.messages-before.messages)/took.Seconds())
	fmt.Printf("the gateway: %.2f %% of a core, %s\n", 100*(used-cpu).Seconds()/took.Seconds(), rss(string(memory)))
	return c.err()
}

// startDevices plays the devices in a process of their own, so that the gateway's is measured alone.
func startDevices(ctx context.Context, s setup) (endpoints []string, cmd *exec.Cmd, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd = exec.CommandContext(ctx, self, "-simulate", strconv.Itoa(s.buses), "-units", strconv.Itoa(s.units), "-registers", strconv.Itoa(s.registers))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	for range s.buses {
		var address string
		if _, err := fmt.Fscanln(out, &address); err != nil {
			stopProcess(cmd)
			return nil, nil, fmt.Errorf("simulated devices: %w", err)
		}
		endpoints = append(endpoints, address)
	}
	return endpoints, cmd, nil
}

// configuration spreads the devices over the buses.
func configuration(s setup, dir, broker string, endpoints []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "[gateway]\nid = \"bench\"\ndata_dir = %q\n[http]\nlisten = \"\"\n[log]\nlevel = \"warn\"\n", filepath.Join(dir, "data"))
	fmt.Fprintf(&b, "[[broker.listener]]\naddress = %q\nallow_anonymous = true\n", broker)
	for i, endpoint := range endpoints {
		fmt.Fprintf(&b, "[[bus]]\nname = \"bus%d\"\ntransport = \"tcp\"\nendpoint = %q\n", i, endpoint)
	}
	for i := range s.units {
		fmt.Fprintf(&b, "[[device]]\nname = \"unit%d\"\nbus = \"bus%d\"\nunit_id = %d\ninterval = %q\n", i, i%s.buses, i+1, s.interval)
		for p := range s.registers {
			fmt.Fprintf(&b, "[[device.point]]\nname = \"point%d\"\naddress = \"holding:%d\"\ntype = \"uint16\"\n", p, p)
		}
	}
	return b.Bytes()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func stopProcess(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// cpuTime returns the processor time of a process, in user and system mode (proc_pid_stat(5), fields 14 and 15).
func cpuTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(data, []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 13 {
		return 0, errors.New("cannot read the stat of the process")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	const tick = 10 * time.Millisecond // of Linux on every usual platform
	return time.Duration(ticks) * tick, nil
}

// rss picks the memory out of a process's status.
func rss(status string) string {
	var lines []string
	for line := range strings.Lines(status) {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmHWM:") || strings.HasPrefix(line, "RssAnon:") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, ", ")
}
