package modbus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/bus/bustest"
	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/drivers/sim/simtest"
	"github.com/tidegate/tidegate/gateway"
)

// identity is a certificate for 127.0.0.1 that signs itself.
type identity struct {
	cert, key string // files in PEM
	pair      tls.Certificate
	pool      *x509.CertPool
}

func newIdentity(t testing.TB) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "device"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	id := identity{cert: filepath.Join(t.TempDir(), "cert.pem"), key: filepath.Join(t.TempDir(), "key.pem"), pool: x509.NewCertPool()}
	if err := errors.Join(os.WriteFile(id.cert, certPEM, 0o600), os.WriteFile(id.key, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	if id.pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	id.pool.AppendCertsFromPEM(certPEM)
	return id
}

// Real devices on the transports that TestPeers does not have.
func TestPeersOnEachTransport(t *testing.T) {
	over := func(network bus.Network) func(string) Options {
		return func(endpoint string) Options {
			o := Options{Bus: tcpBus(endpoint)}
			o.Bus.Network = network
			return o
		}
	}
	framed := func(f Framing) func(string) Options {
		return func(endpoint string) Options { return Options{Bus: tcpBus(endpoint), Framing: f} }
	}
	for kind, options := range map[string]func(string) Options{
		"udp": over(bus.NetworkUDP), "rtu-over-tcp": framed(FramingRTU), "ascii-over-tcp": framed(FramingASCII),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cmd, port := pymodbus(t), freePort(t)
			start(t, cmd[0], append(cmd[1:], kind, "127.0.0.1", port)...)
			peerTest(t, options("127.0.0.1:"+port))
		})
	}
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		cmd, port, id := pymodbus(t), freePort(t), newIdentity(t)
		start(t, cmd[0], append(cmd[1:], "tls", "127.0.0.1", port, id.cert, id.key)...)
		o := over(bus.NetworkTLS)("127.0.0.1:" + port)
		o.Bus.TLS = &tls.Config{RootCAs: id.pool}
		peerTest(t, o)
	})
	t.Run("ascii", func(t *testing.T) {
		t.Parallel()
		cmd := pymodbus(t)
		ours, theirs := ptyPair(t)
		start(t, cmd[0], append(cmd[1:], "ascii", theirs, "115200")...)
		o := Options{Bus: rtuBus(ours), Framing: FramingASCII}
		o.Bus.Mode.DataBits, o.Bus.Mode.Parity = 7, bus.ParityEven
		peerTest(t, o)
	})
}

// What pymodbus says of itself, in as many answers as it takes.
func TestIdentifyPeer(t *testing.T) {
	for _, kind := range []string{"tcp", "rtu-over-tcp"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cmd, port := pymodbus(t), freePort(t)
			start(t, cmd[0], append(cmd[1:], kind, "127.0.0.1", port)...)
			o := Options{Bus: tcpBus("127.0.0.1:" + port), Devices: []Device{{Name: "peer"}}}
			if kind == "rtu-over-tcp" {
				o.Framing = FramingRTU
			}
			d := newTestDriver(t, o)
			var id Identification
			within(t, "an identification", func() (ok bool) {
				var err error
				id, err = d.Identify(t.Context(), 0, LevelRegular)
				return err == nil
			})
			var said []string
			for _, o := range id.Objects {
				said = append(said, o.Name()+"="+o.Value)
			}
			want := "VendorName=Tidegate ProductCode=PEER MajorMinorRevision=1.2.3 VendorUrl=example.org ProductName=Peer ModelName=Model UserApplicationName=Tests"
			if got := strings.Join(said, " "); got != want {
				t.Errorf("Identify() = %s\nwant         %s", got, want)
			}
		})
	}
}

// speakASCII puts conversations into ASCII frames of unit 17, as hexadecimal of their characters.
func speakASCII(t testing.TB, ops []bustest.IO) []bustest.IO {
	return speak(ops, func(_ int, pdu string) string {
		return fmt.Sprintf("%x", ascii(t, "11"+strings.ReplaceAll(pdu, " ", "")))
	})
}

// ascii makes a frame of unit and protocol data unit.
func ascii(t testing.TB, digits string) string {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatalf("%q: %v", digits, err)
	}
	sum := byte(0)
	for _, c := range b {
		sum -= c
	}
	return strings.ToUpper(fmt.Sprintf(":%x%02x", b, sum)) + "\r\n"
}

func TestConversationOnEachTransport(t *testing.T) {
	t.Run("ASCII", func(t *testing.T) {
		o := Options{Bus: rtuBus(bustest.PlayLine(t, speakASCII(t, meterConversation))), Framing: FramingASCII}
		o.Bus.Mode.DataBits = 7
		meterConverses(t, o)
	})
	t.Run("ASCIIOverTCP", func(t *testing.T) {
		meterConverses(t, Options{Bus: tcpBus(bustest.PlayTCP(t, speakASCII(t, meterConversation))), Framing: FramingASCII, MaxGap: gap(10)})
	})
	t.Run("RTUOverTCP", func(t *testing.T) {
		meterConverses(t, Options{Bus: tcpBus(bustest.PlayTCP(t, speakRTU(t, meterConversation))), Framing: FramingRTU, MaxGap: gap(10)})
	})
}

