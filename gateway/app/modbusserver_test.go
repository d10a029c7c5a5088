package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway/app"
	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// plc has a boiler on a bus, and a server that shows it: as the device has it at input:0 and holding:0, and otherwise at holding:10.
const plc = `
[[bus]]
name = "plant"
transport = "tcp"
endpoint = "DEVICE"
timeout = "2s"

[[device]]
name = "boiler"
bus = "plant"
unit_id = 1
interval = "20ms"

[[device.point]]
name = "power"
address = "input:0"
type = "uint16"
scale = 0.1

[[device.point]]
name = "setpoint"
address = "holding:0"
type = "float32"
byte_order = "CDAB"
writable = true
min = 5
max = 90

[[device.point]]
name = "mode"
address = "holding:2"
type = "uint16"
enum = { 0 = "off", 1 = "manual", 7 = "automatic" }
writable = true

[[device.point]]
name = "pump"
address = "coil:0"
writable = true

[[device.point]]
name = "fault"
address = "input:1"
bit = 3

[[modbus_server]]
name = "plc"
listen = "127.0.0.1:0"
allow = ["127.0.0.0/8"]
TLS

[[modbus_server.register]]
address = "input:0"
source = "boiler/power"

[[modbus_server.register]]
address = "holding:0"
source = "boiler/setpoint"
writable = true

[[modbus_server.register]]
address = "holding:10"
source = "boiler/setpoint"
type = "int16"
scale = 0.01
writable = true

[[modbus_server.register]]
address = "holding:11"
source = "boiler/mode"
writable = true

[[modbus_server.register]]
address = "holding:12"
source = "boiler/pump"
bit = 0
writable = true

[[modbus_server.register]]
address = "holding:12"
source = "boiler/fault"
bit = 9

[[modbus_server.register]]
address = "40021"
source = "boiler/power"
type = "float32"
bad_value = 0x7FC00000

[[modbus_server.register]]
address = "coil:7"
source = "boiler/pump"
writable = true
`

// plcSite is a gateway with that configuration, and its device.
type plcSite struct {
	*testing.T
	app    *app.App
	unit   *sim.Unit
	device *simtest.TCPEndpoint
	mqtt   *client.Client
	tls    *tls.Config // nil: masters use none
}

func startPLC(t *testing.T, change ...string) *plcSite {
	t.Helper()
	return startPLCOver(t, nil, change...)
}

