package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ModbusServer is one address at which other masters are served: with points as registers, or with the devices of a bus.
type ModbusServer struct {
	Name string `toml:"name"`
	// Listen is host:port; an empty host means every interface.
	Listen string `toml:"listen"`
	// Allow are the networks that may connect; empty: everybody who can reach it, which is this machine.
	Allow          []Network `toml:"allow"`
	MaxConnections int       `toml:"max_connections"`
	// MaxPerAddress bounds the connections from one IP address; 0: half of MaxConnections.
	MaxPerAddress int `toml:"max_per_address"`
	// IdleTimeout ends a connection without requests.
	IdleTimeout time.Duration `toml:"idle_timeout"`
	TLS         ModbusTLS     `toml:"tls"`

	// Proxy is the name of the bus that requests are passed on to; empty for a server of registers.
	Proxy string `toml:"proxy"`

	// UnitID is the unit that the registers belong to; 0: whatever unit a master asks.
	UnitID int `toml:"unit_id"`
	// Holes is what addresses between the registers read as.
	Holes     Holes            `toml:"holes"`
	Registers []ModbusRegister `toml:"register"`
}

// ModbusTLS is Modbus/TCP Security: a listener's TLS whose certificates name no users, since Modbus knows none.
type ModbusTLS struct {
	Cert       string     `toml:"cert_file"`
	Key        string     `toml:"key_file"`
	ClientCA   string     `toml:"client_ca_file"`
	ClientCert ClientCert `toml:"client_cert"`
	MinVersion TLSVersion `toml:"min_version"`
}

// Listener returns the same as the broker's listeners have it.
func (t ModbusTLS) Listener() ListenerTLS {
	return ListenerTLS{Cert: t.Cert, Key: t.Key, ClientCA: t.ClientCA, ClientCert: t.ClientCert, MinVersion: t.MinVersion}
}

// ModbusRegister is a point as other masters see it.
type ModbusRegister struct {
	Address Address `toml:"address"`
	// Source is "device/point".
	Source string `toml:"source"`
	// Type, Length, ByteOrder, Scale and Offset say how the value lies in the registers: value = raw * Scale + Offset. Without a Type in the file
	// all that it does not say is as at the point; that flowed in already.
	Type      Type      `toml:"type"`
	Length    int       `toml:"length"`
	ByteOrder ByteOrder `toml:"byte_order"`
	Scale     float64   `toml:"scale"`
	Offset    float64   `toml:"offset"`
	// Bit makes the point one bit of a register that others may share; nil: it has the register for itself.
	Bit *int `toml:"bit"`
	// BadValue is what is read while the point has no good reading; nil: an exception.
	BadValue *Sentinel `toml:"bad_value"`
	// Writable lets masters set the point.
	Writable bool `toml:"writable"`
}

// split returns device and point of the source; both are empty when it is malformed.
func (r ModbusRegister) split() (device, point string) {
	device, point, ok := strings.Cut(r.Source, "/")
	if !ok || device == "" || point == "" || strings.Contains(point, "/") {
		return "", ""
	}
	return device, point
}

// Holes says what a master reads between registers.
type Holes uint8

// HolesException refuses requests that reach beyond what is there, HolesZero fills gaps between the first and the last with zeros.
const (
	HolesException Holes = iota
	HolesZero
)

func (Holes) names() []string  { return []string{"exception", "zero"} }
func (h Holes) String() string { return nameOf(h, uint8(h)) }

// Network is a list of neighbouring IP addresses.
type Network struct{ netip.Prefix }

// UnmarshalText reads "192.168.1.0/24" or one address.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		n.Prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		return &valueError{reason: "not a network", hint: `write an address and how many of its bits count: "192.168.1.0/24", or one address: "192.168.1.17"`}
	case prefix.Masked() != prefix:
		return &valueError{reason: "names an address inside a network", hint: `write "` + prefix.Masked().String() + `" for the network, or "` + prefix.Addr().String() + `" for the address alone`}
	}
	n.Prefix = prefix
	return nil
}

func (s *ModbusServer) setDefaults() {
	s.MaxConnections = 32
	s.IdleTimeout = 5 * time.Minute
}

func (r *ModbusRegister) setDefaults() { r.Scale = 1 }

// inheritRegister gives a register what the file does not say: a type of its own has the usual order, and without one it lies as the point does.
func (c *Config) inheritRegister(path string, r *ModbusRegister) {
	given := func(key string) bool { return c.src.has(join(path, key)) }
	p, found := c.Source(*r)
	switch {
	case given("type"):
		if !given("byte_order") && !r.Type.several() {
			r.ByteOrder = OrderAB
		}
		return
	case r.Address.Table.Bits():
		r.Type = TypeBool
		return
	case r.Bit != nil || found && (p.Type == TypeBool || p.Bit != nil):
		r.Type, r.ByteOrder = TypeUint16, OrderAB
		return
	case !found:
		return
	}
	r.Type = p.Type
	if !given("length") {
		r.Length = p.Length
	}
	if !given("byte_order") {
		r.ByteOrder = p.ByteOrder
	}
	if !given("scale") && !given("offset") {
		r.Scale, r.Offset = p.Scale, p.Offset
	}
}

// Source returns the point that a register shows; false when there is none.
func (c *Config) Source(r ModbusRegister) (Point, bool) {
	device, point, ok := c.Place(r)
	if !ok {
		return Point{}, false
	}
	return c.Devices[device].Points[point], true
}

// Place returns the index of the device that a register shows, and of its point there; false when there is none.
func (c *Config) Place(r ModbusRegister) (device, point int, ok bool) {
	deviceName, pointName := r.split()
	device = slices.IndexFunc(c.Devices, func(d Device) bool { return d.Name == deviceName })
	if device < 0 || deviceName == "" {
		return 0, 0, false
	}
	point = slices.IndexFunc(c.Devices[device].Points, func(p Point) bool { return p.Name == pointName })
	return device, point, point >= 0
}

// Words returns how many registers (or, of coils, bits) it takes.
func (r ModbusRegister) Words() int { return Point{Type: r.Type, Length: r.Length}.Words() }
