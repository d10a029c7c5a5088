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
		Version: "1.2.3", GatewayID: "hall-4",
		Snapshots: api.Snapshots{
			Buffer: func() gateway.BufferStats {
				return gateway.BufferStats{
					Elided: 7, LastCommit: 1500 * time.Microsecond,
					Queues: []gateway.QueueStats{{Name: "upstream/cloud", Depth: 3, Online: true, Oldest: time.UnixMilli(1500)}},
				}
			},
			Broker: func() gateway.BrokerStats { return gateway.BrokerStats{Connections: 2, Dropped: 5} },
			Bridges: func() []gateway.BridgeStats {
				return []gateway.BridgeStats{{Name: "cloud", Connected: true, Epoch: 17}}
			},
			Buses: func() []gateway.BusStats {
				return []gateway.BusStats{{Name: "line", Timeouts: 4, Devices: []gateway.DeviceStats{{Name: "meter", Online: true}}}}
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
		`tidegate_buffer_last_commit_seconds 0.0015`,
		`tidegate_queue_records{queue="upstream/cloud"} 3`,
		`tidegate_queue_oldest_timestamp_seconds{queue="upstream/cloud"} 1.5`,
		`tidegate_mqtt_connections 2`,
		`tidegate_bridge_epoch{upstream="cloud"} 17`,
		`tidegate_bus_timeouts_total{bus="line"} 4`,
		`tidegate_device_up{device="meter"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no line %q in\n%s", want, body)
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
