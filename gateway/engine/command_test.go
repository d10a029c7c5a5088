package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/payload"
)

// results returns the answers on a topic as "state values: error".
func (r *rig) results(topic string) (list []string) {
	r.Helper()
	for _, text := range r.publisher.payloads(topic) {
		res, err := payload.ParseResult([]byte(text))
		if err != nil {
			r.Fatalf("%s: %v", text, err)
		}
		line := string(res.State)
		for _, s := range res.Values {
			line += fmt.Sprintf(" %s=%s", s.Point, s.Value)
		}
		if res.Error != "" {
			line += ": " + res.Error
		}
		list = append(list, line)
	}
	return list
}

// want compares lists of words; nil and empty are the same.
func want[T comparable](t testing.TB, what string, got []T, want ...T) {
	t.Helper()
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func TestSetWritesAndAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.start()
		r.after(100 * time.Millisecond)
		r.send("t/m/a/set", "42")
		r.after(100 * time.Millisecond)
		r.send("t/m/set", `{"values":{"b":true,"a":7.5},"id":"x"}`)
		r.after(100 * time.Millisecond)
		r.stop()
		want(t, "conversations", d.words(),
			"poll 0.0", "write 0.0=42", "poll 0.0", // polled at once after the write
			"write 0.1=true", "write 0.0=7.5", "poll 0.0")
		want(t, "results", r.results("t/m/result"), "done a=42", "done b=true a=7.5")
		for _, m := range r.publisher.messages("t/m/result") {
			if m.QoS != 1 || m.Retain || m.Properties != nil {
				t.Errorf("got %+v, want QoS 1, not retained", m)
			}
		}
		want(t, "open entries", r.journal.open())
		if n := r.engine.Stats()[0].Writes; n != 3 {
			t.Errorf("got %d writes, want 3", n)
		}
	})
}

// A command does not wait for the end of a poll, only for that of a conversation.
func TestCommandEntersBetweenTwoSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m", "other")
		d.onPoll = func(ctx context.Context, _, step int, readings []gateway.Reading) (bool, error) {
			wait(100*time.Millisecond, ctx.Done())
			setAll(readings, good(gateway.Int(1)))
			return step < 3, ctx.Err()
		}
		r := newRig(t, d)
		r.start()
		r.after(150 * time.Millisecond) // in the middle of step 1
		r.send("t/other/a/set", "1")
		r.after(600 * time.Millisecond)
		r.stop()
		want(t, "conversations", d.words()[:7],
			"poll 0.0", "poll 0.1", "write 1.0=1", "poll 0.2", "poll 0.3", "poll 1.0", "poll 1.1")
		if at := d.taken("write")[0].at; at != 200*time.Millisecond {
			t.Errorf("written at %v, want at the end of the conversation, 200 ms", at)
		}
	})
}

func TestRejections(t *testing.T) {
	for _, c := range []struct{ name, topic, payload, result, want string }{
		{"unknown device", "t/x/a/set", "1", "t/x/result", "rejected: device x is not known"},
		{"unknown device, get", "t/x/get", "", "t/x/result", "rejected: device x is not known"},
		{"unknown point", "t/m/x/set", "1", "t/m/result", "rejected: device m has no point x"},
		{"not writable", "t/m/c/set", "1", "t/m/result", "rejected: point c is not writable"},
		{"above", "t/m/a/set", "100.5", "t/m/result", "rejected: value of a: 100.5 is above 100"},
		{"below", "t/m/a/set", "-1", "t/m/result", "rejected: value of a: -1 is below 0"},
		{"comma", "t/m/a/set", `"42,5"`, "t/m/result", "rejected: value of a: 42,5 is not a number: write 42.5, with a point and without quotes"},
		{"wrong type", "t/m/a/set", `"1"`, "t/m/result", "rejected: value of a: 1 is not a number"},
		{"wrong type", "t/m/b/set", `2`, "t/m/result", "rejected: value of b: 2 is not true or false"},
		{"malformed", "t/m/a/set", `on`, "t/m/result", "rejected: parse command: malformed JSON"},
		{"one of two is wrong", "t/m/set", `{"values":{"a":1,"c":1}}`, "t/m/result", "rejected: point c is not writable"},
		{"expired", "t/m/set", `{"values":{"a":1},"expires":"1999-12-31T23:59:59Z"}`, "t/m/result", "expired: it expired at 1999-12-31T23:59:59.000Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := meters("m")
				r := newRig(t, d)
				r.start()
				r.send(c.topic, c.payload)
				r.after(100 * time.Millisecond)
				r.stop()
				got := r.results(c.result)
				if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
				want(t, "writes", d.taken("write"))
				want(t, "open entries", r.journal.open())
			})
		})
	}
}

func TestRetainedCommandIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.start()
		r.journal.add(&gateway.Message{Topic: "t/m/a/set", Payload: []byte("1"), Retain: true})
		r.after(time.Second)
		r.stop()
		if got := r.results("t/m/result"); len(got) != 1 || !strings.HasPrefix(got[0], "rejected: retained commands are refused") {
			t.Errorf("got %q", got)
		}
		want(t, "writes", d.taken("write"))
	})
}

func TestExpiresNeedsAClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		synced := false
		r.options.ClockSynced = func() bool { return synced }
		r.start()
		const command = `{"values":{"a":1},"expires":"2000-01-01T00:01:00Z"}`
		r.send("t/m/set", command)
		r.after(time.Second)
		synced = true
		r.send("t/m/set", command)
		r.after(time.Second)
		r.send("t/m/set", `{"values":{"a":1},"expires":"2000-01-01T00:00:02Z"}`) // now
		r.after(time.Second)
		r.stop()
		got := r.results("t/m/result")
		if len(got) != 3 || !strings.HasPrefix(got[0], "rejected: the gateway's clock is not synchronised") || got[1] != "done a=1" || !strings.HasPrefix(got[2], "expired") {
			t.Errorf("got %q", got)
		}
	})
}

// A command that waited for the bus is checked again before it is carried out.
func TestCommandExpiresWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.cost = 10 * time.Second
		r := newRig(t, d)
		r.start()
		r.send("t/m/a/set", "1")
		r.send("t/m/set", `{"values":{"a":2},"expires":"2000-01-01T00:00:05Z"}`)
		r.after(time.Minute)
		r.stop()
		want(t, "results", r.results("t/m/result"), "done a=1", "expired: it expired at 2000-01-01T00:00:05.000Z")
	})
}

func TestResponseTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.start()
		for _, reply := range []string{"reply/me", "t/m/b/set", "t/gateway/state", "a/#", "$SYS/x"} {
			r.journal.add(&gateway.Message{
				Topic: "t/m/a/set", Payload: []byte("1"),
				Properties: &gateway.Properties{ResponseTopic: reply, CorrelationData: []byte{7, 8}},
			})
		}
		r.after(time.Second)
		r.stop()
		answers := r.publisher.messages("reply/me")
		if len(answers) != 1 {
			t.Fatalf("got %d answers, want 1", len(answers))
		}
		m := answers[0]
		if m.QoS != 1 || m.Retain || m.Properties == nil || string(m.Properties.CorrelationData) != "\x07\x08" || !strings.Contains(string(m.Payload), `"done"`) {
			t.Errorf("got %+v", m)
		}
		for _, topic := range []string{"t/m/b/set", "t/gateway/state", "a/#", "$SYS/x"} {
			if n := len(r.publisher.messages(topic)); n != 0 {
				t.Errorf("%d answers on %s, want none", n, topic)
			}
		}
		if n := len(r.publisher.messages("t/m/result")); n != 5 {
			t.Errorf("%d answers on the result topic, want 5", n)
		}
	})
}

func TestWriteFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(v gateway.Value) (gateway.Reading, error)
		want  string
	}{
		{"exception", func(gateway.Value) (gateway.Reading, error) { return gateway.Reading{}, errors.New("exception 2") }, "failed b=true: write a: exception 2"},
		{"read back is bad", func(gateway.Value) (gateway.Reading, error) {
			return gateway.Reading{Reason: gateway.ReasonCRC}, nil
		}, "failed b=true: read back a: crc"},
		{"panic", func(gateway.Value) (gateway.Reading, error) { panic("oops") }, "unknown b=true: write a: driver panicked: oops"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := meters("m")
				d.onWrite = func(_ context.Context, _, point int, v gateway.Value) (gateway.Reading, error) {
					if point == 0 {
						return c.write(v)
					}
					return good(v), nil
				}
				r := newRig(t, d)
				r.start()
				r.send("t/m/set", `{"values":{"b":1,"a":2},"id":"x"}`)
				r.after(time.Second)
				r.send("t/m/set", `{"values":{"b":1,"a":2},"id":"x"}`)
				r.after(10 * time.Second)
				r.stop()
				want(t, "results", r.results("t/m/result"), c.want, c.want)
				want(t, "open entries", r.journal.open())
				if n := len(d.taken("write 0.0")); n != 1 {
					t.Errorf("written %d times, want once for one id", n)
				}
			})
		})
	}
}

// The same id gets the same answer, even when it has expired since, and the device is left alone.
func TestIDIsCarriedOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m", "other")
		r := newRig(t, d)
		r.start()
		const command = `{"values":{"a":1},"id":"x","expires":"2000-01-01T00:00:30Z"}`
		r.send("t/m/set", command)
		r.send("t/m/set", command) // while the first is on its way
		r.after(time.Minute)
		r.send("t/m/set", command)
		r.send("t/other/set", `{"values":{"a":2},"id":"x"}`) // ids of devices are apart
		r.after(time.Second)
		r.stop()
		want(t, "results", r.results("t/m/result"), "done a=1", "done a=1", "done a=1")
		want(t, "other's results", r.results("t/other/result"), "done a=2")
		payloads := r.publisher.payloads("t/m/result")
		if payloads[0] != payloads[2] {
			t.Errorf("got %s, want the first answer %s", payloads[2], payloads[0])
		}
		if n := len(d.taken("write 0")); n != 1 {
			t.Errorf("written %d times, want once", n)
		}
	})
}

// A refusal does not use the id up.
func TestIDOfARefusedCommandStaysFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		r := newRig(t, d)
		r.start()
		r.send("t/m/set", `{"values":{"a":1000},"id":"x"}`)
		r.send("t/m/set", `{"values":{"a":10},"id":"x"}`)
		r.after(time.Second)
		r.stop()
		want(t, "results", r.results("t/m/result"), "rejected: value of a: 1000 is above 100", "done a=10")
	})
}

func TestGetPollsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m", "dead")
		d.kill(1, 50*time.Millisecond)
		r := newRig(t, d)
		r.start()
		r.after(700 * time.Millisecond)
		batches, silence := len(r.publisher.batches("t/m")), len(r.publisher.batches("t/dead"))
		r.send("t/m/get", "")
		r.after(20 * time.Millisecond)
		if n := len(r.publisher.batches("t/m")); n != batches+1 {
			t.Errorf("got %d batches, want one more than %d", n, batches)
		}
		r.send("t/dead/get", "")
		r.after(100 * time.Millisecond)
		r.stop()
		want(t, "results", r.results("t/m/result"), "done")
		want(t, "results of the dead", r.results("t/dead/result"), "failed: read registers: no answer")
		if n := len(r.publisher.batches("t/dead")); n != silence {
			t.Errorf("an offline device published %d batches more", n-silence)
		}
	})
}

// A poll that is under way when its device is asked for is not held twice.
func TestGetTakesThePlaceOfAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := meters("m")
		d.onPoll = func(ctx context.Context, _, step int, readings []gateway.Reading) (bool, error) {
			wait(100*time.Millisecond, ctx.Done())
			setAll(readings, good(gateway.Int(1)))
			return step < 1, ctx.Err()
		}
		r := newRig(t, d)
		r.start()
		r.after(50 * time.Millisecond)
		r.send("t/m/get", "")
		r.after(400 * time.Millisecond)
		r.stop()
		want(t, "conversations", d.words(), "poll 0.0", "poll 0.0", "poll 0.1")
		if n := len(r.publisher.batches("t/m")); n != 1 {
			t.Errorf("got %d batches, want 1", n)
		}
	})
}
