package config

import (
	"strings"
	"time"
)

// Config is a whole configuration: defaults filled in, secrets resolved, checked.
type Config struct {
	Gateway   Gateway    `toml:"gateway"`
	Log       Log        `toml:"log"`
	HTTP      HTTP       `toml:"http"`
	Buffer    Buffer     `toml:"buffer"`
	Broker    Broker     `toml:"broker"`
	Upstreams []Upstream `toml:"upstream"`
	Buses     []Bus      `toml:"bus"`
	Devices   []Device   `toml:"device"`

	ModbusServers []ModbusServer `toml:"modbus_server"`

	// Warnings are what is allowed but probably not meant, in the order of the file.
	Warnings []Diagnostic `toml:"-"`

	src *source
}

// Gateway says who this gateway is and where it keeps its data.
type Gateway struct {
	// ID names the gateway in topics and to upstreams: letters, digits, "_" and "-". Empty when the file does not say;
	// then the caller takes the one kept in DataDir, or DefaultID.
	ID string `toml:"id"`
	// BaseTopic comes before every topic of the gateway. It may contain {id}; see Base.
	BaseTopic string `toml:"base_topic"`
	// DataDir is the directory for the buffer and what else must survive a restart.
	DataDir string `toml:"data_dir"`
}

// Base returns the base topic with {id} replaced.
func (g Gateway) Base(id string) string {
	return strings.ReplaceAll(g.BaseTopic, "{id}", id)
}

// Log says what is logged, and how.
type Log struct {
	Level  LogLevel  `toml:"level"`
	Format LogFormat `toml:"format"`
}

// HTTP is the server for health and metrics.
type HTTP struct {
	// Listen is host:port on loopback, or empty for no HTTP server at all.
	Listen string `toml:"listen"`
}

// Buffer is the store-and-forward buffer on disk.
type Buffer struct {
	// CommitInterval is the longest time that a reading nobody has acknowledged waits for its commit.
	CommitInterval time.Duration `toml:"commit_interval"`
	// AckHold is the longest time that a publisher's acknowledgement is held back while all consumers keep up.
	AckHold time.Duration `toml:"ack_hold"`
	// MaxSize bounds what all upstreams' queues hold together, in bytes.
	MaxSize Size `toml:"max_size"`
	// MaxAge is how old a record may become in a queue; 0: as old as it likes. It counts only while the clock can be trusted.
	MaxAge time.Duration `toml:"max_age"`
	// OnFull is what a full queue does.
	OnFull OnFull `toml:"on_full"`
	// MinFree is what the disk keeps free: the buffer's bound shrinks before it, in bytes.
	MinFree Size `toml:"min_free"`
	// OrphanAge is how long the queues of an upstream are kept that the configuration no longer has.
	OrphanAge time.Duration `toml:"orphan_age"`
	// CardEndurance is how many bytes may be written to the card in its life, as its maker says; for the projected life.
	CardEndurance Size `toml:"card_endurance"`
}

// Broker is the MQTT broker for the LAN.
type Broker struct {
	// AllowAnonymous is what loopback listeners use that do not say it themselves.
	AllowAnonymous bool `toml:"allow_anonymous"`
	// PasswordFile is a file in mosquitto's format; empty when there is none.
	PasswordFile string `toml:"password_file"`
	// ACLFile says who may publish and receive what, in mosquitto's format; empty when everybody may.
	ACLFile string `toml:"acl_file"`
	// SysInterval is how often the topics below $SYS/broker are published; 0: never.
	SysInterval time.Duration `toml:"sys_interval"`
	// MaxPacketSize is the largest MQTT packet taken from a client, in bytes.
	MaxPacketSize Size `toml:"max_packet_size"`
	// MaxConnections bounds the connections of all listeners together.
	MaxConnections int `toml:"max_connections"`
	// MaxPerAddress bounds the connections from one IP address; 0: half of MaxConnections.
	MaxPerAddress int `toml:"max_per_address"`
	// ConnectTimeout is how long a new connection may take until its CONNECT is accepted.
	ConnectTimeout time.Duration `toml:"connect_timeout"`
	// MaxInflight bounds the QoS 1 and 2 messages that one client has not yet acknowledged.
	MaxInflight int `toml:"max_inflight"`
	// MaxQueued and MaxQueuedSize bound what waits in memory for one client that is connected.
	MaxQueued     int  `toml:"max_queued"`
	MaxQueuedSize Size `toml:"max_queued_size"`
	// MaxQueuedTotal bounds what waits in memory for all clients together.
	MaxQueuedTotal Size `toml:"max_queued_total"`
	// MaxSubscriptions bounds the subscriptions of one client.
	MaxSubscriptions int `toml:"max_subscriptions"`
	// MaxSessions bounds the sessions that are kept for clients, connected or away.
	MaxSessions int `toml:"max_sessions"`
	// MaxRetained and MaxRetainedSize bound the retained messages of clients and upstreams.
	MaxRetained     int        `toml:"max_retained"`
	MaxRetainedSize Size       `toml:"max_retained_size"`
	Session         Session    `toml:"session"`
	Listeners       []Listener `toml:"listener"`
}

