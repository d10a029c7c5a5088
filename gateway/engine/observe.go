package engine

import (
	"time"

	"github.com/tidegate/tidegate/gateway"
)

// Observer is told what is known of a device: after each poll, published or not, after each write that was read back, and when the device
// is taken for offline. The goroutine of the device's bus calls it, which must not be kept waiting.
type Observer interface {
	// Observe has the newest reading of each point of a device, in the order of its Points, and how old each may become before it is stale. Neither
	// slice may be kept or changed.
	Observe(device string, readings []gateway.Reading, staleAfter []time.Duration)
}

// observe tells the observer, if there is one, of a device whose readings have changed.
func (b *bus) observe(d *device) {
	if b.observer != nil {
		b.observer.Observe(d.Name, d.readings, d.staleAfter)
	}
}
