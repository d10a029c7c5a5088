package gateway

import (
	"reflect"
	"strings"
	"testing"
)

func TestTopics(t *testing.T) {
	topics := Topics{Base: "tidegate/gw"}
	for got, want := range map[string]string{
		topics.Device("meter"):               "tidegate/gw/meter",
		topics.Point("meter", "u"):           "tidegate/gw/meter/u",
		topics.Availability("meter"):         "tidegate/gw/meter/availability",
		topics.Result("meter"):               "tidegate/gw/meter/result",
		topics.State():                       "tidegate/gw/gateway/state",
		topics.UpstreamState("cloud"):        "tidegate/gw/gateway/upstream/cloud/state",
		topics.Gap():                         "tidegate/gw/gateway/gap",
		strings.Join(topics.Commands(), " "): "tidegate/gw/+/+/set tidegate/gw/+/set tidegate/gw/+/get",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestParseCommandTopic(t *testing.T) {
	type parts struct {
		device, point, verb string
		ok                  bool
	}
	topics := Topics{Base: "tidegate/gw"}
	for topic, want := range map[string]parts{
		"tidegate/gw/meter/setpoint/set": {"meter", "setpoint", "set", true},
		"tidegate/gw/meter/set":          {"meter", "", "set", true},
		"tidegate/gw/meter/get":          {"meter", "", "get", true},
		"tidegate/gw/meter/setpoint/get": {},
		"tidegate/gw/meter":              {},
		"tidegate/gw/meter/u":            {},
		"tidegate/gw/set":                {},
		"tidegate/gw/a/b/c/set":          {},
		"tidegate/gwx/meter/set":         {},
		"other/meter/set":                {},
		"":                               {},
	} {
		var got parts
		got.device, got.point, got.verb, got.ok = topics.ParseCommand(topic)
		if got != want {
			t.Errorf("%q: got %+v, want %+v", topic, got, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"meter", "Meter_1", "a-b", "7", "settings"} {
		if err := CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"":             "name is empty",
		"a/b":          `name "a/b": '/' is not allowed, use letters, digits, _ and -`,
		"a+":           `'+' is not allowed`,
		"#":            `'#' is not allowed`,
		"a b":          `' ' is not allowed`,
		"zähler":       `'ä' is not allowed`,
		"gateway":      `name "gateway" is reserved, choose another`,
		"alarm":        "is reserved",
		"set":          "is reserved",
		"get":          "is reserved",
		"result":       "is reserved",
		"availability": "is reserved",
	} {
		if err := CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", name, err, want)
		}
	}
}

func TestBatchQuality(t *testing.T) {
	for want, qualities := range map[Quality][]Quality{
		QualityBad:   {QualityBad, QualityBad},
		QualityStale: {QualityBad, QualityStale},
		QualityGood:  {QualityBad, QualityStale, QualityGood},
	} {
		var b Batch
		for _, q := range qualities {
			b.Readings = append(b.Readings, Reading{Quality: q})
		}
		if got := b.Quality(); got != want {
			t.Errorf("%v: got %s, want %s", qualities, got, want)
		}
	}
	if got := (&Batch{}).Quality(); got != QualityBad {
		t.Errorf("no readings: got %s, want bad", got)
	}
	words := []string{Quality(0).String(), Quality(1).String(), Quality(2).String(), Quality(9).String()}
	if want := []string{"bad", "stale", "good", "bad"}; !reflect.DeepEqual(words, want) {
		t.Errorf("got %v, want %v", words, want)
	}
}
