package packet

// rule is one requirement that a packet can break; the zero rule is none.
type rule uint8

const (
	ruleLength rule = iota + 1
	ruleTooLarge
	ruleType
	ruleOtherType
	ruleFlags
	ruleTruncated
	ruleTrailing
	ruleVarint
	ruleVarintPadded
	ruleUTF8
	ruleNull
	ruleTooLong
	ruleTopicTooLong
	rulePacketID

	ruleProtocolName
	ruleProtocolLevel
	ruleConnectReserved
	ruleNoClientID
	ruleWillMissing
	ruleWillQoS
	ruleNoWillQoS
	ruleNoWillRetain
	ruleUserNameMissing
	rulePasswordMissing
	rulePasswordAlone

	ruleConnackFlags
	ruleSessionPresent
	ruleReasonCode
	ruleNoReasonCode

	ruleQoS3
	ruleDupQoS0
	ruleNoTopic
	ruleTopicEmpty
	ruleTopicWildcard
	rulePublishWildcard
	ruleResponseWildcard

	ruleMultiLevel
	ruleSingleLevel
	ruleShareName
	ruleShareFilter
	ruleNoSubscription
	ruleNoFilter
	ruleSubscriptionReserved
	ruleSubscriptionQoS
	ruleRetainHandling
	ruleShareNoLocal

	ruleProperty
	rulePropertyTwice
	rulePropertyValue
	ruleTopicAliasZero
	ruleAuthData
	ruleAuthMethod
)

// rules says for each rule how a breach is reported: the reason code of MQTT 5,
// the words, and the statement of 3.1.1 and of 5 that it breaks. Statements
// without a number are given by their section. 3.1 has no numbered statements and
// shares those of 3.1.1.
var rules = [...]struct {
	code   ReasonCode
	text   string
	v3, v5 string
}{
	ruleLength:       {ReasonMalformedPacket, "takes more than four bytes", "section 2.2.3", "section 1.5.5"},
	ruleTooLarge:     {ReasonPacketTooLarge, "packet is larger than allowed here", "", "MQTT-3.2.2-15"},
	ruleType:         {ReasonMalformedPacket, "this version has no such packet", "section 2.2.1", "section 2.1.2"},
	ruleOtherType:    {ReasonProtocolError, "frame holds a packet of another type", "section 2.2.1", "section 2.1.2"},
	ruleFlags:        {ReasonMalformedPacket, "fixed header flags are not those of the packet type", "MQTT-2.2.2-2", "MQTT-2.1.3-1"},
	ruleTruncated:    {ReasonMalformedPacket, "packet ends too early", "section 2.2.3", "section 2.1.4"},
	ruleTrailing:     {ReasonMalformedPacket, "bytes are left over after the last field", "section 2.2.3", "section 2.1.4"},
	ruleVarint:       {ReasonMalformedPacket, "variable byte integer takes more than four bytes", "", "section 1.5.5"},
	ruleVarintPadded: {ReasonMalformedPacket, "variable byte integer takes more bytes than it needs", "", "MQTT-1.5.5-1"},
	ruleUTF8:         {ReasonMalformedPacket, "is not valid UTF-8", "MQTT-1.5.3-1", "MQTT-1.5.4-1"},
	ruleNull:         {ReasonMalformedPacket, "contains the null character", "MQTT-1.5.3-2", "MQTT-1.5.4-2"},
	ruleTooLong:      {ReasonMalformedPacket, "is longer than 65535 bytes", "section 1.5.3", "section 1.5.4"},
	ruleTopicTooLong: {ReasonMalformedPacket, "is longer than 65535 bytes", "MQTT-4.7.3-3", "MQTT-4.7.3-3"},
	rulePacketID:     {ReasonProtocolError, "is zero", "MQTT-2.3.1-1", "MQTT-2.2.1-3"},

	ruleProtocolName:    {ReasonUnsupportedVersion, "is neither MQTT nor MQIsdp", "MQTT-3.1.2-1", "MQTT-3.1.2-1"},
	ruleProtocolLevel:   {ReasonUnsupportedVersion, "is not supported", "MQTT-3.1.2-2", "MQTT-3.1.2-2"},
	ruleConnectReserved: {ReasonMalformedPacket, "reserved bit is set", "MQTT-3.1.2-3", "MQTT-3.1.2-3"},
	ruleNoClientID:      {ReasonMalformedPacket, "is missing", "MQTT-3.1.3-3", "MQTT-3.1.3-3"},
	ruleWillMissing:     {ReasonMalformedPacket, "is missing although the will flag is set", "MQTT-3.1.2-9", "MQTT-3.1.2-9"},
	ruleWillQoS:         {ReasonMalformedPacket, "is 3", "MQTT-3.1.2-14", "MQTT-3.1.2-12"},
	ruleNoWillQoS:       {ReasonMalformedPacket, "is set although there is no will", "MQTT-3.1.2-13", "MQTT-3.1.2-11"},
	ruleNoWillRetain:    {ReasonMalformedPacket, "is set although there is no will", "MQTT-3.1.2-15", "MQTT-3.1.2-13"},
	ruleUserNameMissing: {ReasonMalformedPacket, "is missing although its flag is set", "MQTT-3.1.2-19", "MQTT-3.1.2-17"},
	rulePasswordMissing: {ReasonMalformedPacket, "is missing although its flag is set", "MQTT-3.1.2-21", "MQTT-3.1.2-19"},
	rulePasswordAlone:   {ReasonMalformedPacket, "is given without a user name", "MQTT-3.1.2-22", ""},

	ruleConnackFlags:   {ReasonMalformedPacket, "reserved bits are set", "section 3.2.2.1", "MQTT-3.2.2-1"},
	ruleSessionPresent: {ReasonProtocolError, "is set in a refusal", "MQTT-3.2.2-4", "MQTT-3.2.2-6"},
	ruleReasonCode:     {ReasonMalformedPacket, "is not one of this packet", "section 3.2.2.3", ""},
	ruleNoReasonCode:   {ReasonMalformedPacket, "holds none", "section 3.9.3", "section 3.9.3"},

	ruleQoS3:             {ReasonMalformedPacket, "is 3", "MQTT-3.3.1-4", "MQTT-3.3.1-4"},
	ruleDupQoS0:          {ReasonProtocolError, "is set at QoS 0", "MQTT-3.3.1-2", "MQTT-3.3.1-2"},
	ruleNoTopic:          {ReasonProtocolError, "is empty and there is no topic alias", "", "section 3.3.2.1"},
	ruleTopicEmpty:       {ReasonMalformedPacket, "is empty", "MQTT-4.7.3-1", "MQTT-4.7.3-1"},
	ruleTopicWildcard:    {ReasonMalformedPacket, "contains a wildcard", "MQTT-4.7.1-1", "MQTT-4.7.0-1"},
	rulePublishWildcard:  {ReasonMalformedPacket, "contains a wildcard", "MQTT-3.3.2-2", "MQTT-3.3.2-2"},
	ruleResponseWildcard: {ReasonMalformedPacket, "contains a wildcard", "", "MQTT-3.3.2-14"},

	ruleMultiLevel:           {ReasonMalformedPacket, `"#" is not the last level on its own`, "MQTT-4.7.1-2", "MQTT-4.7.1-1"},
	ruleSingleLevel:          {ReasonMalformedPacket, `"+" shares its level with other characters`, "MQTT-4.7.1-3", "MQTT-4.7.1-2"},
	ruleShareName:            {ReasonMalformedPacket, "share name is empty", "", "MQTT-4.8.2-1"},
	ruleShareFilter:          {ReasonMalformedPacket, "share name contains a wildcard, or no filter follows it", "", "MQTT-4.8.2-2"},
	ruleNoSubscription:       {ReasonProtocolError, "holds no topic filter", "MQTT-3.8.3-3", "MQTT-3.8.3-2"},
	ruleNoFilter:             {ReasonProtocolError, "holds no topic filter", "MQTT-3.10.3-2", "MQTT-3.10.3-2"},
	ruleSubscriptionReserved: {ReasonMalformedPacket, "reserved bits are set", "MQTT-3-8.3-4", "MQTT-3.8.3-5"},
	ruleSubscriptionQoS:      {ReasonProtocolError, "is 3", "MQTT-3-8.3-4", "section 3.8.3.1"},
	ruleRetainHandling:       {ReasonProtocolError, "is 3", "", "section 3.8.3.1"},
	ruleShareNoLocal:         {ReasonProtocolError, "is set on a shared subscription", "", "MQTT-3.8.3-4"},

	ruleProperty:       {ReasonMalformedPacket, "this packet has no such property", "", "section 2.2.2.2"},
	rulePropertyTwice:  {ReasonProtocolError, "appears more than once", "", "section 2.2.2.2"},
	rulePropertyValue:  {ReasonProtocolError, "has a value that is not allowed", "", "section 2.2.2.2"},
	ruleTopicAliasZero: {ReasonTopicAliasInvalid, "is zero", "", "MQTT-3.3.2-8"},
	ruleAuthData:       {ReasonProtocolError, "is given without an authentication method", "", "section 3.1.2.11.10"},
	ruleAuthMethod:     {ReasonProtocolError, "is missing", "", "section 3.15.2.2.2"},
}

