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

// ASCII tells whether frames are those of Modbus ASCII, whose characters usually have 7 bits.
func (t Transport) ASCII() bool { return t == TransportASCII || t == TransportASCIIOverTCP }

// Behind tells whether there is a serial line behind a device server.
func (t Transport) Behind() bool {
	return t == TransportRTUOverTCP || t == TransportASCIIOverTCP
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

// ByteOrder is the order in which the bytes of a value stand in its registers; A is the highest.
type ByteOrder uint8

// The byte orders. Modbus itself fixes only the order within a register (AB); of several registers OrderABCD carries that on,
// OrderCDAB has the words reversed, OrderBADC the bytes of each word swapped, OrderDCBA both. OrderAB and OrderBA are of what has one
// register, and of text.
const (
	OrderABCD ByteOrder = iota
	OrderCDAB
	OrderBADC
	OrderDCBA
	OrderAB
	OrderBA
)

func (ByteOrder) names() []string  { return []string{"ABCD", "CDAB", "BADC", "DCBA", "AB", "BA"} }
func (o ByteOrder) String() string { return nameOf(o, uint8(o)) }

// single tells whether the order is of one register.
func (o ByteOrder) single() bool { return o == OrderAB || o == OrderBA }

// Type is how the bits of a point are read.
type Type uint8

// The types of points.
const (
	TypeBool Type = iota + 1
	TypeInt8
	TypeInt16
	TypeInt32
	TypeInt64
	TypeUint8
	TypeUint16
	TypeUint32
	TypeUint64
	TypeFloat16
	TypeFloat32
	TypeFloat64
	TypeBCD16
	TypeBCD32
	TypeString
	TypeBytes
)

func (Type) names() []string {
	return []string{
		"", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
		"bcd16", "bcd32", "string", "bytes",
	}
}
func (t Type) String() string { return nameOf(t, uint8(t)) }

// size returns how many bits the number has; 0 for what is no number.
func (t Type) size() int {
	switch t {
	case TypeInt8, TypeUint8:
		return 8
	case TypeInt16, TypeUint16, TypeFloat16, TypeBCD16:
		return 16
	case TypeInt32, TypeUint32, TypeFloat32, TypeBCD32:
		return 32
	case TypeInt64, TypeUint64, TypeFloat64:
		return 64
	}
	return 0
}

// words returns how many registers (or, for a bool, coils) a value takes whose length its type says.
func (t Type) words() int { return max(1, t.size()/16) }

// text tells whether the point says how long it is.
func (t Type) text() bool { return t == TypeString || t == TypeBytes }

func (t Type) signed() bool   { return t >= TypeInt8 && t <= TypeInt64 }
func (t Type) unsigned() bool { return t >= TypeUint8 && t <= TypeUint64 }
func (t Type) float() bool    { return t >= TypeFloat16 && t <= TypeFloat64 }
func (t Type) bcd() bool      { return t == TypeBCD16 || t == TypeBCD32 }

// several tells whether the number lies in more than one register, so that their order matters.
func (t Type) several() bool { return t.size() > 16 }
