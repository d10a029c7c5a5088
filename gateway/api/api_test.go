package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/api"
)

func options() api.Options {
	return api.Options{
		Version: "1.2.3", GatewayID: "hall-4", CardEndurance: 1 << 40,
		Snapshots: api.Snapshots{
			Buffer: func() gateway.BufferStats {
				return gateway.BufferStats{
					Elided: 7, LastCommit: 1500 * time.Microsecond, Dead: 2, MaxBytes: 1 << 20, DiskFree: -1, Failing: true, SetAside: "x", Salvaged: 8,
					WearBytes: 1 << 30, WearSince: time.Now().Add(-1000 * time.Hour),
					Queues: []gateway.QueueStats{{
						Name: "upstream/cloud", Depth: 3, Online: true, Oldest: time.UnixMilli(1500), Bytes: 512,
						Dropped: map[string]uint64{"size": 4, "age": 5}, Orphan: time.UnixMilli(1),
					}},
				}
			},
			Broker: func() gateway.BrokerStats { return gateway.BrokerStats{Connections: 2, Dropped: 5} },
			Bridges: func() []gateway.BridgeStats {
				return []gateway.BridgeStats{{
					Name: "cloud", Connected: true, Epoch: 17, Batches: 3, Waiting: "rate", RetryAt: time.UnixMilli(2500), CertExpiry: time.UnixMilli(3500),
				}}
			},
			Listeners: func() []gateway.ListenerStats {
				return []gateway.ListenerStats{{Name: "mqtts://:8883", CertExpiry: time.UnixMilli(4500)}}
			},
			Buses: func() []gateway.BusStats {
				return []gateway.BusStats{{Name: "line", Timeouts: 4, Load: 0.7, Failures: map[string]uint64{"reset": 6}, Devices: []gateway.DeviceStats{
					{Name: "meter", Online: true, Polls: 9, Missed: 2, Wanted: 1, Achieved: 0.5, Behind: true},
				}}}
			},
		},
	}
}

func get(t *testing.T, path string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	api.New(options()).Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec.Code, rec.Body.String()
}

func TestHealthNamesLinks(t *testing.T) {
	code, body := get(t, "/healthz")
	var got api.Health
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	want := api.Health{
		Status: "ok", Version: "1.2.3", Gateway: "hall-4",
		Upstreams: []api.Link{{Name: "cloud", Online: true}}, Buses: []api.Link{{Name: "line", Online: false}},
		Buffer: api.BufferHealth{Failing: true, SetAside: "x"},
	}
	if diff := cmp.Diff(want, got); diff != "" || code != http.StatusOK {
		t.Errorf("status %d, difference (-want +got):\n%s", code, diff)
	}
}

func TestMetricsCarrySnapshots(t *testing.T) {
	_, body := get(t, "/metrics")
	for _, want := range []string{
		`tidegate_build_info{gateway="hall-4",version="1.2.3"} 1`,
		`tidegate_buffer_elided_total 7`,
		`tidegate_listener_certificate_expiry_timestamp_seconds{listener="mqtts://:8883"} 4.5`,
		`tidegate_buffer_last_commit_seconds 0.0015`,
		`tidegate_queue_records{queue="upstream/cloud"} 3`,
		`tidegate_queue_oldest_timestamp_seconds{queue="upstream/cloud"} 1.5`,
		`tidegate_mqtt_connections 2`,
		`tidegate_bridge_epoch{upstream="cloud"} 17`,
		`tidegate_bus_timeouts_total{bus="line"} 4`,
		`tidegate_bus_failures_total{bus="line",reason="reset"} 6`,
		`tidegate_device_up{device="meter"} 1`,
		`tidegate_bus_load_ratio{bus="line"} 0.7`,
		`tidegate_device_polls_total{device="meter"} 9`,
		`tidegate_device_missed_total{device="meter"} 2`,
		`tidegate_device_wanted_polls_per_second{device="meter"} 1`,
		`tidegate_device_achieved_polls_per_second{device="meter"} 0.5`,
		`tidegate_device_behind{device="meter"} 1`,
		`tidegate_queue_bytes{queue="upstream/cloud"} 512`,
		`tidegate_queue_orphan{queue="upstream/cloud"} 1`,
		`tidegate_queue_dropped_total{queue="upstream/cloud",reason="age"} 5`,
		`tidegate_queue_dropped_total{queue="upstream/cloud",reason="size"} 4`,
		`tidegate_buffer_dead_records 2`,
		`tidegate_buffer_disk_free_bytes -1`,
		`tidegate_buffer_failing 1`,
		`tidegate_buffer_file_set_aside 1`,
		`tidegate_buffer_salvaged_total 8`,
		`tidegate_buffer_wear_bytes_total 1.073741824e+09`,
		`tidegate_bridge_batches_total{upstream="cloud"} 3`,
		`tidegate_bridge_waiting{reason="rate",upstream="cloud"} 1`,
		`tidegate_bridge_retry_timestamp_seconds{upstream="cloud"} 2.5`,
		`tidegate_bridge_certificate_expiry_timestamp_seconds{upstream="cloud"} 3.5`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no line %q in\n%s", want, body)
		}
	}
}

// TestMetricsTakeAnyName: the name of a session that was saved from a damaged file need not be UTF-8, and a label that is not would cost all metrics.
func TestMetricsTakeAnyName(t *testing.T) {
	o := options()
	o.Snapshots.Buffer = func() gateway.BufferStats {
		return gateway.BufferStats{Queues: []gateway.QueueStats{{Name: "session/a\xff\"\n", Dropped: map[string]uint64{"size": 1}}}}
	}
	w := httptest.NewRecorder()
	api.New(o).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if want := `tidegate_queue_records{queue="session/a` + "\ufffd" + `\"\n"} 0`; w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
		t.Errorf("status %d, no line %s in\n%s", w.Code, want, w.Body)
	}
}

func TestMetricsProjectCardLife(t *testing.T) {
	_, body := get(t, "/metrics")
	if !strings.Contains(body, "\ntidegate_buffer_card_life_seconds 3.68") { // 1023 times the 1000 hours that the first GiB took
		t.Errorf("no projected life of about 3.68e9 s in\n%s", body)
	}
}

func TestCardLife(t *testing.T) {
	now := time.UnixMilli(1e12)
	made := now.Add(-100 * time.Hour)
	for name, c := range map[string]struct {
		wear      uint64
		since     time.Time
		endurance int64
		want      time.Duration
		known     bool
	}{
		"a tenth is used":       {10, made, 100, 900 * time.Hour, true},
		"all is used":           {100, made, 100, 0, true},
		"more is used":          {101, made, 100, 0, true},
		"longer than can be":    {1, made, 1 << 62, 1<<63 - 1, true},
		"nothing written":       {0, made, 100, 0, false},
		"endurance not known":   {10, made, 0, 0, false},
		"age not known":         {10, time.Time{}, 100, 0, false},
		"too short to conclude": {10, now.Add(-23 * time.Hour), 100, 0, false},
		"clock went back":       {10, now.Add(time.Hour), 100, 0, false},
	} {
		got, ok := api.CardLife(gateway.BufferStats{WearBytes: c.wear, WearSince: c.since}, c.endurance, now)
		if got != c.want || ok != c.known {
			t.Errorf("%s: got %v, %t, want %v, %t", name, got, ok, c.want, c.known)
		}
	}
}

func TestMetricsFollowConventions(t *testing.T) {
	_, body := get(t, "/metrics")
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestServeEndsWithContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- api.New(options()).Serve(ctx, l) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}