func startPLCOver(t *testing.T, over *tls.Config, change ...string) *plcSite {
	t.Helper()
	s := &plcSite{T: t, tls: over}
	s.unit = sim.NewUnit(sim.Layout{
		HoldingRegisters: []sim.Range{{First: 0, Count: 3}}, InputRegisters: []sim.Range{{First: 0, Count: 2}}, Coils: []sim.Range{{First: 0, Count: 1}},
	})
	s.set(sim.InputRegisters, 0, 2304, 1<<3)
	s.set(sim.HoldingRegisters, 0, words(21.5)[1], words(21.5)[0], 7)
	s.set(sim.Coils, 0, 1)
	s.device = simtest.TCP(t, map[byte]*sim.Unit{1: s.unit}, sim.ServerOptions{})
	text := minimal + strings.NewReplacer(append(change, "DEVICE", s.device.Address, "TLS", "")...).Replace(plc)
	var err error
	s.app, err = app.New(t.Context(), app.Options{Config: load(t, t.TempDir(), text), Logger: slog.New(slog.DiscardHandler), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.app)
	s.subscribe()
	for ask, want := range map[string]string{"04 0000 0001": "04 02 09 00", "03 000a 0002": "03 04 08 66 00 07", "03 000c 0001": "03 02 02 01"} {
		s.eventually("the first reading of each table", func() bool { return s.ask(ask) == want })
	}
	return s
}

// words are the registers of a float32, high word first.
func words(f float32) [2]uint16 {
	bits := math.Float32bits(f)
	return [2]uint16{uint16(bits >> 16), uint16(bits)}
}

func (s *plcSite) set(table sim.Table, address uint16, values ...uint16) {
	s.Helper()
	if err := s.unit.Set(table, address, values...); err != nil {
		s.Fatal(err)
	}
}

func (s *plcSite) get(table sim.Table, address uint16, count int) string {
	s.Helper()
	values, err := s.unit.Get(table, address, count)
	if err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("%04x", values)
}

func (s *plcSite) subscribe() {
	s.Helper()
	var err error
	s.mqtt, err = client.Dial(s.Context(), client.Options{
		URL: "mqtt://" + s.app.BrokerAddrs()[0].String(), Connect: packet.Connect{ClientID: "witness", CleanStart: true},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(s.mqtt.Close)
	filter := packet.Subscription{Filter: s.app.BaseTopic() + "/boiler"}
	if _, err := s.mqtt.Subscribe(s.Context(), packet.Subscribe{Subscriptions: []packet.Subscription{filter}}); err != nil {
		s.Fatal(err)
	}
}

// shown waits until MQTT shows a value of a point, as JSON.
func (s *plcSite) shown(point, want string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	for {
		m, err := s.mqtt.Receive(ctx)
		if err != nil {
			s.Fatalf("MQTT never showed %s = %s: %v", point, want, err)
		}
		var batch struct {
			Values map[string]json.RawMessage `json:"values"`
		}
		if err := json.Unmarshal(m.Payload, &batch); err != nil {
			s.Fatal(err)
		}
		if string(batch.Values[point]) == want {
			return
		}
	}
}

func (s *plcSite) addr() string { return s.app.ModbusAddrs()[0].String() }

// ask sends a PDU in hexadecimal on a connection of its own and returns the answer likewise.
func (s *plcSite) ask(request string) string {
	s.Helper()
	c := s.dial()
	defer c.Close()
	return s.askOver(c, request)
}

func (s *plcSite) dial() net.Conn {
	s.Helper()
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		s.Fatal(err)
	}
	if s.tls != nil {
		c = tls.Client(c, s.tls)
	}
	return c
}

func (s *plcSite) askOver(c net.Conn, request string) string {
	s.Helper()
	pdu, err := hex.DecodeString(strings.ReplaceAll(request, " ", ""))
	if err != nil {
		s.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		s.Fatal(err)
	}
	header := binary.BigEndian.AppendUint16([]byte{0xAB, 0xCD, 0, 0}, uint16(1+len(pdu)))
	if _, err := c.Write(append(append(header, 1), pdu...)); err != nil {
		s.Fatal(err)
	}
	head := make([]byte, 7)
	if _, err := io.ReadFull(c, head); err != nil || !bytes.Equal(head[:4], header[:4]) {
		s.Fatalf("header % x, %v", head, err)
	}
	answer := make([]byte, binary.BigEndian.Uint16(head[4:])-1)
	if _, err := io.ReadFull(c, answer); err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("% x", answer)
}

func (s *plcSite) expect(request, want string) {
	s.Helper()
	if got := s.ask(request); got != want {
		s.Errorf("%s: got %s, want %s", request, got, want)
	}
}

func (s *plcSite) eventually(what string, ok func() bool) {
	s.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			s.Fatalf("never came: %s", what)
		}
	}
}

// What a master reads is what MQTT shows, and what it writes is at the device when it is answered, and on MQTT.
func TestModbusServer(t *testing.T) {
	s := startPLC(t)
	s.shown("power", "230.4")
	s.expect("04 0000 0001", "04 02 09 00")       // as the device has it
	s.expect("03 0000 0002", "03 04 00 00 41 ac") // its order too
	s.expect("03 000a 0003", "03 06 08 66 00 07 02 01")
	s.expect("03 0014 0002", "03 04 43 66 66 66")
	s.expect("01 0007 0001", "01 01 01")
	s.expect("2b 0e 04 02", "2b 0e 04 82 00 00 01 02 05 31 2e 32 2e 33")

	s.expect("06 000a 1388", "06 00 0a 13 88") // 50.00
	if got := s.get(sim.HoldingRegisters, 0, 2); got != "[0000 4248]" {
		t.Errorf("the device has %s", got)
	}
	s.expect("03 0000 0002", "03 04 00 00 42 48") // what was written is read at once
	s.shown("setpoint", "50")

	s.expect("10 000a 0003 06 0bb8 0001 0001", "90 02") // a bit of the last register cannot be written: nothing is
	s.expect("10 000a 0002 04 0bb8 0001", "10 00 0a 00 02")
	s.expect("16 000c fffe 0000", "16 00 0c ff fe 00 00")
	if got := s.get(sim.HoldingRegisters, 0, 3) + s.get(sim.Coils, 0, 1); got != "[0000 41f0 0001][0000]" {
		t.Errorf("the device has %s", got)
	}
	s.shown("mode", `"manual"`)
	s.expect("05 0007 ff00", "05 00 07 ff 00")
	s.expect("17 000c 0001 000a 0001 02 07d0", "17 02 02 01")

	s.expect("06 000a 2329", "86 03") // 90.01 is above max
	s.expect("06 000b 0005", "86 03") // a mode without a name
	s.expect("06 000d 0001", "86 02")
	s.expect("06 0000 0001", "86 03")
}

