package localbroker

import (
	"bytes"
	"unsafe"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// propertiesOf copies the properties that travel with a message out of the input, nil when there are none (MQTT 5, 3.3.2.3). A topic alias
// and subscription identifiers belong to one connection and do not.
func propertiesOf(p *packet.Properties) *gateway.Properties {
	if p.PayloadFormat.Value == 0 && !p.MessageExpiry.Set && len(p.ContentType) == 0 && p.ResponseTopic == nil &&
		p.CorrelationData == nil && len(p.UserProperties) == 0 {
		return nil
	}
	out := &gateway.Properties{
		PayloadFormat: p.PayloadFormat.Value,
		Expiry:        p.MessageExpiry.Value, HasExpiry: p.MessageExpiry.Set,
		ContentType:     string(p.ContentType),
		ResponseTopic:   string(p.ResponseTopic),
		CorrelationData: bytes.Clone(p.CorrelationData),
		User:            userProperties(p.UserProperties),
	}
	return out
}

// userProperties copies user properties into one piece of memory: there may be very many very short ones.
func userProperties(list []packet.UserProperty) []gateway.UserProperty {
	if len(list) == 0 {
		return nil
	}
	var all []byte
	for _, u := range list {
		all = append(append(all, u.Name...), u.Value...)
	}
	rest := string(all)
	out := make([]gateway.UserProperty, len(list))
	for i, u := range list {
		n, v := len(u.Name), len(u.Name)+len(u.Value)
		out[i] = gateway.UserProperty{Name: rest[:n], Value: rest[n:v]}
		rest = rest[v:]
	}
	return out
}

// setProperties makes to the properties of a message that is sent, of which left seconds remain.
func setProperties(to *packet.Properties, p *gateway.Properties, left uint32) {
	to.Reset()
	if p == nil {
		return
	}
	if p.PayloadFormat != 0 {
		to.PayloadFormat = packet.Some(p.PayloadFormat)
	}
	if p.HasExpiry {
		to.MessageExpiry = packet.Some(left)
	}
	to.ContentType, to.ResponseTopic, to.CorrelationData = view(p.ContentType), view(p.ResponseTopic), p.CorrelationData
	for _, u := range p.User {
		to.UserProperties = append(to.UserProperties, packet.UserProperty{Name: present(u.Name), Value: present(u.Value)})
	}
}

// maxKeptProperties is how many user properties a struct that is used again keeps room for.
const maxKeptProperties = 64

// letGo takes the properties out of a struct that is kept for the next packet, with all that they refer to.
func letGo(p *packet.Properties) {
	p.Reset()
	if cap(p.UserProperties) > maxKeptProperties || cap(p.SubscriptionIDs) > maxKeptProperties {
		p.UserProperties, p.SubscriptionIDs = nil, nil
	}
	clear(p.UserProperties[:cap(p.UserProperties)])
}

// view returns the bytes of a string without a copy, for reading only; nil when it is empty, which stands for a property that is not there.
func view(s string) []byte {
	if s == "" {
		return nil
	}
	return present(s)
}

// present is view where an empty string is there.
func present(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// propertiesCost is about what properties take in memory, in bytes.
func propertiesCost(p *gateway.Properties) int {
	n := len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
	for _, u := range p.User {
		n += len(u.Name) + len(u.Value) + 32
	}
	return n
}
