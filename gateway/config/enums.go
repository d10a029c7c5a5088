package config

import "log/slog"

// enumerated is a small integer type whose values have names. Value 0 may have the name "": then it means that
// the file has not said, and the file cannot say it.
type enumerated interface{ names() []string }

// nameOf returns the name of value i, for String methods.
func nameOf(e enumerated, i uint8) string {
	if names := e.names(); int(i) < len(names) {
		return names[i]
	}
	return "?"
}

// LogLevel is the least severity that is logged.
type LogLevel uint8

// The levels of [log].
const (
	LevelDebug LogLevel = iota
	LevelInfo
	LevelWarn
	LevelError
)

func (LogLevel) names() []string  { return []string{"debug", "info", "warn", "error"} }
func (l LogLevel) String() string { return nameOf(l, uint8(l)) }

// Slog returns the same level in log/slog, whose levels are 4 apart.
func (l LogLevel) Slog() slog.Level { return slog.LevelDebug + slog.Level(4*l) }

// LogFormat is the form of a log line.
type LogFormat uint8

// The formats of [log]. FormatAuto is text on a terminal and JSON elsewhere.
const (
	FormatAuto LogFormat = iota
	FormatText
	FormatJSON
)

func (LogFormat) names() []string  { return []string{"auto", "text", "json"} }
func (f LogFormat) String() string { return nameOf(f, uint8(f)) }

// Protocol is what a listener of the broker speaks.
type Protocol uint8

// ProtocolMQTT is MQTT itself, ProtocolWebSocket is MQTT in WebSockets; each over TCP, or over TLS.
const (
	ProtocolMQTT Protocol = iota
	ProtocolWebSocket
)

func (Protocol) names() []string  { return []string{"mqtt", "websocket"} }
func (p Protocol) String() string { return nameOf(p, uint8(p)) }

// Direction is the way of a route.
type Direction uint8

// DirectionOut sends local topics to the upstream, DirectionIn brings remote ones here, DirectionBoth does both.
const (
	DirectionOut Direction = iota + 1
	DirectionIn
	DirectionBoth
)

func (Direction) names() []string  { return []string{"", "out", "in", "both"} }
func (d Direction) String() string { return nameOf(d, uint8(d)) }

// Out tells whether topics go to the upstream.
func (d Direction) Out() bool { return d == DirectionOut || d == DirectionBoth }

// In tells whether topics come from the upstream.
func (d Direction) In() bool { return d == DirectionIn || d == DirectionBoth }

// Retain says what a route does with the retain flag.
type Retain uint8

// RetainKeep leaves the flag as it came, RetainClear and RetainSet force it.
const (
	RetainKeep Retain = iota
	RetainClear
	RetainSet
)

func (Retain) names() []string  { return []string{"keep", "clear", "set"} }
func (r Retain) String() string { return nameOf(r, uint8(r)) }

// Driver is the protocol family of a bus.
type Driver uint8

// DriverModbus reads and writes registers and coils.
const DriverModbus Driver = 0

func (Driver) names() []string  { return []string{"modbus"} }
func (d Driver) String() string { return nameOf(d, uint8(d)) }

// Transport is how frames travel on a bus.
type Transport uint8

// TransportTCP, TransportUDP and TransportTLS carry Modbus TCP, TransportRTU and TransportASCII are serial lines, and the last two
// are those behind a serial device server.
const (
	TransportTCP Transport = iota + 1
	TransportRTU
	TransportASCII
	TransportUDP
	TransportTLS
	TransportRTUOverTCP
	TransportASCIIOverTCP
)

func (Transport) names() []string {
	return []string{"", "tcp", "rtu", "ascii", "udp", "tls", "rtu-over-tcp", "ascii-over-tcp"}
}
func (t Transport) String() string { return nameOf(t, uint8(t)) }

// Serial tells whether the transport needs a port; the others need an endpoint.
func (t Transport) Serial() bool { return t == TransportRTU || t == TransportASCII }

// Tagged tells whether answers carry the id of their request. Where they do not, units are those of a serial line.
func (t Transport) Tagged() bool {
	return t == TransportTCP || t == TransportUDP || t == TransportTLS
}

// RS485Mode says who switches the transmitter of an RS-485 line.
type RS485Mode uint8

// RS485Off leaves it to the adapter; the others name the driver of the UART, the port's RTS line, and a GPIO line.
const (
	RS485Off RS485Mode = iota
	RS485Kernel
	RS485RTS
	RS485GPIO
)

func (RS485Mode) names() []string  { return []string{"", "kernel", "rts", "gpio"} }
func (m RS485Mode) String() string { return nameOf(m, uint8(m)) }

// Parity is the parity bit of a serial line.
type Parity uint8

// The parities of a serial line.
const (
	ParityNone Parity = iota
	ParityEven
	ParityOdd
)

func (Parity) names() []string  { return []string{"none", "even", "odd"} }
func (p Parity) String() string { return nameOf(p, uint8(p)) }

// Publish says what a device publishes of a poll.
type Publish uint8

// PublishDevice sends one JSON message per poll, PublishPoints one message per value, PublishBoth both.
const (
	PublishDevice Publish = iota
	PublishPoints
	PublishBoth
)

func (Publish) names() []string  { return []string{"device", "points", "both"} }
func (p Publish) String() string { return nameOf(p, uint8(p)) }

// ByteOrder is the order in which the four bytes of a 32-bit value stand in its two registers; A is the highest.
type ByteOrder uint8

// The byte orders. Modbus itself fixes only the order within a register (AB); OrderABCD carries that on,
// OrderCDAB has the words swapped, OrderBADC the bytes of each word, OrderDCBA both.
const (
	OrderABCD ByteOrder = iota
	OrderCDAB
	OrderBADC
	OrderDCBA
)

func (ByteOrder) names() []string  { return []string{"ABCD", "CDAB", "BADC", "DCBA"} }
func (o ByteOrder) String() string { return nameOf(o, uint8(o)) }

// Type is how the bits of a point are read.
type Type uint8

// The types of points.
const (
	TypeBool Type = iota + 1
	TypeInt16
	TypeUint16
	TypeInt32
	TypeUint32
	TypeFloat32
)

func (Type) names() []string {
	return []string{"", "bool", "int16", "uint16", "int32", "uint32", "float32"}
}
func (t Type) String() string { return nameOf(t, uint8(t)) }

// Words returns how many registers (or, for a bool, coils) a value takes.
func (t Type) Words() int {
	switch t {
	case TypeInt32, TypeUint32, TypeFloat32:
		return 2
	}
	return 1
}
