package config

import (
	"testing"
	"time"
)

// Each transport with the keys that belong to it.
func TestTransports(t *testing.T) {
	cfg := mustParse(t, `
[[bus]]
name = "udp"
transport = "udp"
endpoint = "10.0.0.5:502"
idle_close = "5s"
unit_gap = "20ms"

[[bus]]
name = "tls"
transport = "tls"
endpoint = "10.0.0.5:802"
max_in_flight = 4
tls = { ca_file = "certs/cloud-ca.pem", cert_file = "certs/gateway.pem", key_file = "certs/gateway-key.pem", server_name = "m", min_version = "1.3" }

[[bus]]
name = "ascii"
transport = "ascii"
port = "/dev/ttyS1"
parity = "even"
rs485 = { mode = "gpio", chip = "/dev/gpiochip0", line = 0, rts_on_send = false, delay_before = "1ms", delay_after = "2ms" }

[[bus]]
name = "ascii8"
transport = "ascii"
port = "/dev/ttyS2"
data_bits = 8
rs485 = { mode = "kernel" }

[[bus]]
name = "server"
transport = "rtu-over-tcp"
endpoint = "10.0.0.6:4001"

[[bus]]
name = "old"
transport = "ascii-over-tcp"
endpoint = "10.0.0.7:4001"
baud = 19200
parity = "even"

[[device]]
name = "d"
bus = "server"
unit_id = 1
gap = "30ms"
`+"point = [{ name = \"p\", address = \"holding:0\", type = \"uint16\" }]\n")
	b := cfg.Buses
	if b[0].Transport != TransportUDP || b[0].IdleClose != 5*time.Second || b[0].MaxInFlight != 1 || b[0].UnitGap != 20*time.Millisecond {
		t.Errorf("udp: %+v", b[0])
	}
	if tls := b[1].TLS; b[1].MaxInFlight != 4 || tls.ServerName != "m" || tls.MinVersion != TLS13 || tls.CAFile != "testdata/certs/cloud-ca.pem" || tls.KeyFile != "testdata/certs/gateway-key.pem" {
		t.Errorf("tls: %+v", tls)
	}
	want := RS485{Mode: RS485GPIO, Chip: "/dev/gpiochip0", DelayBefore: time.Millisecond, DelayAfter: 2 * time.Millisecond}
	if b[2].DataBits != 7 || b[2].RS485 != want {
		t.Errorf("ascii: %+v, want 7 bits and %+v", b[2], want)
	}
	if b[3].DataBits != 8 || b[3].RS485 != (RS485{Mode: RS485Kernel, RTSOnSend: true}) {
		t.Errorf("ascii of 8 bits: %+v", b[3])
	}
	if b[4].Transport != TransportRTUOverTCP || b[5].Transport != TransportASCIIOverTCP || cfg.Devices[0].Gap != 30*time.Millisecond {
		t.Errorf("device servers: %+v, %+v, %+v", b[4], b[5], cfg.Devices[0])
	}
	if b[4].Baud != 0 || b[5].Baud != 19200 || b[5].DataBits != 7 || b[5].Parity != ParityEven {
		t.Errorf("lines behind device servers: %+v, %+v", b[4], b[5])
	}
}
