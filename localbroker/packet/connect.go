package packet

import "encoding/binary"

// Connect is a CONNECT packet. It carries its own version, which every other
// packet of the connection then has.
type Connect struct {
	Version    Version
	Bridge     bool   // mosquitto's mark of a bridge: bit 0x80 of the protocol level, not in MQTT 5
	CleanStart bool   // "clean session" before MQTT 5
	KeepAlive  uint16 // seconds; 0 is none
	ClientID   string // may be empty; whether that is allowed is for the server to say
	Will       *Will  // nil without one
	Username   Opt[string]
	Password   []byte     // nil without one
	Props      Properties // MQTT 5 only
}

// Will is the message that the server publishes if the client is cut off.
type Will struct {
	Topic   string
	Payload []byte
	QoS     QoS
	Retain  bool
	Props   Properties // MQTT 5 only
}

const (
	connectReserved   = 1 << 0
	connectClean      = 1 << 1
	connectWill       = 1 << 2
	connectWillQoS    = 3 << 3 // two bits
	connectWillRetain = 1 << 5
	connectPassword   = 1 << 6
	connectUsername   = 1 << 7

	bridgeBit = 0x80
)

// Type returns TypeConnect.
func (*Connect) Type() Type { return TypeConnect }

// Parse reads frame f into c. The version is told by the packet itself; the
// argument has no meaning. Password, the will's payload and all properties are parts of f.Body.
func (c *Connect) Parse(f Frame, _ Version) error {
	*c = Connect{}
	var d decoder
	d.start(f, TypeConnect, 0)
	c.protocol(&d)
	flags := d.byte("connect flags")
	c.KeepAlive = d.uint16("keep alive")
	c.CleanStart = flags&connectClean != 0
	d.broken(checkConnectFlags(flags, d.v))
	if f.Padded && d.v == V5 {
		d.fail(ruleVarintPadded, "remaining length")
	}
	d.properties(&c.Props, TypeConnect)
	c.ClientID = d.present("client identifier", ruleNoClientID)
	if flags&connectWill != 0 {
		c.Will = d.will(flags)
	}
	c.credentials(&d, flags)
	d.end()
	if d.err == nil {
		d.err = c.validate()
	}
	return d.result()
}

// protocol reads the protocol name and level and settles the version.
func (c *Connect) protocol(d *decoder) {
	name := string(d.binary("protocol name"))
	level := d.byte("protocol level")
	if d.err != nil {
		return
	}
	d.v = V311 // the form of the answer to a level that is not supported
	c.Bridge = level&bridgeBit != 0
	c.Version = Version(level &^ bridgeBit)
	switch {
	case name == "MQTT" && (c.Version == V311 || c.Version == V5 && !c.Bridge):
		d.v = c.Version
	case name == "MQIsdp" && c.Version == V31:
		d.v = V31
	case name == "MQTT" || name == "MQIsdp":
		if c.Version >= V5 {
			d.v = V5
		}
		d.fail(ruleProtocolLevel, "protocol "+name+" "+c.Version.String())
	default:
		d.v = 0
		d.fail(ruleProtocolName, "protocol name")
	}
}

// checkConnectFlags returns the rule that the connect flags break and the name of the
// flag. In 3.1 the reserved bit is not used, and a will's flags are to be disregarded if
// there is no will.
func checkConnectFlags(flags byte, v Version) (rule, string) {
	will := flags&connectWill != 0
	switch {
	case flags&connectWillQoS == connectWillQoS && will:
		return ruleWillQoS, "will QoS"
	case v == V31:
		return 0, ""
	case flags&connectReserved != 0:
		return ruleConnectReserved, "connect flags"
	case flags&connectWillQoS != 0 && !will:
		return ruleNoWillQoS, "will QoS"
	case flags&connectWillRetain != 0 && !will:
		return ruleNoWillRetain, "will retain flag"
	}
	return 0, ""
}

