package packet

import "fmt"

// Opt is a value that may be absent, which in MQTT 5 is not always the same as zero.
type Opt[T any] struct {
	Value T
	Set   bool
}

// Some returns v as a value that is there.
func Some[T any](v T) Opt[T] { return Opt[T]{Value: v, Set: true} }

// Or returns the value, or absent if there is none.
func (o Opt[T]) Or(absent T) T {
	if o.Set {
		return o.Value
	}
	return absent
}

// Properties are the properties of an MQTT 5 packet or will. A packet type has a
// part of them (table 2-4 of the standard); Append leaves the others out. Of the
// byte slices nil means absent, and empty but not nil means there and empty. The
// values of one byte are 0 or 1.
type Properties struct {
	PayloadFormat        Opt[byte]   // 1: the payload is UTF-8
	MessageExpiry        Opt[uint32] // seconds
	ContentType          []byte      // UTF-8
	ResponseTopic        []byte      // a topic name
	CorrelationData      []byte
	SubscriptionIDs      []uint32    // 1 to MaxRemaining; several in PUBLISH, one in SUBSCRIBE
	SessionExpiry        Opt[uint32] // seconds; absent is 0, 0xFFFFFFFF is never
	AssignedClientID     []byte      // UTF-8
	ServerKeepAlive      Opt[uint16] // seconds
	AuthMethod           []byte      // UTF-8
	AuthData             []byte
	RequestProblemInfo   Opt[byte]   // absent is 1
	WillDelay            Opt[uint32] // seconds
	RequestResponseInfo  Opt[byte]
	ResponseInfo         []byte      // UTF-8
	ServerReference      []byte      // UTF-8
	ReasonString         []byte      // UTF-8, for people
	ReceiveMaximum       Opt[uint16] // not 0; absent is 65535
	TopicAliasMaximum    Opt[uint16] // absent is 0: no aliases
	TopicAlias           Opt[uint16] // not 0
	MaximumQoS           Opt[byte]   // absent is 2
	RetainAvailable      Opt[byte]   // absent is 1, like the three below
	UserProperties       []UserProperty
	MaximumPacketSize    Opt[uint32] // bytes, not 0; absent is no limit
	WildcardAvailable    Opt[byte]
	SubscriptionIDsAvail Opt[byte]
	SharedAvailable      Opt[byte]
}

// UserProperty is a pair of UTF-8 strings whose meaning the standard leaves open. Pairs
// keep their order, and a name may come more than once.
type UserProperty struct {
	Name, Value []byte
}

// Reset takes all properties away but keeps the lists' memory for the next.
func (p *Properties) Reset() {
	*p = Properties{SubscriptionIDs: p.SubscriptionIDs[:0], UserProperties: p.UserProperties[:0]}
}

// none reports whether no property is there, which costs less to see than to make so.
func (p *Properties) none() bool {
	set := p.PayloadFormat.Set || p.MessageExpiry.Set || p.SessionExpiry.Set || p.ServerKeepAlive.Set || p.RequestProblemInfo.Set ||
		p.WillDelay.Set || p.RequestResponseInfo.Set || p.ReceiveMaximum.Set || p.TopicAliasMaximum.Set || p.TopicAlias.Set ||
		p.MaximumQoS.Set || p.RetainAvailable.Set || p.MaximumPacketSize.Set || p.WildcardAvailable.Set ||
		p.SubscriptionIDsAvail.Set || p.SharedAvailable.Set
	return !set && p.ContentType == nil && p.ResponseTopic == nil && p.CorrelationData == nil && p.AssignedClientID == nil &&
		p.AuthMethod == nil && p.AuthData == nil && p.ResponseInfo == nil && p.ServerReference == nil && p.ReasonString == nil &&
		len(p.SubscriptionIDs)+len(p.UserProperties) == 0
}

// PropertyID is the identifier of a property on the wire.
type PropertyID byte

// The properties of MQTT 5, table 2-4.
const (
	PropPayloadFormat        PropertyID = 0x01
	PropMessageExpiry        PropertyID = 0x02
	PropContentType          PropertyID = 0x03
	PropResponseTopic        PropertyID = 0x08
	PropCorrelationData      PropertyID = 0x09
	PropSubscriptionID       PropertyID = 0x0B
	PropSessionExpiry        PropertyID = 0x11
	PropAssignedClientID     PropertyID = 0x12
	PropServerKeepAlive      PropertyID = 0x13
	PropAuthMethod           PropertyID = 0x15
	PropAuthData             PropertyID = 0x16
	PropRequestProblemInfo   PropertyID = 0x17
	PropWillDelay            PropertyID = 0x18
	PropRequestResponseInfo  PropertyID = 0x19
	PropResponseInfo         PropertyID = 0x1A
	PropServerReference      PropertyID = 0x1C
	PropReasonString         PropertyID = 0x1F
	PropReceiveMaximum       PropertyID = 0x21
	PropTopicAliasMaximum    PropertyID = 0x22
	PropTopicAlias           PropertyID = 0x23
	PropMaximumQoS           PropertyID = 0x24
	PropRetainAvailable      PropertyID = 0x25
	PropUserProperty         PropertyID = 0x26
	PropMaximumPacketSize    PropertyID = 0x27
	PropWildcardAvailable    PropertyID = 0x28
	PropSubscriptionIDsAvail PropertyID = 0x29
	PropSharedAvailable      PropertyID = 0x2A
)

// kind is the wire form of a property's value.
type kind byte

const (
	kindFlag   kind = iota + 1 // one byte, 0 or 1
	kindUint16                 // two bytes
	kindUint32                 // four bytes
	kindVarint                 // Variable Byte Integer
	kindText                   // UTF-8 with its length before it
	kindBinary                 // bytes with their length before them
	kindPair                   // two texts
)

