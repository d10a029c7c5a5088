package bridge

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/c", false},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a/+", "a/b", true},
		{"a/+", "a", false},
		{"a/+", "a/b/c", false},
		{"+/b", "a/b", true},
		{"+", "", true},
		{"a/+/c", "a//c", true},
		{"#", "a/b/c", true},
		{"a/#", "a", true},
		{"a/#", "a/", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"#", "$SYS/x", false},
		{"+/x", "$SYS/x", false},
		{"$SYS/#", "$SYS/x", true},
	} {
		if got := covers(tt.filter, tt.topic); got != tt.want {
			t.Errorf("covers(%q, %q) = %v", tt.filter, tt.topic, got)
		}
	}
}

func TestRouteMapsBothWays(t *testing.T) {
	r := Route{Filter: "+/set", LocalPrefix: "tidegate/gw/", RemotePrefix: "site/7/"}
	if got, ok := r.outward("tidegate/gw/tank/set"); !ok || got != "site/7/tank/set" {
		t.Errorf("outward: %q %v", got, ok)
	}
	if got, ok := r.inward("site/7/tank/set"); !ok || got != "tidegate/gw/tank/set" {
		t.Errorf("inward: %q %v", got, ok)
	}
	if got, ok := r.inward("site/8/tank/set"); ok {
		t.Errorf("inward took a foreign prefix: %q", got)
	}
}

func TestBackoffStaysInBounds(t *testing.T) {
	var b backoff
	longest := time.Duration(0)
	for range 1000 {
		d := b.next(0, failNetwork)
		longest = max(longest, d)
		if d < backoffMin || d > backoffMax {
			t.Fatalf("wait %v", d)
		}
	}
	if longest < backoffMax/2 {
		t.Errorf("1000 failures and the longest wait was %v", longest)
	}
	if d := b.next(backoffCalm, failNetwork); d > backoffSpread {
		t.Errorf("after a calm connection the wait is %v", d)
	}
	if d := b.next(0, failNetwork); d > 3*backoffSpread {
		t.Errorf("after a calm connection the second wait is %v", d)
	}
	b = backoff{}
	if d := b.next(0, failAuth); d < backoffAuth {
		t.Errorf("after refused credentials the wait is %v", d)
	}
}

// TestScanSeesThePacketsWhateverTheReads cuts a stream of packets at random and expects the same verdict as in one piece.
func TestScanSeesThePacketsWhateverTheReads(t *testing.T) {
	const maxPacket, maxSuback = 300, 4
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		good := true
		for range rapid.IntRange(1, 8).Draw(t, "packets") {
			head := rapid.SampledFrom([]byte{0x30, 0x40, 0x90, 0xd0}).Draw(t, "head")
			size := rapid.SampledFrom([]int{0, 2, 4, 5, 127, 128, 300, 301}).Draw(t, "size")
			if size > maxPacket || head == 0x90 && size > maxSuback {
				good = false
			}
			stream = append(stream, head)
			if size > 127 {
				stream = append(stream, byte(size&0x7f|0x80), byte(size>>7))
			} else {
				stream = append(stream, byte(size))
			}
			stream = append(stream, make([]byte, size)...)
			if !good {
				break
			}
		}
		var s packetScan
		var err error
		for rest := stream; len(rest) > 0 && err == nil; {
			n := min(1+rand.IntN(40), len(rest))
			err = s.check(rest[:n], maxPacket, maxSuback)
			rest = rest[n:]
		}
		if (err == nil) != good {
			t.Fatalf("error %v, want good=%v", err, good)
		}
	})
}

func TestScanRefusesFiveLengthBytes(t *testing.T) {
	var s packetScan
	if err := s.check([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, 1<<30, 4); err == nil {
		t.Error("taken")
	}
}
