package config

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// ignoreSource leaves out of a comparison what only positions need.
func ignoreSource() cmp.Option { return cmpopts.IgnoreUnexported(Config{}) }

func TestParseReadsEveryKindOfValue(t *testing.T) {
	got := mustParse(t, `
gateway = { id = "g1", base_topic = "plant/{id}", data_dir = "/data" }
log = { level = "debug", format = "json" }
http.listen = "[::1]:9000"
[buffer]
commit_interval = "2s"
ack_hold = "0s"
max_size = "2GiB"
max_age = "0s"
on_full = "block"
min_free = "1GiB"
orphan_age = "2h"
card_endurance = "20TiB"
[broker]
allow_anonymous = true
password_file = "/etc/passwd.mqtt"
acl_file = "/etc/acl.mqtt"
sys_interval = "30s"
max_packet_size = "1MiB"
max_connections = 5
connect_timeout = "3s"
max_inflight = 7
session = { max_age = "2h", max_size = "1MiB", max_records = 0 }
[[broker.listener]]
address = "localhost:1883"
[[broker.listener]]
address = ":1884"
allow_anonymous = false
[[upstream]]
name = "cloud"
servers = ["mqtts://a.example.com", "mqtts://[fe80::1]:1885", "wss://c.example.com/ws"]
profile = "aws-iot-core"
client_id = "c"
username = "u"
password = { env = "CLOUD_PASSWORD" }
proxy = "socks5://p@10.0.0.1:1080"
proxy_password = { env = "PROXY_PASSWORD" }
keepalive = "60s"
retry_primary = "0s"
max_inflight = 3
rate.messages = 2.5
start = "lazy"
lazy = { records = 7, after = "1h" }
inbound_session = "persistent"
live_share = 50
status_interval = "5m"
queue = { max_size = "1MiB", max_records = 9 }
tls.cert_file = "certs/gateway.pem"
tls.key_file = "certs/gateway-key.pem"
tls.server_name = "b.example.com"
tls.alpn = ["mqtt"]
tls.min_version = "1.3"
tls.pins = ["sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
[[upstream.route]]
direction = "in"
filter = "+/set"
local_prefix = "l/"
remote_prefix = "r/"
qos = 0
retain = "clear"
[[upstream.route]]
direction = "both"
filter = "shared/#"
priority = "low"
order = "live_first"
payload = "batch"
batch = { topic = "b", max_records = 3, max_bytes = "2KiB", linger = "3s" }
[[upstream]]
name = "token"
servers = ["mqtts://a.example.com"]
queue.max_age = "5h"
queue.on_full = "drop_newest"
[upstream.token]
kind = "azure-sas"
key = { env = "DEVICE_KEY" }
lifetime = "30m"
device = "d1"
hub = "h"
resource = "r"
policy = "p"
[[bus]]
name = "net"
transport = "tcp"
endpoint = "[::1]:502"
timeout = "250ms"
retries = 0
gap = "5ms"
connect_delay = "1s"
max_registers = 64
max_gap = 0
[[bus]]
name = "line"
transport = "rtu"
port = "/dev/ttyS1"
baud = 19200
data_bits = 8
parity = "even"
stop_bits = 2
[[device]]
name = "d"
bus = "net"
unit_id = 0
interval = "100ms"
read_write = true
byte_order = "CDAB"
publish = "both"
[[device.point]]
name = "a"
address = "40011"
type = "float32"
scale = 2
offset = -0.5
unit = "°C"
writable = true
min = -1
max = 1.5
[[device.point]]
name = "b"
address = "input:0x10"
type = "int32"
byte_order = "DCBA"
[[device.point]]
name = "c"
address = "coil:3"
[[device]]
name = "e"
bus = "line"
unit_id = 247
[[device.point]]
name = "f"
address = "discrete:65535"
type = "bool"
`)
	low, high, noGap := -1.0, 1.5, 0
	want := &Config{
		Gateway: Gateway{ID: "g1", BaseTopic: "plant/{id}", DataDir: "/data"},
		Log:     Log{Level: LevelDebug, Format: FormatJSON},
		HTTP:    HTTP{Listen: "[::1]:9000"},
		Buffer: Buffer{
			CommitInterval: 2 * time.Second, MaxSize: 2 * GiB, OnFull: OnFullBlock, MinFree: GiB, OrphanAge: 2 * time.Hour, CardEndurance: 20 * TiB,
		},
		Broker: Broker{
			AllowAnonymous: true, PasswordFile: "/etc/passwd.mqtt", ACLFile: "/etc/acl.mqtt", SysInterval: 30 * time.Second, MaxPacketSize: MiB, MaxConnections: 5,
			ConnectTimeout: 3 * time.Second, MaxInflight: 7,
			MaxQueued: 65536, MaxQueuedSize: 8 * MiB, MaxQueuedTotal: 64 * MiB, MaxSubscriptions: 1000, MaxSessions: 1000, MaxRetained: 10000, MaxRetainedSize: 16 * MiB,
			Session:   Session{MaxAge: 2 * time.Hour, MaxSize: MiB},
			Listeners: []Listener{{Address: "localhost:1883", AllowAnonymous: true}, {Address: ":1884"}},
		},
		Upstreams: []Upstream{
			{
				Name: "cloud", Profile: ProfileAWSIoTCore, Ceilings: ProfileAWSIoTCore.Ceilings(),
				Servers: []Server{
					{TLS: true, Host: "a.example.com", Port: 8883},
					{TLS: true, Host: "fe80::1", Port: 1885},
					{TLS: true, WebSocket: true, Host: "c.example.com", Port: 443, Path: "/ws"},
				},
				ClientID: "c", Username: "u", Password: NewSecret("correct horse"), Token: Token{Lifetime: time.Hour},
				TLS: TLS{
					CertFile: "testdata/certs/gateway.pem", KeyFile: "testdata/certs/gateway-key.pem",
					ServerName: "b.example.com", ALPN: []string{"mqtt"}, MinVersion: TLS13, Pins: []Pin{sha256.Sum256(nil)},
				},
				Proxy:         Proxy{Scheme: "socks5", User: "p", Host: "10.0.0.1", Port: 1080},
				ProxyPassword: NewSecret("battery staple"),
				KeepAlive:     time.Minute, MaxInflight: 3, Rate: Rate{Messages: 2.5, Bytes: 512 * KiB},
				Start: StartLazy, Lazy: Lazy{Records: 7, After: time.Hour}, InboundSession: InboundPersistent, LiveShare: 50,
				StatusInterval: 5 * time.Minute, Queue: Queue{MaxSize: MiB, MaxRecords: 9, OnFull: OnFullBlock},
				Routes: []Route{
					{
						Direction: DirectionIn, Filter: "+/set", LocalPrefix: "l/", RemotePrefix: "r/", Retain: RetainClear,
						Batch: Batch{MaxRecords: 500, MaxBytes: 64 * KiB, Linger: time.Second},
					},
					{
						Direction: DirectionBoth, Filter: "shared/#", QoS: 1, Priority: PriorityLow, Order: OrderLiveFirst,
						Payload: PayloadBatch, Batch: Batch{Topic: "b", MaxRecords: 3, MaxBytes: 2 * KiB, Linger: 3 * time.Second},
					},
				},
			},
			{
				Name: "token", Ceilings: Ceilings{MaxQoS: 2}, Servers: []Server{{TLS: true, Host: "a.example.com", Port: 8883}},
				Token: Token{
					Kind: TokenAzureSAS, Key: NewSecret("c2VjcmV0IGtleSBvZiBhIGRldmljZQ=="), Lifetime: 30 * time.Minute,
					Device: "d1", Hub: "h", Resource: "r", Policy: "p",
				},
				KeepAlive: 30 * time.Second, RetryPrimary: 10 * time.Minute, MaxInflight: 64, Lazy: Lazy{Records: 100, After: 5 * time.Minute},
				LiveShare: 70, StatusInterval: time.Minute, Queue: Queue{MaxAge: 5 * time.Hour, OnFull: OnFullDropNewest},
			},
		},
		Buses: []Bus{
			{
				Name: "net", Transport: TransportTCP, Endpoint: "[::1]:502", Baud: 9600, DataBits: 8, StopBits: 1,
				Timeout: 250 * time.Millisecond, Gap: 5 * time.Millisecond, ConnectDelay: time.Second, MaxRegisters: 64, MaxGap: &noGap,
				MaxInFlight: 1, RS485: RS485{RTSOnSend: true},
			},
			{
				Name: "line", Transport: TransportRTU, Port: "/dev/ttyS1", Baud: 19200, DataBits: 8, Parity: ParityEven, StopBits: 2,
				Timeout: time.Second, Retries: 1, MaxRegisters: 125, MaxInFlight: 1, RS485: RS485{RTSOnSend: true},
			},
		},
		Devices: []Device{
			{
				Name: "d", Bus: "net", Interval: 100 * time.Millisecond, ReadWrite: true, ByteOrder: OrderCDAB, Publish: PublishBoth,
				Points: []Point{
					{
						Name: "a", Address: Address{TableHolding, 10}, Type: TypeFloat32, ByteOrder: OrderCDAB, Scale: 2, Offset: -0.5,
						Unit: "°C", Writable: true, Min: &low, Max: &high,
					},
					{Name: "b", Address: Address{TableInput, 16}, Type: TypeInt32, ByteOrder: OrderDCBA, Scale: 1},
					{Name: "c", Address: Address{TableCoil, 3}, Type: TypeBool, ByteOrder: OrderCDAB, Scale: 1},
				},
			},
			{
				Name: "e", Bus: "line", UnitID: 247, Interval: time.Second,
				Points: []Point{{Name: "f", Address: Address{TableDiscrete, 65535}, Type: TypeBool, Scale: 1}},
			},
		},
	}
	if diff := cmp.Diff(want, got, ignoreSource(), cmpopts.IgnoreFields(Config{}, "Warnings"),
		cmp.Comparer(func(a, b Secret) bool { return a.Reveal() == b.Reveal() })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Gateway.Base("g1") != "plant/g1" {
		t.Errorf("base is %q", got.Gateway.Base("g1"))
	}
}
