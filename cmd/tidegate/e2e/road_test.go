package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// settle is how many counts a sequence must have before it is compared.
const settle = 6

// TestRoad follows values from two real slaves to LAN clients and to the cloud, and commands back.
func TestRoad(t *testing.T) {
	c := startCloud(t)
	tcpSlave, modbusPort := startTCPSlave(t)
	rtuSlave, serial := startRTUSlave(t)
	g := newPlant(t, tcpBus("lan", modbusPort)+rtuBus("line", serial)+deviceOn("lan", "meter")+deviceOn("line", "tank")+
		upstreamTo(t, c, c.addr(), commonRoutes))
	inCloud := observe(t, "cloud observer", c.client(), "", "tidegate/#", "site/#")
	g.start()
	onLAN := observe(t, "lan observer", g.client(), "", "tidegate/#")

	t.Run("sequence of values equals what the registers held", func(t *testing.T) {
		for device, slave := range map[string]*process{"meter": tcpSlave, "tank": rtuSlave} {
			for place, o := range map[string]observer{"LAN": onLAN, "cloud": inCloud} {
				got := o.waitMessages("counts of "+device, topicIs("tidegate/plant7/"+device), func(m []seen) bool {
					return len(distinctCounts(t, m)) >= settle
				})
				checkCounts(t, place+" "+device, distinctCounts(t, got), counts(slave))
				checkConsistent(t, got)
			}
		}
	})

	t.Run("retained value greets a late subscriber", func(t *testing.T) {
		for place, target := range map[string][]string{"LAN": g.client(), "cloud": c.client()} {
			late := observe(t, "late subscriber", target, "", "tidegate/plant7/meter")
			first := late.waitMessages("a retained value in the "+place, topicIs("tidegate/plant7/meter"), func(m []seen) bool { return len(m) > 0 })
			if !first[0].retain {
				t.Errorf("%s: the first message has no retain flag: %+v", place, first[0])
			}
		}
	})

	t.Run("LAN publishes reach the cloud", func(t *testing.T) {
		for i := range 20 {
			publish(t, g.client(), "site/line1/order", fmt.Sprintf("order %d", i))
		}
		got := inCloud.waitMessages("20 orders", topicIs("site/line1/order"), func(m []seen) bool { return len(m) >= 20 })
		for i, m := range got {
			if want := fmt.Sprintf("order %d", i); m.payload != want {
				t.Errorf("message %d is %q, want %q", i, m.payload, want)
			}
		}
	})

	t.Run("set from the cloud changes the register and its result comes back", func(t *testing.T) {
		publish(t, c.client(), "tidegate/plant7/meter/set", `{"id":"c-1","values":{"setpoint":42}}`)
		tcpSlave.waitLine("write 3 [42]")
		result := inCloud.waitMessages("a result", topicIs("tidegate/plant7/meter/result"), func(m []seen) bool { return len(m) > 0 })
		for _, want := range []string{`"id":"c-1"`, `"state":"done"`, `"setpoint":42`} {
			if !strings.Contains(result[0].payload, want) {
				t.Errorf("result %s lacks %s", result[0].payload, want)
			}
		}
		onLAN.waitMessages("the new value", topicIs("tidegate/plant7/meter"), func(m []seen) bool {
			return len(m) > 0 && parseDevice(t, m[len(m)-1].payload).Values["setpoint"] == 42.0
		})
	})

	t.Run("set from the LAN reaches the serial slave", func(t *testing.T) {
		publish(t, g.client(), "tidegate/plant7/tank/setpoint/set", "17")
		rtuSlave.waitLine("write 3 [17]")
		onLAN.waitMessages("a result", topicIs("tidegate/plant7/tank/result"), func(m []seen) bool {
			return len(m) > 0 && strings.Contains(m[0].payload, `"state":"done"`)
		})
	})

	t.Run("a value out of range is refused with a reason", func(t *testing.T) {
		publish(t, g.client(), "tidegate/plant7/tank/setpoint/set", "1001")
		onLAN.waitMessages("a refusal", topicIs("tidegate/plant7/tank/result"), func(m []seen) bool {
			return len(m) > 1 && strings.Contains(m[1].payload, `"state":"rejected"`) && strings.Contains(m[1].payload, "1000")
		})
	})

	t.Run("will and birth carry the epoch", func(t *testing.T) {
		state := topicIs("tidegate/plant7/gateway/state")
		born := lastState(t, inCloud.waitMessages("birth", state, func(m []seen) bool { return len(m) > 0 }))
		if born.State != "online" || born.Epoch == 0 {
			t.Errorf("birth is %+v", born)
		}
		g.proc.kill()
		will := lastState(t, inCloud.waitMessages("will", state, func(m []seen) bool { return lastState(t, m).State == "offline" }))
		if will.Epoch != born.Epoch {
			t.Errorf("the will has epoch %d, the birth had %d", will.Epoch, born.Epoch)
		}
		g.start()
		again := lastState(t, inCloud.waitMessages("second birth", state, func(m []seen) bool { return lastState(t, m).State == "online" }))
		if again.Epoch <= born.Epoch {
			t.Errorf("the second birth has epoch %d, the first had %d", again.Epoch, born.Epoch)
		}
		mirror := observe(t, "mirror", g.client(), "", "tidegate/plant7/gateway/upstream/cloud/state")
		mirror.waitMessages("the mirror on the LAN", topicIs("tidegate/plant7/gateway/upstream/cloud/state"), func(m []seen) bool {
			s := lastState(t, m)
			return s.State == "online" && s.Epoch == again.Epoch
		})
	})

	t.Run("a graceful stop says offline with its reason", func(t *testing.T) {
		g.stop()
		s := lastState(t, inCloud.waitMessages("goodbye", topicIs("tidegate/plant7/gateway/state"), func(m []seen) bool {
			return lastState(t, m).State == "offline"
		}))
		if s.Reason != "stopped" {
			t.Errorf("goodbye is %+v", s)
		}
	})
}