// A point whose device is away reads as an exception, or as what the configuration says, and writes to it are answered in time.
func TestModbusServerWithoutTheDevice(t *testing.T) {
	s := startPLC(t)
	s.device.Unplug()
	s.eventually("exception 11", func() bool { return s.ask("03 000a 0001") == "83 0b" })
	s.eventually("the value for bad ones", func() bool { return s.ask("03 0014 0002") == "03 04 7f c0 00 00" })
	s.expect("06 000a 1388", "86 0b")
	s.device.Plug()
	s.eventually("the reading again", func() bool { return s.ask("03 000a 0001") == "03 02 08 66" })
	s.expect("06 000a 1388", "06 00 0a 13 88")

	s.unit.Inject(sim.ExceptionAnswer(4), -1)
	s.eventually("exception 4", func() bool { return s.ask("03 000a 0001") == "83 04" })
	s.expect("06 000a 1388", "86 04")
}

// metrics is the page of /metrics.
func (s *plcSite) metrics() string {
	s.Helper()
	resp, err := http.Get(fmt.Sprintf("http://%s/metrics", s.app.HTTPAddr()))
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return string(body)
}

func TestModbusServerIsCounted(t *testing.T) {
	s := startPLC(t)
	c := s.dial()
	defer c.Close()
	if got := s.askOver(c, "03 1000 0001"); got != "83 02" {
		t.Fatal(got)
	}
	body := s.metrics()
	for _, want := range []string{
		`tidegate_modbus_server_connections{server="plc"} `, `tidegate_modbus_server_requests_total{server="plc"} `,
		`tidegate_modbus_server_exceptions_total{server="plc"} `, `tidegate_modbus_server_denied_total{server="plc"} 0`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
	for _, never := range []string{`connections{server="plc"} 0`, `requests_total{server="plc"} 0`, `exceptions_total{server="plc"} 0`} {
		if strings.Contains(body, "tidegate_modbus_server_"+never) {
			t.Errorf("metrics have %s", never)
		}
	}
}

func TestModbusServerAllow(t *testing.T) {
	s := startPLC(t, `allow = ["127.0.0.0/8"]`, `allow = ["127.0.0.1"]`)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := from.Dial("tcp", s.addr())
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Over TLS masters show a certificate, and those without get no further (Modbus/TCP Security).
func TestModbusServerOverTLS(t *testing.T) {
	ca := transporttest.NewCA(t)
	own, master := ca.Issue(t, transporttest.Leaf{}), ca.Issue(t, transporttest.Leaf{Name: "plc 4"})
	pair, err := tls.LoadX509KeyPair(master.CertFile, master.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	trust := x509.NewCertPool()
	trust.AddCert(ca.Cert)
	with := &tls.Config{RootCAs: trust, ServerName: "localhost", Certificates: []tls.Certificate{pair}}
	s := startPLCOver(t, with, "TLS", fmt.Sprintf("tls = { cert_file = %q, key_file = %q, client_cert = \"required\", client_ca_file = %q }",
		own.CertFile, own.KeyFile, ca.File))
	s.expect("04 0000 0001", "04 02 09 00")

	raw, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, &tls.Config{RootCAs: trust, ServerName: "localhost"})
	if _, err = c.Write([]byte{0, 1, 0, 0, 0, 6, 1, 4, 0, 0, 0, 1}); err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a master without a certificate: %v", err)
	}
	if want := `tidegate_listener_certificate_expiry_timestamp_seconds{listener="mbaps://`; !strings.Contains(s.metrics(), want) {
		t.Errorf("metrics have no %s", want)
	}
}
