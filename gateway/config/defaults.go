package config

import "time"

// This file is the one place where defaults live. A test compares each of them with configs/reference.toml.

// newConfig returns a configuration that holds the defaults and no lists.
func newConfig() *Config {
	return &Config{
		Gateway: Gateway{
			BaseTopic: "tidegate/{id}",
			DataDir:   "/var/lib/tidegate",
		},
		Log:  Log{Level: LevelInfo, Format: FormatAuto},
		HTTP: HTTP{Listen: "127.0.0.1:8080"},
		Buffer: Buffer{
			CommitInterval: time.Second,
			AckHold:        50 * time.Millisecond,
			MaxSize:        1 * GiB,
			MaxAge:         30 * 24 * time.Hour,
			MinFree:        64 * MiB,
			OrphanAge:      7 * 24 * time.Hour,
			// What makers promise for a cheap card of 32 GB: about 300 times its size. Better cards say more.
			CardEndurance: 10 * TiB,
		},
		Broker: Broker{
			// What telemetry needs is a few KiB. The limit bounds what every connection may make us hold at once,
			// so it is far below MQTT's 256 MiB and still takes a picture or a batch.
			MaxPacketSize:    256 * KiB,
			MaxConnections:   1000,
			ConnectTimeout:   10 * time.Second,
			SysInterval:      10 * time.Second,
			MaxInflight:      100,
			MaxQueued:        65536,
			MaxQueuedSize:    8 * MiB,
			MaxQueuedTotal:   64 * MiB,
			MaxSubscriptions: 1000,
			MaxSessions:      1000,
			MaxRetained:      10000,
			MaxRetainedSize:  16 * MiB,
			Session:          Session{MaxAge: 7 * 24 * time.Hour, MaxSize: 64 * MiB, MaxRecords: 100000},
		},
	}
}

// defaulter is a table of a list; each of them starts with its defaults.
type defaulter interface{ setDefaults() }

func (l *Listener) setDefaults() { l.Protocol = ProtocolMQTT }

func (u *Upstream) setDefaults() {
	u.KeepAlive = 30 * time.Second
	u.RetryPrimary = 10 * time.Minute
	u.MaxInflight = 64
	u.Token.Lifetime = time.Hour
	u.Lazy = Lazy{Records: 100, After: 5 * time.Minute}
	u.LiveShare = 70
	u.StatusInterval = time.Minute
	u.Queue.MaxAge = 30 * 24 * time.Hour // the buffer's, which flows in
}

func (r *Route) setDefaults() {
	r.QoS = 1
	r.Retain = RetainKeep
	r.Batch = Batch{MaxRecords: 500, MaxBytes: 64 * KiB, Linger: time.Second}
}

func (b *Bus) setDefaults() {
	b.Driver = DriverModbus
	b.Baud = 9600
	b.DataBits = 8
	b.Parity = ParityNone
	b.StopBits = 1
	b.Timeout = time.Second
	b.Retries = 1
	b.MaxRegisters = maxReadRegisters
	b.MaxInFlight = 1
	b.RS485.RTSOnSend = true
}

func (d *Device) setDefaults() {
	d.Interval = time.Second
	d.ByteOrder = OrderABCD
	d.Publish = PublishDevice
}

func (p *Point) setDefaults() { p.Scale = 1 }

// inherit lets settings flow from a table to its parts that do not say it themselves.
func (c *Config) inherit() {
	for i := range c.Broker.Listeners {
		c.inheritListener(at("broker.listener", i), &c.Broker.Listeners[i])
	}
	for i := range c.Buses {
		b, path := &c.Buses[i], at("bus", i)
		if b.Transport.ASCII() && !c.src.has(path+".data_bits") {
			b.DataBits = 7 // Modbus over Serial Line V1.02, 2.5.2
		}
		if b.Transport.Behind() && !c.src.has(path+".baud") {
			b.Baud = 0
		}
	}
	for i := range c.Upstreams {
		c.inheritUpstream(at("upstream", i), &c.Upstreams[i])
	}
	for i := range c.Devices {
		d := &c.Devices[i]
		for j := range d.Points {
			p, path := &d.Points[j], at(at("device", i)+".point", j)
			p.inherit(d.ByteOrder, c.src.has(path+".type"), c.src.has(path+".byte_order"))
		}
	}
	for i, s := range c.ModbusServers {
		for j := range s.Registers {
			c.inheritRegister(at(at("modbus_server", i)+".register", j), &s.Registers[j])
		}
	}
}

// inherit gives a point the type and the order that the file does not say. A device's order is of several registers, so it says nothing about
// one of them, nor about text.
func (p *Point) inherit(order ByteOrder, hasType, hasOrder bool) {
	switch {
	case hasType:
	case p.Address.Table.Bits():
		p.Type = TypeBool
	case p.Bit != nil || p.Bits != nil:
		p.Type = TypeUint16
	}
	switch {
	case hasOrder:
	case p.Type.text(), p.Type.size() > 0 && !p.Type.several():
		p.ByteOrder = OrderAB
	default:
		p.ByteOrder = order
	}
}

// inheritUpstream lets the buffer's limits flow into an upstream's queues, and the ceilings of its profile into the defaults. What the
// file says itself stays: the checks compare it with the ceilings.
func (c *Config) inheritUpstream(path string, u *Upstream) {
	if !c.src.has(path + ".queue.max_age") {
		u.Queue.MaxAge = c.Buffer.MaxAge
	}
	if !c.src.has(path + ".queue.on_full") {
		u.Queue.OnFull = c.Buffer.OnFull
	}
	u.Ceilings = u.Profile.Ceilings()
	if most := u.Ceilings.MaxInflight; most > 0 && !c.src.has(path+".max_inflight") {
		u.MaxInflight = min(u.MaxInflight, most)
	}
	if !c.src.has(path + ".rate.messages") {
		u.Rate.Messages = u.Ceilings.pace()
	}
	if !c.src.has(path + ".rate.bytes") {
		u.Rate.Bytes = u.Ceilings.Bytes
	}
	for i := range u.Routes {
		if r := &u.Routes[i]; u.Ceilings.Payload > 0 && !c.src.has(at(path+".route", i)+".batch.max_bytes") {
			r.Batch.MaxBytes = min(r.Batch.MaxBytes, u.Ceilings.Payload)
		}
	}
}
