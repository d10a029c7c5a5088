package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
)

// patience tells a hang from a slow machine.
const patience = 20 * time.Second

// The tests of this file run mosquitto's clients and ours side by side: the same flags, the same output.

// program is a client as a person calls it.
type program struct {
	name string
	args []string // before those of the case
}

// startMosquitto starts a broker and returns the flags that lead to it.
func startMosquitto(t *testing.T) []string {
	t.Helper()
	port := transporttest.FreePort(t)
	transporttest.Mosquitto(t, "listener "+port+" 127.0.0.1\nallow_anonymous true\n")
	return []string{"-p", port}
}

// mosquittoClient returns one of mosquitto's clients, or skips the test.
func mosquittoClient(t *testing.T, name string) program {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return program{name: path}
	}
	if os.Getenv("TIDEGATE_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed, and TIDEGATE_REQUIRE_PEERS=1: apt-get install mosquitto-clients", name)
	}
	t.Skipf("%s is not installed: apt-get install mosquitto-clients", name)
	return program{}
}

// ourOwn is this program: the test binary, which is tidegate when it is called so.
func ourOwn(t *testing.T, verb string) program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "tidegate")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	return program{link, []string{verb}}
}

// run returns the output of a program that must end by itself.
func (p program) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.name, slices.Concat(p.args, args)...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // built for the race detector, each run would take a second more
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%s %q: %v\n%s%s", filepath.Base(p.name), args, err, &stdout, &stderr)
	}
	return stdout.String()
}

// send is one call of a publishing program.
type send struct {
	stdin string
	args  []string
}

func sends(args ...[]string) (out []send) {
	for _, a := range args {
		out = append(out, send{args: a})
	}
	return out
}

// words splits flags at spaces.
func words(line string) []string { return strings.Fields(line) }

// messages of all kinds, on topics below s.
func messages() []send {
	return append(sends(
		words("-t s/a -m hello"), words("-t s/a/b -m 1 -q 1"), words("-t s/a -n"), []string{"-t", "s/a", "-m", ""},
		[]string{"-t", "s/c", "-m", "two\nlines", "-q", "2"}, []string{"-t", "s/c", "-m", `{"a": [1, "x"]}`},
		[]string{"-t", "s/\u00fc", "-m", "\u00e9\t\"quoted\" \\ <&>\x01"}, words("-t s/r -m kept -r -q 1"),
	), send{"one\n\ntwo\r\nthree", words("-t s/lines -l -q 1")}, send{"all\nof it\n", words("-t s/whole -s")})
}

// expiry is long, so that what is left of it is known by its first digits.
const expiry = "2000000000"

// messagesV5 have properties, on topics below p.
func messagesV5() []send {
	d := func(name string, values ...string) []string {
		return append([]string{"-D", "publish", name}, values...)
	}
	return sends(
		slices.Concat(words("-V 5 -t p/p -m x -q 1"), d("user-property", "a", "b c"), d("user-property", "a", "again"),
			d("content-type", "text/plain"), d("response-topic", "r/t"), d("correlation-data", "xyz"),
			d("payload-format-indicator", "1"), d("message-expiry-interval", expiry)),
		slices.Concat(words("-t p/q -m y -q 2 -V mqttv5"), d("content-type", "application/json")), words("-t p/r -m z"),
	)
}

