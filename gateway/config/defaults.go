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
		},
		Broker: Broker{
			// What telemetry needs is a few KiB. The limit bounds what every connection may make us hold at once,
			// so it is far below MQTT's 256 MiB and still takes a picture or a batch.
			MaxPacketSize:  256 * KiB,
			MaxConnections: 1000,
			ConnectTimeout: 10 * time.Second,
			MaxInflight:    100,
			Session:        Session{MaxAge: 7 * 24 * time.Hour},
		},
	}
}

// defaulter is a table of a list; each of them starts with its defaults.
type defaulter interface{ setDefaults() }

func (l *Listener) setDefaults() { l.Protocol = ProtocolMQTT }

func (u *Upstream) setDefaults() {
	u.KeepAlive = 30 * time.Second
	u.MaxInflight = 64
}

func (r *Route) setDefaults() {
	r.QoS = 1
	r.Retain = RetainKeep
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
		l := &c.Broker.Listeners[i]
		if !c.src.has(at("broker.listener", i) + ".allow_anonymous") {
			l.AllowAnonymous = c.Broker.AllowAnonymous && loopback(l.Address)
		}
	}
	for i := range c.Devices {
		d := &c.Devices[i]
		for j := range d.Points {
			p, path := &d.Points[j], at(at("device", i)+".point", j)
			if !c.src.has(path + ".byte_order") {
				p.ByteOrder = d.ByteOrder
			}
			if !c.src.has(path+".type") && p.Address.Table.Bits() {
				p.Type = TypeBool
			}
		}
	}
}
