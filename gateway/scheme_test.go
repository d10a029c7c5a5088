package gateway_test

import (
	"testing"

	"github.com/tidegate/tidegate/gateway"
)

func TestSchemes(t *testing.T) {
	want := map[string]gateway.Scheme{
		"mqtt": {Port: "1883"}, "tcp": {Port: "1883"},
		"mqtts": {Port: "8883", TLS: true}, "ssl": {Port: "8883", TLS: true}, "tls": {Port: "8883", TLS: true},
		"ws":  {Port: "80", WebSocket: true},
		"wss": {Port: "443", TLS: true, WebSocket: true},
	}
	for name, w := range want {
		if got, ok := gateway.SchemeOf(name); !ok || got != w {
			t.Errorf("scheme %q: %+v, %v; want %+v", name, got, ok, w)
		}
	}
	for _, name := range []string{"", "http", "MQTT", "mqtt "} {
		if got, ok := gateway.SchemeOf(name); ok {
			t.Errorf("scheme %q is taken for %+v", name, got)
		}
	}
}