// Session bounds what is kept for one client that is away.
type Session struct {
	// MaxAge is how long a session is kept after its client left.
	MaxAge time.Duration `toml:"max_age"`
	// MaxSize bounds what waits for one client, in bytes.
	MaxSize Size `toml:"max_size"`
	// MaxRecords bounds the messages that wait for one client; 0: no bound.
	MaxRecords int `toml:"max_records"`
}

// Listener is one address at which the broker accepts clients.
type Listener struct {
	// Address is host:port; an empty host means every interface.
	Address  string   `toml:"address"`
	Protocol Protocol `toml:"protocol"`
	// Paths are where a WebSocket listener has MQTT; they begin with "/". Empty for ProtocolMQTT.
	Paths []string `toml:"paths"`
	// Origins are the hosts whose pages may connect to a WebSocket listener, beside its own; "*" is every page. What is allowed without the
	// key already flowed in.
	Origins []string    `toml:"origins"`
	TLS     ListenerTLS `toml:"tls"`
	// AllowAnonymous admits clients without a user name. The broker's setting already flowed in.
	AllowAnonymous bool `toml:"allow_anonymous"`
}

// Bus is one serial port or network endpoint, on which one conversation takes place at a time.
type Bus struct {
	Name      string    `toml:"name"`
	Driver    Driver    `toml:"driver"`
	Transport Transport `toml:"transport"`

	// Endpoint is host:port of a bus over a network, and TLS belongs to it.
	Endpoint string `toml:"endpoint"`
	TLS      BusTLS `toml:"tls"`

	// Port is the device node of a serial bus; Baud, DataBits, Parity and StopBits belong to it. Of a line behind a serial device server they are
	// what the plan of the requests goes by; a Baud of 0 then means that the file does not say.
	Port     string `toml:"port"`
	Baud     int    `toml:"baud"`
	DataBits int    `toml:"data_bits"`
	Parity   Parity `toml:"parity"`
	StopBits int    `toml:"stop_bits"`
	// RS485 switches the transmitter of an RS-485 line whose adapter does not do that itself.
	RS485 RS485 `toml:"rs485"`

	// Timeout is how long one answer may take, counted from the end of the request.
	Timeout time.Duration `toml:"timeout"`
	// Retries is how often an unanswered request is sent again.
	Retries int `toml:"retries"`
	// Gap is a silence between frames beyond what the standard asks for.
	Gap time.Duration `toml:"gap"`
	// UnitGap is the same before a request to another unit than the last one.
	UnitGap time.Duration `toml:"unit_gap"`
	// IdleClose closes a connection that was not used for so long, for devices that serve one client at a time; 0 keeps it.
	IdleClose time.Duration `toml:"idle_close"`
	// MaxInFlight bounds the requests that wait for an answer at the same time.
	MaxInFlight int `toml:"max_in_flight"`
	// ConnectDelay is the wait between opening the bus and its first request.
	ConnectDelay time.Duration `toml:"connect_delay"`
	// MaxRegisters bounds the registers of one read request, 1 to 125.
	MaxRegisters int `toml:"max_registers"`
	// MaxGap bounds the unwanted registers read between two wanted ones. Nil leaves it to the planner,
	// which weighs them against the wire time of another request.
	MaxGap *int `toml:"max_gap"`
}