// lastState returns the newest state; zero when there is none.
func lastState(t *testing.T, m []seen) linkState {
	t.Helper()
	if len(m) == 0 {
		return linkState{}
	}
	return parseLink(t, m[len(m)-1].payload)
}

// distinctCounts returns the counts in device messages, successive equal ones once.
func distinctCounts(t *testing.T, m []seen) []uint64 {
	t.Helper()
	var out []uint64
	for _, s := range m {
		v, ok := parseDevice(t, s.payload).Values["count"].(float64)
		if n := uint64(v); ok && (len(out) == 0 || out[len(out)-1] != n) {
			out = append(out, n)
		}
	}
	return out
}

// checkCounts compares what was seen with what the registers held: the same numbers without a hole, from where the observer began.
func checkCounts(t *testing.T, where string, got, held []uint64) {
	t.Helper()
	for i, n := range got {
		if n != got[0]+uint64(i) {
			t.Errorf("%s: saw %v, which is not the sequence %v that the registers held", where, got, held)
			return
		}
	}
	if last := got[len(got)-1]; last > held[len(held)-1] {
		t.Errorf("%s: saw %d, which the registers never held", where, last)
	}
}

// checkConsistent checks the other points against the count of the same poll: they change in one step, and are read in one request.
func checkConsistent(t *testing.T, m []seen) {
	t.Helper()
	for _, s := range m {
		d := parseDevice(t, s.payload)
		count, ok := d.Values["count"].(float64)
		if !ok {
			t.Errorf("no count in %s", s.payload)
			continue
		}
		if d.Values["energy"] != 100000+count || d.Values["level"] != count/4 {
			t.Errorf("values do not belong together: %s", s.payload)
		}
	}
}

// TestDeviceThatStopsIsSeen kills a slave and expects bad quality with a reason, and offline; another device goes on.
func TestDeviceThatStopsIsSeen(t *testing.T) {
	slave, port := startTCPSlave(t)
	other, otherPort := startTCPSlave(t)
	g := newPlant(t, tcpBus("a", port)+tcpBus("b", otherPort)+deviceOn("a", "meter")+deviceOn("b", "tank"))
	g.start()
	o := observe(t, "lan observer", g.client(), "", "tidegate/#")
	o.waitMessages("online", topicIs("tidegate/plant7/meter/availability"), func(m []seen) bool {
		return len(m) > 0 && m[len(m)-1].payload == "online"
	})
	slave.kill()
	o.waitMessages("offline", topicIs("tidegate/plant7/meter/availability"), func(m []seen) bool {
		return m[len(m)-1].payload == "offline"
	})
	o.waitMessages("bad quality", topicIs("tidegate/plant7/meter"), func(m []seen) bool {
		d := parseDevice(t, m[len(m)-1].payload)
		return d.Quality == "bad" && d.Bad["count"] != ""
	})
	now := time.Now()
	held := len(counts(other))
	o.waitMessages("the other device to go on", topicIs("tidegate/plant7/tank"), func(m []seen) bool {
		return len(m) > 0 && m[len(m)-1].at.After(now) && len(counts(other)) >= held+2
	})
	g.stop()
}
