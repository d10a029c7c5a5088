package gateway

import "time"

// Quality says how far a reading can be trusted.
type Quality uint8

// The qualities, from the zero value (nothing was read yet) to good.
const (
	QualityBad Quality = iota
	QualityStale
	QualityGood
)

// String returns the word used in payloads.
func (q Quality) String() string {
	switch q {
	case QualityGood:
		return "good"
	case QualityStale:
		return "stale"
	default:
		return "bad"
	}
}

// Reason says why a reading is not good, in the words used in payloads: "timeout", "crc", "exception 2". "" when good.
type Reason string

// The reasons that drivers give. A Modbus exception is "exception N".
const (
	ReasonNone       Reason = ""
	ReasonNotRead    Reason = "not read"   // no poll has come to this point yet
	ReasonTimeout    Reason = "timeout"    // the device did not answer in time
	ReasonOffline    Reason = "offline"    // the bus is not open: port missing, connection refused or lost
	ReasonCRC        Reason = "crc"        // an answer came with a wrong check sum
	ReasonFrame      Reason = "frame"      // an answer came that breaks the protocol: short, wrong unit, wrong function
	ReasonOutOfRange Reason = "range"      // the value lies outside valid_min and valid_max
	ReasonNotNumber  Reason = "not number" // the device sent NaN, an infinity, or digits that are none
	ReasonSentinel   Reason = "sentinel"   // the device sent the number by which it says that it has no value
)

// Point describes one value of a device, as configuration gives it.
type Point struct {
	Name     string
	Unit     string // of measurement, for people: "V", "°C"
	Kind     Kind   // of the values it gives
	Writable bool
	Min, Max float64 // the range that a command may write, in engineering units; both 0 means no limit
	// Names are those of the numbers that a device has for text; nil when the text is its own. A command gives the name or the number.
	Names map[int64]string
	// A point with a Deadband or a Heartbeat is published when it has moved by more than Deadband (0: at all) since it was published
	// last, when its quality changes, and when Heartbeat has passed (0: never). One with neither is published with each poll.
	Deadband  float64
	Heartbeat time.Duration
}

// Reading is one value of one point at one time.
type Reading struct {
	Value   Value // zero when Quality is bad
	Quality Quality
	Reason  Reason
	Time    time.Time // when the answer that holds it arrived
}

// PublishMode says which messages a device's batch becomes.
type PublishMode uint8

// The publish modes: one JSON message for the device, one message for each point, or both.
const (
	PublishDevice PublishMode = iota
	PublishPoints
	PublishBoth
)

// Batch is the result of one poll of one device: all its points, whether read or failed.
type Batch struct {
	Topic    string // of the device: base/<device>
	Publish  PublishMode
	Time     time.Time // when the poll ended
	Names    []string  // of the points; shared between batches of a device, never changed
	Readings []Reading // as long as Names
}

// Quality returns good when at least one point is good, else stale when one is stale, else bad: what the batch as a whole is worth.
func (b *Batch) Quality() Quality {
	best := QualityBad
	for i := range b.Readings {
		best = max(best, b.Readings[i].Quality)
	}
	return best
}
