package config

import "crypto/tls"

// OnFull is what a queue does at its limits.
type OnFull uint8

// What a full queue does: drop its oldest records, refuse new ones, or hold back the acknowledgements of publishers for a while.
// Readings are never held back.
const (
	OnFullDropOldest OnFull = iota
	OnFullDropNewest
	OnFullBlock
)

func (OnFull) names() []string  { return []string{"drop_oldest", "drop_newest", "block"} }
func (o OnFull) String() string { return nameOf(o, uint8(o)) }

// Start says when an upstream is connected.
type Start uint8

// StartAutomatic keeps the connection up, StartLazy makes it when enough waits and ends it afterwards, for links that are paid for.
const (
	StartAutomatic Start = iota
	StartLazy
)

func (Start) names() []string  { return []string{"automatic", "lazy"} }
func (s Start) String() string { return nameOf(s, uint8(s)) }

// InboundSession says what the server keeps for the gateway's subscriptions.
type InboundSession uint8

// InboundClean hears only what is published while it is connected; InboundPersistent gets the rest afterwards, if the server keeps it.
const (
	InboundClean InboundSession = iota
	InboundPersistent
)

func (InboundSession) names() []string  { return []string{"clean", "persistent"} }
func (s InboundSession) String() string { return nameOf(s, uint8(s)) }

// Priority says which of several routes is sent first.
type Priority uint8

// The priorities. Each has a queue and an order of its own.
const (
	PriorityNormal Priority = iota
	PriorityHigh
	PriorityLow
)

func (Priority) names() []string  { return []string{"normal", "high", "low"} }
func (p Priority) String() string { return nameOf(p, uint8(p)) }

// Order says how a backlog is sent.
type Order uint8

// OrderStrict sends records in the order in which they came. OrderLiveFirst gives what comes now its share of the link while an older
// backlog is sent, see Upstream.LiveShare.
const (
	OrderStrict Order = iota
	OrderLiveFirst
)

func (Order) names() []string  { return []string{"strict", "live_first"} }
func (o Order) String() string { return nameOf(o, uint8(o)) }

// Payload says what a route makes of a record.
type Payload uint8

// PayloadMessage sends what was published, PayloadPoints one message for each value of a device, PayloadBatch many records in
// one message.
const (
	PayloadMessage Payload = iota
	PayloadPoints
	PayloadBatch
)

func (Payload) names() []string  { return []string{"message", "points", "batch"} }
func (p Payload) String() string { return nameOf(p, uint8(p)) }

// TokenKind is how a token is made.
type TokenKind uint8

// The kinds of tokens: Azure's shared access signature, a JSON web token (RFC 7519), and the device passwords of Aliyun IoT Platform,
// Huawei IoTDA and Tencent IoT Explorer.
const (
	TokenAzureSAS TokenKind = iota + 1
	TokenJWT
	TokenAliyun
	TokenHuawei
	TokenTencent
)

func (TokenKind) names() []string {
	return []string{"", "azure-sas", "jwt", "aliyun", "huawei", "tencent"}
}
func (k TokenKind) String() string { return nameOf(k, uint8(k)) }

// TLSVersion is the oldest version of TLS that is taken.
type TLSVersion uint8

// The versions of TLS. Older ones are broken (RFC 8996).
const (
	TLS12 TLSVersion = iota
	TLS13
)

func (TLSVersion) names() []string  { return []string{"1.2", "1.3"} }
func (v TLSVersion) String() string { return nameOf(v, uint8(v)) }

// TLS returns the version as crypto/tls counts it.
func (v TLSVersion) TLS() uint16 { return tls.VersionTLS12 + uint16(v) }

// Profile names a kind of upstream broker.
type Profile uint8

// The profiles. ProfileGeneric has no ceilings.
const (
	ProfileGeneric Profile = iota
	ProfileEMQXServerless
	ProfileAWSIoTCore
	ProfileAzureIoTHub
	ProfileAzureEventGrid
	ProfileHiveMQCloud
	ProfileTencent
	ProfileHuawei
	ProfileAliyun
)

func (Profile) names() []string {
	return []string{
		"generic", "emqx-serverless", "aws-iot-core", "azure-iot-hub", "azure-event-grid", "hivemq-cloud", "tencent", "huawei", "aliyun",
	}
}
func (p Profile) String() string { return nameOf(p, uint8(p)) }