// ownerWill is the owner of a will's properties in place of a packet type.
const ownerWill Type = 0

var (
	inMessage   = typesOf(TypePublish, ownerWill)
	inHandshake = typesOf(TypeConnect, TypeConnack)
	inAuthFlow  = typesOf(TypeConnect, TypeConnack, TypeAuth)
	inReasons   = typesOf(TypeConnack, TypePuback, TypePubrec, TypePubrel, TypePubcomp,
		TypeSuback, TypeUnsuback, TypeDisconnect, TypeAuth)
	inUserProps = inReasons | inMessage | typesOf(TypeConnect, TypeSubscribe, TypeUnsubscribe)
)

// properties holds the name and wire form of each property and the packets that may carry it.
var properties = [...]struct {
	name string
	kind kind
	in   typeSet
}{
	PropPayloadFormat:        {"payload format indicator", kindFlag, inMessage},
	PropMessageExpiry:        {"message expiry interval", kindUint32, inMessage},
	PropContentType:          {"content type", kindText, inMessage},
	PropResponseTopic:        {"response topic", kindText, inMessage},
	PropCorrelationData:      {"correlation data", kindBinary, inMessage},
	PropSubscriptionID:       {"subscription identifier", kindVarint, typesOf(TypePublish, TypeSubscribe)},
	PropSessionExpiry:        {"session expiry interval", kindUint32, inHandshake | inDisconnect},
	PropAssignedClientID:     {"assigned client identifier", kindText, inConnack},
	PropServerKeepAlive:      {"server keep alive", kindUint16, inConnack},
	PropAuthMethod:           {"authentication method", kindText, inAuthFlow},
	PropAuthData:             {"authentication data", kindBinary, inAuthFlow},
	PropRequestProblemInfo:   {"request problem information", kindFlag, typesOf(TypeConnect)},
	PropWillDelay:            {"will delay interval", kindUint32, typesOf(ownerWill)},
	PropRequestResponseInfo:  {"request response information", kindFlag, typesOf(TypeConnect)},
	PropResponseInfo:         {"response information", kindText, inConnack},
	PropServerReference:      {"server reference", kindText, inConnack | inDisconnect},
	PropReasonString:         {"reason string", kindText, inReasons},
	PropReceiveMaximum:       {"receive maximum", kindUint16, inHandshake},
	PropTopicAliasMaximum:    {"topic alias maximum", kindUint16, inHandshake},
	PropTopicAlias:           {"topic alias", kindUint16, typesOf(TypePublish)},
	PropMaximumQoS:           {"maximum QoS", kindFlag, inConnack},
	PropRetainAvailable:      {"retain available", kindFlag, inConnack},
	PropUserProperty:         {"user property", kindPair, inUserProps},
	PropMaximumPacketSize:    {"maximum packet size", kindUint32, inHandshake},
	PropWildcardAvailable:    {"wildcard subscription available", kindFlag, inConnack},
	PropSubscriptionIDsAvail: {"subscription identifiers available", kindFlag, inConnack},
	PropSharedAvailable:      {"shared subscription available", kindFlag, inConnack},
}

// propertiesOf lists the properties of each owner in the order in which they are written.
var propertiesOf = func() (of [16][]PropertyID) {
	for owner := range of {
		for id := range properties {
			if properties[id].in.has(Type(owner)) {
				of[owner] = append(of[owner], PropertyID(id))
			}
		}
	}
	return of
}()

// String returns the property's name as the standard writes it, in lower case.
func (id PropertyID) String() string {
	if int(id) < len(properties) && properties[id].name != "" {
		return properties[id].name
	}
	return fmt.Sprintf("property 0x%02x", byte(id))
}

// The four functions below return where p keeps the value of property id, which must be
// of the kind in their name.

func (p *Properties) flag(id PropertyID) *Opt[byte] {
	switch id {
	case PropPayloadFormat:
		return &p.PayloadFormat
	case PropRequestProblemInfo:
		return &p.RequestProblemInfo
	case PropRequestResponseInfo:
		return &p.RequestResponseInfo
	case PropMaximumQoS:
		return &p.MaximumQoS
	case PropRetainAvailable:
		return &p.RetainAvailable
	case PropWildcardAvailable:
		return &p.WildcardAvailable
	case PropSubscriptionIDsAvail:
		return &p.SubscriptionIDsAvail
	}
	return &p.SharedAvailable
}

func (p *Properties) uint16(id PropertyID) *Opt[uint16] {
	switch id {
	case PropServerKeepAlive:
		return &p.ServerKeepAlive
	case PropReceiveMaximum:
		return &p.ReceiveMaximum
	case PropTopicAliasMaximum:
		return &p.TopicAliasMaximum
	}
	return &p.TopicAlias
}

func (p *Properties) uint32(id PropertyID) *Opt[uint32] {
	switch id {
	case PropMessageExpiry:
		return &p.MessageExpiry
	case PropSessionExpiry:
		return &p.SessionExpiry
	case PropWillDelay:
		return &p.WillDelay
	}
	return &p.MaximumPacketSize
}

// bytes serves kindText and kindBinary.
func (p *Properties) bytes(id PropertyID) *[]byte {
	switch id {
	case PropContentType:
		return &p.ContentType
	case PropResponseTopic:
		return &p.ResponseTopic
	case PropCorrelationData:
		return &p.CorrelationData
	case PropAssignedClientID:
		return &p.AssignedClientID
	case PropAuthMethod:
		return &p.AuthMethod
	case PropAuthData:
		return &p.AuthData
	case PropResponseInfo:
		return &p.ResponseInfo
	case PropServerReference:
		return &p.ServerReference
	}
	return &p.ReasonString
}