// behindServer passes what comes at an endpoint of one kind on to a simulated device of another, as a device server does.
func behindServer(t testing.TB, kind string, units map[byte]*sim.Unit) Options {
	t.Helper()
	switch kind {
	case "UDP":
		device := simtest.TCP(t, units, sim.ServerOptions{}).Address
		return Options{Bus: overUDP(relayDatagrams(t, device))}
	case "TLS":
		device, id := simtest.TCP(t, units, sim.ServerOptions{}).Address, newIdentity(t)
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{id.pair}})
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Bus: tcpBus(relayStreams(t, l, func() (net.Conn, error) { return net.Dial("tcp", device) }))}
		o.Bus.Network, o.Bus.TLS = bus.NetworkTLS, &tls.Config{RootCAs: id.pool}
		return o
	case "RTUOverTCP":
		port := simtest.RTU(t, units, sim.SlaveOptions{}).Port
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return Options{Bus: tcpBus(relayLine(t, l, port)), Framing: FramingRTU}
	}
	t.Fatalf("no relay for %s", kind)
	return Options{}
}

func overUDP(endpoint string) bus.Options {
	o := tcpBus(endpoint)
	o.Network = bus.NetworkUDP
	return o
}

// The faults of TestFaults on the other transports: what comes before and behind an answer is harmless where it can be told from it.
func TestFaultsOnEachTransport(t *testing.T) {
	for _, tc := range []struct {
		name          string
		fault         sim.Fault
		udp, tls, rtu string
	}{
		{"NoAnswer", sim.NoAnswer(), "<timeout>", "<timeout>", "<timeout>"},
		{"Late", sim.Late(patience * 5 / 4), "<timeout>", "<timeout>", "<timeout>"},
		{"NoiseBefore", sim.GarbageBefore(0x00), "<timeout>", "<frame>", ""},
		{"NoiseBehind", sim.GarbageAfter(0xFF, 0x00), "<timeout>", "", ""},
		{"CopyBehind", sim.GarbageAfter(raw(t, "| 01 03 04 00 63 00 63 crc")...), "<timeout>", "", ""},
		{"WrongUnit", sim.WrongUnit(9), "<frame>", "<frame>", "<frame>"},
		{"UnitZero", sim.WrongUnit(0), "", "", "<frame>"},
		{"WrongFunction", sim.WrongFunction(4), "<frame>", "<frame>", "<frame>"},
		{"Short", sim.ShortAnswer(1), "<frame>", "<frame>", "<frame>"},
		{"Long", sim.LongAnswer(1), "<frame>", "<frame>", "<frame>"},
		{"CRC", sim.BadCRC(), "", "", "<crc>"},
		{"Exception", sim.ExceptionAnswer(6), "<exception 6>", "<exception 6>", "<exception 6>"},
		{"CutInTwo", sim.Split(3, 20*time.Millisecond), "<timeout>", "", ""},
		{"Reset", sim.Reset(), "<timeout>", "<offline>", "<timeout>"},
		{"OldTransaction", sim.OldTransaction(1), "<timeout>", "<timeout>", ""},
	} {
		for kind, bad := range map[string]string{"UDP": tc.udp, "TLS": tc.tls, "RTUOverTCP": tc.rtu} {
			t.Run(tc.name+kind, steadily(func(t testing.TB) {
				s := &site{t: t, never: t, unit: sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}, {First: 50, Count: 10}}})}
				o := behindServer(t, kind, map[byte]*sim.Unit{1: s.unit})
				o.Devices = []Device{{Name: "d", Points: holding(0, 1, 50, 51), Timeout: patience}}
				s.driver = newTestDriver(t, o)
				s.recovers()
				want := strings.Fields(s.change())
				s.unit.Inject(tc.fault, 1)
				readings, errs := poll(t, s.driver, 0)
				wantFirst := strings.Join(want[:2], " ")
				if bad != "" {
					wantFirst = bad + " " + bad
				}
				if got := values(readings[:2]); got != wantFirst {
					t.Errorf("readings %s, want %s (errors: %v)", got, wantFirst, errs)
				}
				s.recovers()
			}))
		}
	}
}

// The other framing than the one configured: silence or a closed connection at first, and then the mistake is named.
func TestMixedUpFramings(t *testing.T) {
	units := map[byte]*sim.Unit{1: sim.NewUnit(sim.Layout{HoldingRegisters: []sim.Range{{First: 0, Count: 10}}})}
	for _, tc := range []struct {
		name, want string
		options    func(t *testing.T) Options
	}{
		{"RTUBehindTCP", `set transport = "rtu-over-tcp"`, func(t *testing.T) Options {
			o := behindServer(t, "RTUOverTCP", units)
			o.Framing = FramingTCP
			return o
		}},
		{"TCPBehindRTU", `set transport = "tcp"`, func(t *testing.T) Options {
			return Options{Bus: tcpBus(simtest.TCP(t, units, sim.ServerOptions{}).Address), Framing: FramingRTU}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := tc.options(t)
			o.Devices = []Device{{Name: "d", Points: holding(0), Timeout: patience, Retries: 1}}
			d := newTestDriver(t, o)
			for range 2 {
				within(t, "the name of the mistake", func() bool {
					readings, errs := poll(t, d, 0)
					if readings[0].Quality == gateway.QualityGood {
						t.Fatal("a value came in the wrong framing")
					}
					return len(errs) == 1 && strings.Contains(errs[0].Error(), tc.want)
				})
			}
		})
	}
}