// BusTLS says how a device and this gateway prove who they are, for Modbus TCP Security.
type BusTLS struct {
	// CAFile holds the trusted certificates in PEM; empty means those of the system.
	CAFile string `toml:"ca_file"`
	// CertFile and KeyFile are this gateway's own certificate and its key in PEM; both are empty when there is none.
	CertFile string `toml:"cert_file"`
	KeyFile  string `toml:"key_file"`
	// ServerName replaces the host of the endpoint in SNI and in the check of the device's certificate.
	ServerName string     `toml:"server_name"`
	MinVersion TLSVersion `toml:"min_version"`
}

// RS485 is how the transmitter of an RS-485 line is switched.
type RS485 struct {
	Mode RS485Mode `toml:"mode"`
	// RTSOnSend says that the RTS or GPIO line is high while sending, and low otherwise; false turns that round.
	RTSOnSend bool `toml:"rts_on_send"`
	// DelayBefore is the time from switching on to the first character, DelayAfter from the last one to switching off.
	DelayBefore time.Duration `toml:"delay_before"`
	DelayAfter  time.Duration `toml:"delay_after"`
	// Chip and Line name the GPIO line of RS485GPIO: "/dev/gpiochip0" and a number from 0.
	Chip string `toml:"chip"`
	Line int    `toml:"line"`
}

// Device is one unit id on a bus.
type Device struct {
	Name string `toml:"name"`
	// Bus is the name of one of Config.Buses.
	Bus string `toml:"bus"`
	// UnitID is 1 to 247 on a serial line, behind a device server too, and 0 to 255 on tcp, udp and tls.
	UnitID int `toml:"unit_id"`
	// Gap is a silence before requests to this device, when longer than that of its bus.
	Gap time.Duration `toml:"gap"`
	// ReadWrite says that the device takes function 23, so that registers are written and read back in one request.
	ReadWrite bool          `toml:"read_write"`
	Interval  time.Duration `toml:"interval"`
	// ByteOrder is what the points of 32 and 64 bits use that do not say it themselves.
	ByteOrder ByteOrder `toml:"byte_order"`
	Publish   Publish   `toml:"publish"`
	Points    []Point   `toml:"point"`
}

// Point is one value of a device.
type Point struct {
	Name    string  `toml:"name"`
	Address Address `toml:"address"`
	Type    Type    `toml:"type"`
	// Length is how many registers a string or bytes takes, two bytes in each.
	Length int `toml:"length"`
	// ByteOrder is where the bytes lie. The device's setting already flowed in where the point has several registers.
	ByteOrder ByteOrder `toml:"byte_order"`
	// Bit or Bits is the part of an unsigned number that the point is; both nil: all of it.
	Bit  *int      `toml:"bit"`
	Bits *BitRange `toml:"bits"`
	// A reading is raw * Scale + Offset, in Unit, rounded to Decimals when it is not nil.
	Scale    float64 `toml:"scale"`
	Offset   float64 `toml:"offset"`
	Decimals *int    `toml:"decimals"`
	Unit     string  `toml:"unit"`
	// Enum names the numbers, so that the value is text.
	Enum Enum `toml:"enum"`
	// Invalid are the numbers by which the device says that it has no value.
	Invalid []Sentinel `toml:"invalid"`
	// ValidMin and ValidMax bound good readings, in Unit, and are nil where there is no bound.
	ValidMin *float64 `toml:"valid_min"`
	ValidMax *float64 `toml:"valid_max"`
	// Deadband is how far the value must move to be published, 0: at all; Heartbeat is how long it may then stay unpublished, 0: for ever.
	// Without both each reading is published.
	Deadband  float64       `toml:"deadband"`
	Heartbeat time.Duration `toml:"heartbeat"`
	// Interval is how often the point is read; 0: as often as its device.
	Interval time.Duration `toml:"interval"`
	// Writable admits set commands; Min and Max bound their values, in Unit, and are nil where there is no bound. Verify makes a command
	// fail after which another value is read back.
	Writable bool     `toml:"writable"`
	Min      *float64 `toml:"min"`
	Max      *float64 `toml:"max"`
	Verify   bool     `toml:"verify"`
}