// TestSubPrintsAsMosquitto: what waits in a persistent session is printed by both, byte for byte. The order is compared below QoS 2 only: there
// mosquitto_sub prints a message when it is released, and so after others that were sent later.
func TestSubPrintsAsMosquitto(t *testing.T) {
	theirs, pub := mosquittoClient(t, "mosquitto_sub"), mosquittoClient(t, "mosquitto_pub")
	ours, broker := ourOwn(t, "sub"), startMosquitto(t)
	tests := []struct {
		name  string
		flags []string // of both
		count int
	}{
		{"payloads", words("-t s/#"), 14},
		{"3.1", words("-t s/# -V mqttv31 -v"), 14},
		{"verbose", words("-t s/# -v"), 14},
		{"QoS 2", words("-t q/# -q 2 -F %q%r%t|%p"), 2},
		{"without end of line", words("-t s/# -N"), 14},
		{"verbose without end of line", words("-t s/# -v -N"), 14},
		{"3.1 verbose without end of line", words("-t s/# -v -N -V mqttv31"), 14},
		{"5 verbose without end of line", words("-t s/# -v -N -V 5"), 14},
		{"bytes", words("-t b/#"), 3},
		{"bytes without end of line", words("-t b/# -N"), 3},
		{"bytes, verbose", words("-t b/# -v"), 3},
		{"bytes, format", words("-t b/# -F %t|%p|%x|%5l|"), 3},
		{"bytes, format without end of line", words("-t b/# -N -F %p|%x|%l|"), 3},
		{"two filters", words("-t s/a -t s/c -v"), 5},
		{"filtered out", words("-t s/# -T s/a/# -T s/+/x -T s/r -v"), 8},
		{"without retained", words("-t s/# -R -v"), 13},
		{"format", []string{"-t", "s/#", "-F", `%t|%p|%q|%r|%l|%%|@@|\\|\t|\a\e\v|%x|%X`}, 14},
		{"format widths", []string{"-t", "s/#", "-F", `[%8t] [%-8t] [%.3t] [%8.3t] [%-8.3t] [%5l] [%05l] [%-5l] [%-05l] [%20p] [%3q]`}, 14},
		{"format over lines", []string{"-t", "s/#", "-N", "-F", `%t\n`}, 14},
		{"format of empty payloads without end of line", words("-t s/a -N -F %p"), 3},
		{"format with a null", []string{"-t", "s/#", "-F", `%p\0%t`}, 14},
		{"time", []string{"-t", "s/#", "-F", `@Y @y @C @Z @z @G @@ %t`}, 14},
		{"JSON", words("-t s/# -F %j"), 14},
		{"JSON without end of line", words("-t s/# -N -F %j"), 14},
		{"JSON payload without end of line", words("-t j -N -F %J"), 4},
		{"JSON payload", words("-t j -F %J"), 4},
		{"5", words("-t s/# -V 5 -v"), 14},
		{"5 properties", []string{"-t", "p/#", "-V", "5", "-F", `%t %q %C|%D|%E|%F|%R|%P`}, 3},
		{"5 subscription id", append(words("-t p/# -V 5 -F %t|%S|%5S| -D"), "subscribe", "subscription-identifier", "77"), 3},
		{"5 JSON", words("-t p/# -V 5 -F %j"), 3},
	}
	sub := func(p program, id string, flags []string, more ...string) string {
		return p.run(t, "", slices.Concat(broker, words("-q 1 -c -i "+id), flags, more)...)
	}
	for i, tt := range tests { // each has a session from now on, and what comes waits in it
		sub(theirs, fmt.Sprint("theirs", i), tt.flags, "-E")
		sub(ours, fmt.Sprint("ours", i), tt.flags, "-E")
	}
	for _, s := range slices.Concat(messages(), messagesV5(),
		[]send{{"\x00\xff\xfe\n", words("-t b/x -s")}}, sends(words("-t b/x -n"), words("-t b/y -m end")),
		sends(words("-t q/a -q 2 -m 1"), words("-t q/b -q 2 -m 2"), words("-t j -m 1"), words(`-t j -m {"x":[1,{}]}`), words(`-t j -m "x"`), words("-t j -n"))) {
		pub.run(t, s.stdin, slices.Concat(broker, words("-q 1"), s.args)...)
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			count := fmt.Sprint(tt.count)
			want, got := sub(theirs, fmt.Sprint("theirs", i), tt.flags, "-C", count), sub(ours, fmt.Sprint("ours", i), tt.flags, "-C", count)
			if diff := cmp.Diff(comparable(want), comparable(got)); diff != "" {
				t.Errorf("the outputs differ (-mosquitto +ours):\n%s", diff)
			}
			if want == "" {
				t.Error("nothing was printed")
			}
		})
	}
}

// steady puts the whole expiry in the place of what is left of it.
func steady(output string) string {
	return regexp.MustCompile(`1999999\d{3}`).ReplaceAllString(output, expiry)
}

// comparable returns the lines of an output; of those that are JSON, the values without the time, which differs.
func comparable(output string) []any {
	var out []any
	for line := range strings.Lines(steady(output)) {
		if docs := documents(line); docs != nil {
			out = append(append(out, docs...), strings.HasSuffix(line, "\n"))
			continue
		}
		out = append(out, line)
	}
	return out
}

// documents returns the messages that a line has as JSON, one behind the other, without their times; nil if it has something else.
func documents(line string) (docs []any) {
	in := json.NewDecoder(strings.NewReader(line))
	for {
		var doc map[string]any
		err := in.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil || doc["tst"] == nil {
			return nil
		}
		delete(doc, "tst")
		docs = append(docs, doc)
	}
}

