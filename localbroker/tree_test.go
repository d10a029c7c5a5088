package localbroker

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

var (
	topicLevels  = rapid.SampledFrom([]string{"a", "b", "c", "", "$x"})
	filterLevels = rapid.SampledFrom([]string{"a", "b", "c", "", "$x", "+"})
)

// drawTopic makes a topic name, drawFilter a filter, of few levels, so that they meet.
func drawTopic(t *rapid.T) string {
	topic := strings.Join(rapid.SliceOfN(topicLevels, 1, 4).Draw(t, "topic"), "/")
	if topic == "" {
		return "a"
	}
	return topic
}

func drawFilter(t *rapid.T) string {
	levels := rapid.SliceOfN(filterLevels, 1, 4).Draw(t, "filter")
	if rapid.Bool().Draw(t, "all below") {
		levels = append(levels, "#")
	}
	if filter := strings.Join(levels, "/"); filter != "" {
		return filter
	}
	return "#"
}

// The tree finds what the codec's Match says of each subscription alone, whatever was added and removed before.
func TestTreeFindsWhatMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tr tree
		sessions := []*session{{id: "0"}, {id: "1"}, {id: "2"}}
		want := map[string]map[*session]bool{}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			filter, s := drawFilter(t), rapid.SampledFrom(sessions).Draw(t, "session")
			sub := subscriber{session: s, sub: gateway.Subscription{Filter: filter}}
			if rapid.IntRange(0, 2).Draw(t, "what") == 0 {
				tr.remove(sub)
				delete(want[filter], s)
				continue
			}
			if isNew := tr.add(sub); isNew == want[filter][s] {
				t.Fatalf("add %q: new %v", filter, isNew)
			}
			if want[filter] == nil {
				want[filter] = map[*session]bool{}
			}
			want[filter][s] = true
		}
		topic := drawTopic(t)
		got, expected := []string{}, []string{}
		tr.match(topic, func(s *subscriber) { got = append(got, s.session.id+" "+s.sub.Filter) })
		n := 0
		for filter, subs := range want {
			n += len(subs)
			for s := range subs {
				if packet.Match(filter, topic) {
					expected = append(expected, s.id+" "+filter)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Fatalf("topic %q: got %q, want %q", topic, got, expected)
		}
		if tr.subscriptions() != n {
			t.Fatalf("%d subscriptions, want %d", tr.subscriptions(), n)
		}
	})
}

func TestTreeForgetsLevelsThatNobodyNeeds(t *testing.T) {
	var tr tree
	s := &session{}
	for _, filter := range []string{"a/b/c", "a/b", "a/+/c", "#", "a/b/#"} {
		tr.add(subscriber{session: s, sub: gateway.Subscription{Filter: filter}})
		defer func() {
			if len(tr.root.children) != 0 {
				t.Errorf("levels are left: %v", tr.root.children)
			}
		}()
	}
	for _, filter := range []string{"a/b", "a/b/#", "#", "a/+/c", "a/b/c", "not/there"} {
		tr.remove(subscriber{session: s, sub: gateway.Subscription{Filter: filter}})
	}
}

func TestEveryChangeOfTheTreeIsANewGeneration(t *testing.T) {
	var tr tree
	s := subscriber{session: &session{}, sub: gateway.Subscription{Filter: "a"}}
	seen := map[uint64]bool{tr.gen.Load(): true}
	for range 3 {
		tr.add(s)
		tr.remove(s)
		if seen[tr.gen.Load()] {
			t.Fatal("a generation came twice")
		}
		seen[tr.gen.Load()] = true
	}
}

// The retained messages of a filter are those whose topics match it.
func TestRetainedFindsWhatMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := retained{byTopic: map[string]*kept{}, maxCount: 1000, maxBytes: 1 << 20}
		want := map[string]string{}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			m := &message{Message: gateway.Message{Topic: drawTopic(t)}}
			if rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				m.Payload = []byte(rapid.StringN(1, 5, -1).Draw(t, "payload"))
			}
			r.set(m.Topic, m, true)
			if want[m.Topic] = string(m.Payload); len(m.Payload) == 0 {
				delete(want, m.Topic)
			}
		}
		filter := drawFilter(t)
		got := map[string]string{}
		r.match(filter, func(m *message) { got[m.Topic] = string(m.Payload) })
		bytes := 0
		for topic, payload := range want {
			bytes += len(topic) + len(payload) + messageOverhead
			if packet.Match(filter, topic) != (got[topic] != "") || got[topic] != "" && got[topic] != payload {
				t.Fatalf("filter %q, topic %q: got %q, want %q", filter, topic, got[topic], payload)
			}
		}
		if r.count != len(want) || r.bytes != bytes {
			t.Fatalf("counted %d messages of %d bytes, want %d of %d", r.count, r.bytes, len(want), bytes)
		}
		for topic := range want {
			r.set(topic, &message{Message: gateway.Message{Topic: topic}}, true)
		}
		if len(r.root.children) != 0 || r.bytes != 0 {
			t.Fatal("levels or bytes are left of nothing")
		}
	})
}
