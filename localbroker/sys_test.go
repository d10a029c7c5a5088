package localbroker_test

import (
	"bufio"
	"context"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

func withSys(every time.Duration) func(*localbroker.Options) {
	return func(o *localbroker.Options) {
		o.SysInterval, o.Version = every, "1.2.3"
		o.Stored = func() (messages, bytes uint64) { return 1000, 5000 }
	}
}

// sysTopics reads retained messages below $SYS until last has come, and returns all.
func (c *raw) sysTopics(want int) map[string]string {
	c.t.Helper()
	got := map[string]string{}
	for len(got) < want {
		p, ok := c.next().(*packet.Publish)
		if !ok {
			c.t.Fatalf("got something that is no PUBLISH, after %d topics", len(got))
		}
		got[string(p.Topic)] = string(p.Payload)
	}
	return got
}

const sysCount = 23 + 9*3

func TestSysTree(t *testing.T) {
	r := start(t, withSys(20*time.Millisecond))
	all := r.clean("all")
	all.subscribe("#", 2)
	away := r.persistent("away", false)
	away.subscribe("x", 1)
	away.send("e0 00")
	away.closed()
	c := r.clean("c")
	c.publish("a", "12345", 1, 1, true)
	c.expect("40 02 00 01")
	all.expectPublish("a", "12345", 1, 1, false, false)
	all.send("40 02 00 01")
	all.nothing() // "#" is not below $
	c.subscribe("$SYS/broker/#", 2)
	got := map[string]string{}
	want := map[string]string{
		"version": "tidegate version 1.2.3", "clients/total": "3", "clients/connected": "2", "clients/active": "2", "clients/disconnected": "1",
		"clients/inactive": "1", "clients/maximum": "3", "clients/expired": "0", "subscriptions/count": "3", "retained messages/count": "51",
		"messages/stored": "1051", "store/messages/count": "1051", "publish/messages/received": "1", "publish/bytes/received": "5", "publish/messages/dropped": "0",
	}
	for deadline := time.Now().Add(patience); ; {
		p := c.next().(*packet.Publish)
		if time.Now().After(deadline) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
		if p.QoS != 0 {
			t.Fatalf("%s comes at QoS %d, and may be written to the disk", p.Topic, p.QoS)
		}
		got[strings.TrimPrefix(string(p.Topic), "$SYS/broker/")] = string(p.Payload)
		missing := 0
		for topic, value := range want {
			if got[topic] != value {
				missing++
			}
		}
		if missing == 0 && len(got) >= sysCount && got["load/connections/1min"] != "0.00" {
			break
		}
	}
	if !regexp.MustCompile(`^\d+ seconds$`).MatchString(got["uptime"]) {
		t.Errorf("uptime is %q", got["uptime"])
	}
}

// What has not changed is not published again, and nothing of it outlives the process.
func TestSysTreeIsQuietAndNotKept(t *testing.T) {
	r := start(t, withSys(time.Hour))
	c := r.clean("c")
	c.subscribe("$SYS/broker/version", 0)
	if p := c.nextPublish(); string(p.Payload) != "tidegate version 1.2.3" { // retained, or just published for the first time
		t.Errorf("the version is %q", p.Payload)
	}
	c.nothing()
	r.adjust = append(r.adjust, withSys(0))
	r.restart()
	c = r.clean("c")
	c.subscribe("$SYS/#", 0)
	c.nothing()
	if n := r.broker.Stats().Retained; n != 0 {
		t.Errorf("%d messages were kept", n)
	}
}

func TestLoadsFade(t *testing.T) {
	loads := localbroker.Loads(10*time.Second, 60, 6, 54) // 60 sockets in each of 6 steps of 10 s, and none in 54
	if got := loads[0]; got > 360 || got < 200 {
		t.Errorf("after a minute of 360 a minute the load of it is %.2f", got)
	}
	if got := loads[1]; got > 1 {
		t.Errorf("after nine minutes of nothing the load of a minute is still %.2f", got)
	}
}

// TestSysTopicsAreMosquittos compares names and forms with those of a real mosquitto.
func TestSysTopicsAreMosquittos(t *testing.T) {
	r := start(t, withSys(time.Hour))
	c := r.clean("c")
	c.subscribe("$SYS/#", 0)
	ours := c.sysTopics(sysCount)
	c.nothing()
	theirs := startMosquitto(t)
	theirs.connect(&packet.Connect{ClientID: "c", CleanStart: true})
	theirs.expect("20 02 00 00")
	theirs.subscribe("$SYS/#", 0)
	names := map[string]string{}
	lacks := func(topic string) bool { return names[topic] == "" }
	topics := slices.Collect(maps.Keys(ours))
	for deadline := time.Now().Add(patience / 2); slices.ContainsFunc(topics, lacks) && time.Now().Before(deadline); {
		if p, ok := theirs.next().(*packet.Publish); ok {
			names[string(p.Topic)] = string(p.Payload)
		}
	}
	for topic, value := range ours {
		their, ok := names[topic]
		if !ok {
			t.Errorf("mosquitto has no %s", topic)
		} else if form(value) != form(their) {
			t.Errorf("%s is %q here and %q at mosquitto", topic, value, their)
		}
	}
	for topic := range names {
		if _, ok := ours[topic]; !ok {
			t.Logf("not published here: %s", topic)
		}
	}
}

// form replaces what differs from one figure to the next.
func form(value string) string {
	value = regexp.MustCompile(`\d+`).ReplaceAllString(value, "1")
	return regexp.MustCompile(`^\S+ version \S+$`).ReplaceAllString(value, "x version 1")
}

// startMosquitto runs a mosquitto until the test ends and connects to it.
func startMosquitto(t *testing.T) *raw {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = peer(t, "/usr/sbin/mosquitto")
	}
	dir := t.TempDir()
	socket, conf := filepath.Join(dir, "socket"), filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte("user root\nallow_anonymous true\nsys_interval 1\nlistener 0 "+socket+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-v", "-c", conf)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running := make(chan struct{})
	end := make(chan struct{})
	go func() {
		defer close(end)
		for s := bufio.NewScanner(log); s.Scan(); {
			if strings.HasSuffix(s.Text(), "running") {
				close(running)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-end
		_ = cmd.Wait() // it was killed
	})
	select {
	case <-running:
	case <-end:
		t.Fatal("mosquitto did not start")
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &raw{t: t, c: c, r: bufio.NewReader(c)}
}