// sourcesTimesFlags gives each source of a payload the flags that change what becomes of it, on topics below p. They bring sourcesCount messages, none of
// QoS 0, which waits for nobody.
func sourcesTimesFlags(file, empty string) []send {
	const five = " -V 5 -D publish content-type text/plain -D publish user-property a b"
	return append(sends(
		words("-t p/n -n"+five), words("-t p/n -n --repeat 2"), words("-t p/n -n -V 31 -q 2"), // 4
		words("-t p/f --repeat 2 -f "+file), words("-t p/f -q 2 -f "+file+five), words("-t p/f -f "+empty), // 4
		words("-t p/m -m x -D connect user-property a b -D disconnect user-property c d"+five), words("-t p/m -m x -V 311"), // 2
		words("-t p/m -m x -D publish message-expiry-interval "+expiry+five), words("-t p/m -m x --repeat 1"), // 2
		[]string{"-t", "p/m", "-V", "5", "-m", "", "-D", "publish", "user-property", "", ""}, // 1
		words("-t p/r -r -m kept"+five), words("-t p/r -r -n"), words("-t p/r2 -r -n -V 5"), // 3, and nothing stays
	),
		send{"all\x00\xff", words("-t p/s -s --repeat 2" + five)}, send{"\n", words("-t p/s -s")}, // 3
		send{"one\n\ntwo", words("-t p/l -l -q 2" + five)}, send{"\n", words("-t p/l -l")}, send{"", words("-t p/l -l")}, // 4
		send{strings.Repeat("long ", 5000) + "\nshort\n", words("-t p/l -l -V 31")}, // 2
	)
}

const sourcesCount = 4 + 4 + 2 + 2 + 1 + 3 + 3 + 4 + 2

// TestPubRefusesAsMosquitto: what neither sends.
func TestPubRefusesAsMosquitto(t *testing.T) {
	programs := []program{mosquittoClient(t, "mosquitto_pub"), ourOwn(t, "pub")}
	broker := startMosquitto(t)
	for _, line := range []string{
		"-t a -s", "-t a", "-n", "-t a/# -m x", "-t a -m x -n", "-t a -l -m x", "-t a -f nosuch", "-t a -m x -q 3", "-t a -m x -V 9",
		"-t a -m x -V 5 -D publish nosuch 1", "-t a -m x -V 5 -D publish receive-maximum 1",
	} {
		for _, p := range programs {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			cmd := exec.CommandContext(ctx, p.name, slices.Concat(p.args, broker, words(line))...)
			out, err := cmd.CombinedOutput()
			cancel()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() <= 0 {
				t.Errorf("%s %s: %v, want it refused\n%s", filepath.Base(p.name), line, err, out)
			}
		}
	}
}

// TestPubSendsAsMosquitto: what both send is the same to a third.
func TestPubSendsAsMosquitto(t *testing.T) {
	theirs, sub := mosquittoClient(t, "mosquitto_pub"), mosquittoClient(t, "mosquitto_sub")
	ours, broker := ourOwn(t, "pub"), startMosquitto(t)
	file, empty := transporttest.WriteFile(t, "of a\nfile\x00\xff"), transporttest.WriteFile(t, "")
	sources := sourcesTimesFlags(file, empty)
	more := append(slices.Concat(messages(), messagesV5(), sources), sends(
		[]string{"-t", "s/f", "-f", file}, words("-t s/rep -m again --repeat 3 -q 2"), words("-V 31 -t s/31 -m x"),
		words("-L mqtt://127.0.0.1/s/url/topic -m x"), words("-t p/m -m -D"),
	)...)
	watch := slices.Concat(broker, words("-c -i watch -t s/# -t p/# -q 2 -V 5 -F"), []string{`%t %q %r %l %x|%C|%D|%E|%F|%R|%P`})
	sub.run(t, "", append(watch, "-E")...)
	const count = 13 + 3 + sourcesCount + 1 + 3 + 1 + 1 + 1 + 1 // the last one is the retained message, which comes again
	var seen [2][]string
	for i, p := range []program{theirs, ours} {
		for _, s := range more {
			args := slices.Concat(broker, words("-q 1"), s.args)
			if url := slices.Index(args, "-L"); url >= 0 { // it brings the port too
				args[url+1] = strings.Replace(args[url+1], "127.0.0.1", "127.0.0.1:"+broker[1], 1)
				args = args[len(broker):]
			}
			p.run(t, s.stdin, args...)
		}
		output := sub.run(t, "", append(watch, "-C", fmt.Sprint(count))...)
		seen[i] = slices.Sorted(strings.SplitSeq(steady(output), "\n")) // mosquitto_sub prints QoS 2 late
		p.run(t, "", slices.Concat(broker, words("-t s/r -r -n"))...)
	}
	if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
		t.Errorf("the messages differ (-mosquitto +ours):\n%s", diff)
	}
}