// present reads a string that breaks rule r if the packet ends before it.
func (d *decoder) present(field string, r rule) string {
	if !d.more() {
		d.fail(r, field)
	}
	return string(d.binary(field))
}

func (d *decoder) will(flags byte) *Will {
	w := &Will{
		QoS:    QoS(flags & connectWillQoS >> 3),
		Retain: flags&connectWillRetain != 0,
	}
	d.properties(&w.Props, ownerWill)
	w.Topic = d.present("will topic", ruleWillMissing)
	if !d.more() {
		d.fail(ruleWillMissing, "will payload")
	}
	w.Payload = d.binary("will payload")
	return w
}

// credentials reads user name and password. In 3.1 the remaining length has precedence over
// their flags: if nothing follows, they are not there.
func (c *Connect) credentials(d *decoder, flags byte) {
	lax := d.v == V31
	if flags&connectUsername != 0 && (d.more() || !lax) {
		c.Username = Some(d.present("user name", ruleUserNameMissing))
	}
	if flags&connectPassword == 0 || lax && !d.more() {
		return
	}
	if !d.more() {
		d.fail(rulePasswordMissing, "password")
	}
	c.Password = d.binary("password")
}

// Validate returns an *Error if c cannot be sent.
func (c *Connect) Validate() error {
	d := decoder{t: TypeConnect, v: c.Version}
	if c.Version < V31 || c.Version > V5 {
		d.fail(ruleProtocolLevel, "protocol level")
	}
	d.check(c.validate())
	d.check(c.Props.validate(c.Version, TypeConnect))
	if c.Will != nil {
		d.check(c.Will.Props.validate(c.Version, ownerWill))
	}
	return d.result()
}

func (c *Connect) validate() *Error {
	d := decoder{t: TypeConnect, v: c.Version}
	d.broken(checkText(c.ClientID), "client identifier")
	if c.Will != nil {
		d.broken(checkTopic(c.Will.Topic), "will topic")
		d.broken(breaks(ruleTooLong, len(c.Will.Payload) > maxField), "will payload")
		d.broken(breaks(ruleWillQoS, c.Will.QoS > QoS2), "will QoS")
	}
	d.broken(checkText(c.Username.Value), "user name")
	d.broken(breaks(ruleTooLong, len(c.Password) > maxField), "password")
	if c.Password != nil && !c.Username.Set && c.Version != V5 {
		d.fail(rulePasswordAlone, "password")
	}
	return d.err
}

// Append appends the packet to dst, in the version that c names; the argument has no meaning.
func (c *Connect) Append(dst []byte, _ Version) []byte {
	dst, start := begin(dst, TypeConnect.first())
	name, level := "MQTT", byte(c.Version)
	if c.Version == V31 {
		name = "MQIsdp"
	}
	if c.Bridge && c.Version != V5 {
		level |= bridgeBit
	}
	dst = append(appendBytes(dst, name), level, c.flags())
	dst = binary.BigEndian.AppendUint16(dst, c.KeepAlive)
	if c.Version == V5 {
		dst = c.Props.append(dst, TypeConnect)
	}
	dst = appendBytes(dst, c.ClientID)
	if c.Will != nil {
		dst = c.Will.append(dst, c.Version)
	}
	if c.Username.Set {
		dst = appendBytes(dst, c.Username.Value)
	}
	if c.Password != nil {
		dst = appendBytes(dst, c.Password)
	}
	return seal(dst, start)
}

func (c *Connect) flags() byte {
	var flags byte
	if c.CleanStart {
		flags |= connectClean
	}
	if w := c.Will; w != nil {
		flags |= connectWill | byte(w.QoS&3)<<3
		if w.Retain {
			flags |= connectWillRetain
		}
	}
	if c.Username.Set {
		flags |= connectUsername
	}
	if c.Password != nil {
		flags |= connectPassword
	}
	return flags
}

func (w *Will) append(dst []byte, v Version) []byte {
	if v == V5 {
		dst = w.Props.append(dst, ownerWill)
	}
	return appendBytes(appendBytes(dst, w.Topic), w.Payload)
}
