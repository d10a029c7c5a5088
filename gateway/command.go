package gateway

import "time"

// Command asks a device to take values. It comes from a message on .../set, or .../get when Values is empty.
type Command struct {
	ID      string    // chosen by the sender; "" means that the command may be repeated after a crash
	Device  string    // name of the device
	Values  []Setting // in the order of the payload
	Expires time.Time // zero: never
	Reply   string    // response topic of MQTT 5; "" for the device's result topic alone
	Correl  []byte    // correlation data of MQTT 5
}

// Setting is a value to write to a point.
type Setting struct {
	Point string
	Value Value
}

// State is how a command ended.
type State string

// The states of a result. Unknown means that the gateway stopped between the write and its confirmation: it may or may not have
// taken place, and is not repeated.
const (
	StateDone     State = "done"
	StateRejected State = "rejected"
	StateFailed   State = "failed"
	StateExpired  State = "expired"
	StateUnknown  State = "unknown"
)

// Result is the answer to a command.
type Result struct {
	ID     string
	Values []Setting // as read back from the device
	State  State
	Error  string // why it was not done; "" when done
	Time   time.Time
}
