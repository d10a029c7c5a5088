package localbroker_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/localbroker"
)

// peer runs a program that nobody here wrote, against a broker.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("TIDEGATE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed, and TIDEGATE_REQUIRE_PEERS asks for it: install mosquitto-clients", name)
	}
	t.Skipf("%s is not installed (Debian: mosquitto-clients)", name)
	return ""
}

// mosquitto runs mosquitto_pub or mosquitto_sub and returns its output when it ends.
func (r *rig) mosquitto(t *testing.T, name string, args ...string) <-chan string {
	t.Helper()
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, peer(t, name), append([]string{"-h", host, "-p", port}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := make(chan string, 1)
	go func() {
		if err := cmd.Wait(); err != nil {
			fmt.Fprintf(&out, "\n%v", err)
		}
		end <- out.String()
	}()
	return end
}

// subscribers waits until the broker has so many subscriptions.
func (r *rig) subscribers(n int) {
	r.t.Helper()
	eventually(r.t, "subscriptions", func() bool { return r.broker.Stats().Subscriptions == n })
}

func TestMosquittoClientsOfEveryVersionAndQoS(t *testing.T) {
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for qos := range 3 {
			t.Run(fmt.Sprint(version, " QoS ", qos), func(t *testing.T) {
				r := start(t)
				q := fmt.Sprint(qos)
				sub := r.mosquitto(t, "mosquitto_sub", "-V", version, "-t", "house/+/temp", "-q", q, "-C", "3", "-v")
				r.subscribers(1)
				for i := range 3 {
					if out := <-r.mosquitto(t, "mosquitto_pub", "-V", version, "-t", fmt.Sprintf("house/%d/temp", i), "-q", q, "-m", fmt.Sprint("2", i)); out != "" {
						t.Fatalf("mosquitto_pub says %q", out)
					}
				}
				if got, want := <-sub, "house/0/temp 20\nhouse/1/temp 21\nhouse/2/temp 22\n"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

func TestMosquittoSubscriberIsGreetedByRetainedValues(t *testing.T) {
	r := start(t)
	<-r.mosquitto(t, "mosquitto_pub", "-t", "a/b", "-m", "kept", "-q", "1", "-r")
	if got := <-r.mosquitto(t, "mosquitto_sub", "-t", "a/#", "-C", "1", "-F", "%r %t %p"); got != "1 a/b kept\n" {
		t.Errorf("got %q", got)
	}
}

func TestMosquittoPersistentSessionAcrossACrash(t *testing.T) {
	r := start(t)
	args := []string{"-c", "-i", "keeper", "-t", "a", "-q", "2"}
	sub := r.mosquitto(t, "mosquitto_sub", append(args, "-C", "1")...)
	r.subscribers(1)
	<-r.mosquitto(t, "mosquitto_pub", "-t", "a", "-q", "2", "-m", "1")
	if got := <-sub; got != "1\n" {
		t.Fatalf("got %q", got)
	}
	<-r.mosquitto(t, "mosquitto_pub", "-t", "a", "-q", "2", "-m", "2")
	<-r.mosquitto(t, "mosquitto_pub", "-t", "a", "-q", "2", "-m", "3")
	r.crash()
	if got := <-r.mosquitto(t, "mosquitto_sub", append(args, "-C", "2")...); got != "2\n3\n" {
		t.Errorf("got %q, want 2 and 3", got)
	}
}

func TestMosquittoWillAndPassword(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.Auth = passwords{"ann": "secret"} })
	watch := r.clean("watch")
	watch.subscribe("will", 0)
	if out := <-r.mosquitto(t, "mosquitto_pub", "-u", "ann", "-P", "wrong", "-t", "a", "-m", "x"); !strings.Contains(strings.ToLower(out), "bad user name or password") {
		t.Errorf("with a wrong password mosquitto_pub says %q", out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	host, port, _ := net.SplitHostPort(r.addr)
	cmd := exec.CommandContext(ctx, peer(t, "mosquitto_sub"), "-h", host, "-p", port, "-u", "ann", "-P", "secret", "-t", "x",
		"--will-topic", "will", "--will-payload", "gone")
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.subscribers(2)
	cancel() // kills it
	_ = cmd.Wait()
	watch.expectPublish("will", "gone", 0, 0, false, false)
}
