package gateway

import "time"

// QoS is an MQTT quality of service level: 0, 1 or 2.
type QoS uint8

// Message is an application message: what a client publishes and a subscriber receives. Once published it is never changed.
type Message struct {
	Topic      string
	Payload    []byte
	QoS        QoS
	Retain     bool
	Properties *Properties // MQTT 5; nil when there are none
}

// Properties are those MQTT 5 properties that travel with an application message from publisher to subscriber (MQTT 5, 3.3.2.3).
type Properties struct {
	PayloadFormat   uint8  // 1: the payload is UTF-8
	Expiry          uint32 // seconds; 0 means that the message does not expire (HasExpiry tells a real 0 apart)
	HasExpiry       bool
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	User            []UserProperty // in order, names may repeat
}

// UserProperty is a name and value pair of MQTT 5.
type UserProperty struct{ Name, Value string }

// Gap tells a consumer which records it will not get, in their place in the order.
type Gap struct {
	Queue  string    // the consumer's queue
	From   uint64    // first seq that is missing
	To     uint64    // last seq that is missing
	Count  uint64    // records that were dropped; 0 for a jump of seq at a restart, which lost nothing that had been acknowledged
	Reason string    // "restart", "size", "age", ...
	Time   time.Time // when it was found
}

// Body is what a record holds: exactly one of *Message, *Batch and *Gap.
type Body interface{ isBody() }

func (*Message) isBody() {}
func (*Batch) isBody()   {}
func (*Gap) isBody()     {}

// Record is what the store keeps once, however many consumers wait for it. Once handed to the store it is never changed,
// except that the store stamps Seq and ClockUnset. (gateway id, store id, Seq) identifies it for ever.
type Record struct {
	Seq    uint64    // gateway-wide, rising, never used twice; 0 until stamped
	Time   time.Time // the original time: when it was read or received; never replaced by a time of sending
	Origin string    // name of the upstream that it came from, which will not get it back; "" for devices and LAN clients
	// ClockUnset tells that nothing kept the wall clock right when the record was taken, so that Time may be far off: a board without a
	// battery starts in the past. Stamped by the store together with Seq.
	ClockUnset bool
	Body       Body
}
