package bridge

import (
	"fmt"
	"time"
)

// takenOver is after how many short connections in a row somebody else is thought to use the client id.
const takenOver = 3

// advice says what a person can do about a connection that was not made, or was lost after lasted. A server that gets a client id for a
// second time closes the first connection without a word (MQTT 3.1.1, 3.1.4-2), so that two gateways with one id throw each other out for ever.
func (b *Bridge) advice(lasted time.Duration) string {
	connects := b.counters.connects.Load()
	made := connects != b.connectsSeen
	b.connectsSeen = connects
	switch {
	case !made:
		b.short = 0
		return fmt.Sprintf("tidegate bridge test %s finds out why", b.opts.Name)
	case lasted >= backoffCalm:
		b.short = 0
		return ""
	}
	if b.short++; b.short < takenOver {
		return ""
	}
	return fmt.Sprintf("connections are made and soon lost: does another client use the client id %q?", b.opts.ClientID)
}