// flagClauses holds the statements on the fixed header flags of single packet
// types, the same in 3.1.1 and 5; the others share the rule's own.
var flagClauses = [16]string{
	TypePubrel:      "MQTT-3.6.1-1",
	TypeSubscribe:   "MQTT-3.8.1-1",
	TypeUnsubscribe: "MQTT-3.10.1-1",
	TypeDisconnect:  "MQTT-3.14.1-1",
	TypeAuth:        "MQTT-3.15.1-1",
}

// reasonClauses holds the statements of MQTT 5 on which reason codes a packet
// type may carry. That on SUBACK has the same number in 3.1.1.
var reasonClauses = [16]string{
	TypeConnack:    "MQTT-3.2.2-8",
	TypePuback:     "MQTT-3.4.2-1",
	TypePubrec:     "MQTT-3.5.2-1",
	TypePubrel:     "MQTT-3.6.2-1",
	TypePubcomp:    "MQTT-3.7.2-1",
	TypeSuback:     "MQTT-3.9.3-2",
	TypeUnsuback:   "MQTT-3.11.3-2",
	TypeDisconnect: "MQTT-3.14.2-1",
	TypeAuth:       "MQTT-3.15.2-1",
}

// clause returns the statement that a packet of type t breaks with rule r.
func (r rule) clause(t Type, v Version) string {
	switch {
	case r == ruleFlags && flagClauses[t] != "":
		return flagClauses[t]
	case r == ruleReasonCode && (v == V5 || t == TypeSuback):
		return reasonClauses[t]
	case v == V5:
		return rules[r].v5
	}
	return rules[r].v3
}

// breach returns the error for a packet of type t that breaks rule r in field.
func (r rule) breach(t Type, v Version, field string) *Error {
	return &Error{
		Packet:  t,
		Version: v,
		Code:    rules[r].code,
		Clause:  r.clause(t, v),
		Field:   field,
		Problem: rules[r].text,
	}
}
