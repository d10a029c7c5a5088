package e2e_test

import (
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestDemo runs the demo as a person does: it takes other ports where the usual ones are taken, replicates to its cloud, takes a
// command from there, ends on Ctrl-C, and finds its data again.
func TestDemo(t *testing.T) {
	occupy(t, "127.0.0.1:1883")
	data := t.TempDir()
	d, _, cloudPort := startDemo(t, data)
	if !strings.Contains(strings.Join(d.all(), "\n"), "Port 1883 is taken") {
		t.Error("the demo does not say that port 1883 is taken")
	}
	inCloud := observe(t, "cloud observer", lan(cloudPort), "", "tidegate/demo/#")
	for _, device := range []string{"meter", "tank", "drive", "meter2"} {
		m := inCloud.waitMessages(device, topicIs("tidegate/demo/"+device), func(m []seen) bool { return len(m) >= 3 })
		if s := parseDevice(t, m[2].payload); s.Quality != "good" || len(s.Bad) > 0 {
			t.Errorf("%s: %s", device, m[2].payload)
		}
	}
	publish(t, lan(cloudPort), "tidegate/demo/tank/setpoint/set", "42.5")
	inCloud.waitMessages("the result", topicIs("tidegate/demo/tank/result"), func(m []seen) bool {
		return len(m) > 0 && strings.Contains(m[0].payload, `"state":"done"`) && strings.Contains(m[0].payload, `"setpoint":42.5`)
	})
	state := topicIs("tidegate/demo/gateway/state")
	first := lastState(t, inCloud.waitMessages("birth", state, func(m []seen) bool { return len(m) > 0 }))
	if err := d.interrupt(syscall.SIGINT); err != nil {
		t.Errorf("Ctrl-C ended the demo with %v", err)
	}

	d, _, cloudPort = startDemo(t, data)
	again := observe(t, "cloud observer of the second run", lan(cloudPort), "", "tidegate/demo/#")
	second := lastState(t, again.waitMessages("second birth", state, func(m []seen) bool { return lastState(t, m).State == "online" }))
	if second.Epoch <= first.Epoch {
		t.Errorf("the second run has epoch %d after %d: it did not find its data", second.Epoch, first.Epoch)
	}
	if err := d.interrupt(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM ended the demo with %v", err)
	}
}

// occupy holds an address, if nobody else does.
func occupy(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Logf("%s is taken already: %v", addr, err)
		return
	}
	t.Cleanup(func() { l.Close() })
}

var printedCommand = regexp.MustCompile(`mosquitto_sub -h 127\.0\.0\.1 -p (\d+)`)

// startDemo runs the demo and returns the ports of the commands that it prints: first the plant's, then the cloud's.
func startDemo(t *testing.T, data string) (d *process, plant, cloud int) {
	t.Helper()
	d = start(t, "demo", binary, "demo", "--data", data)
	d.waitLine("Ctrl-C ends the demo")
	var ports []int
	for _, m := range printedCommand.FindAllStringSubmatch(strings.Join(d.all(), "\n"), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, n)
	}
	if text := strings.Join(d.all(), "\n"); strings.Contains(text, "{") {
		t.Errorf("the demo prints a word that stands for something: %s", text)
	}
	if len(ports) < 2 {
		t.Fatalf("the demo prints no commands: %s", strings.Join(d.all(), "\n"))
	}
	return d, ports[0], ports[1]
}
