package bridge

import (
	"bytes"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// The log says what a person can do: a link that cannot be made is explained by a verb, one that is made and lost again and again has a
// rival with the same client id, and one that was lost after a while has neither.
func TestAdviceInTheLog(t *testing.T) {
	const (
		verb  = `hint="tidegate bridge test cloud finds out why"`
		rival = `does another client use the client id \"plant-cloud\"?`
	)
	var log bytes.Buffer
	b := &Bridge{
		opts:    Options{Name: "cloud", ClientID: "plant-cloud"},
		log:     slog.New(slog.NewTextHandler(&log, nil)),
		backoff: func(time.Duration, failure) time.Duration { return time.Second },
		servers: newServers([]*url.URL{{Scheme: "mqtt", Host: "broker"}}),
	}
	lost := errors.New("connection lost: EOF")
	for i, step := range []struct {
		err    error
		made   bool
		lasted time.Duration
		want   string
	}{
		{packets.ErrorRefusedNotAuthorised, false, 0, verb},
		{lost, true, time.Second, ""},
		{lost, true, time.Second, ""},
		{lost, true, time.Second, rival},
		{lost, true, time.Second, rival},
		{lost, true, time.Hour, ""},
		{lost, true, time.Second, ""},
		{lost, false, time.Second, verb},
	} {
		if step.made {
			b.counters.connects.Add(1)
		}
		log.Reset()
		b.pauseAfter(step.err, step.lasted)
		if got := log.String(); !strings.Contains(got, step.want) || step.want == "" && strings.Contains(got, "hint=") {
			t.Errorf("step %d: logged %s, want the hint %q", i, got, step.want)
		}
	}
}
