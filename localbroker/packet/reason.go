package packet

import "fmt"

// ReasonCode is a reason code of MQTT 5; values from 0x80 on report failure.
// Packets of 3.1 and 3.1.1 are given the same codes: Append and Parse
// translate to and from the return codes that these versions have.
type ReasonCode byte

// The reason codes of MQTT 5, section 2.4.
const (
	ReasonSuccess                     ReasonCode = 0x00 // also normal disconnection, and granted QoS 0
	ReasonGrantedQoS1                 ReasonCode = 0x01
	ReasonGrantedQoS2                 ReasonCode = 0x02
	ReasonDisconnectWithWill          ReasonCode = 0x04
	ReasonNoMatchingSubscribers       ReasonCode = 0x10
	ReasonNoSubscriptionExisted       ReasonCode = 0x11
	ReasonContinueAuthentication      ReasonCode = 0x18
	ReasonReauthenticate              ReasonCode = 0x19
	ReasonUnspecifiedError            ReasonCode = 0x80
	ReasonMalformedPacket             ReasonCode = 0x81
	ReasonProtocolError               ReasonCode = 0x82
	ReasonImplementationError         ReasonCode = 0x83
	ReasonUnsupportedVersion          ReasonCode = 0x84
	ReasonClientIDNotValid            ReasonCode = 0x85
	ReasonBadUserNameOrPassword       ReasonCode = 0x86
	ReasonNotAuthorized               ReasonCode = 0x87
	ReasonServerUnavailable           ReasonCode = 0x88
	ReasonServerBusy                  ReasonCode = 0x89
	ReasonBanned                      ReasonCode = 0x8A
	ReasonServerShuttingDown          ReasonCode = 0x8B
	ReasonBadAuthenticationMethod     ReasonCode = 0x8C
	ReasonKeepAliveTimeout            ReasonCode = 0x8D
	ReasonSessionTakenOver            ReasonCode = 0x8E
	ReasonTopicFilterInvalid          ReasonCode = 0x8F
	ReasonTopicNameInvalid            ReasonCode = 0x90
	ReasonPacketIDInUse               ReasonCode = 0x91
	ReasonPacketIDNotFound            ReasonCode = 0x92
	ReasonReceiveMaximumExceeded      ReasonCode = 0x93
	ReasonTopicAliasInvalid           ReasonCode = 0x94
	ReasonPacketTooLarge              ReasonCode = 0x95
	ReasonMessageRateTooHigh          ReasonCode = 0x96
	ReasonQuotaExceeded               ReasonCode = 0x97
	ReasonAdministrativeAction        ReasonCode = 0x98
	ReasonPayloadFormatInvalid        ReasonCode = 0x99
	ReasonRetainNotSupported          ReasonCode = 0x9A
	ReasonQoSNotSupported             ReasonCode = 0x9B
	ReasonUseAnotherServer            ReasonCode = 0x9C
	ReasonServerMoved                 ReasonCode = 0x9D
	ReasonSharedNotSupported          ReasonCode = 0x9E
	ReasonConnectionRateExceeded      ReasonCode = 0x9F
	ReasonMaximumConnectTime          ReasonCode = 0xA0
	ReasonSubscriptionIDsNotSupported ReasonCode = 0xA1
	ReasonWildcardsNotSupported       ReasonCode = 0xA2
)

// typeSet is a set of packet types, one bit each. Bit 0 stands for the will's
// properties, which are a list of their own inside CONNECT.
type typeSet uint16

func typesOf(types ...Type) typeSet {
	var s typeSet
	for _, t := range types {
		s |= 1 << t
	}
	return s
}

func (s typeSet) has(t Type) bool { return s>>t&1 != 0 }

const (
	inConnack    typeSet = 1 << TypeConnack
	inPublishAck typeSet = 1<<TypePuback | 1<<TypePubrec
	inRelease    typeSet = 1<<TypePubrel | 1<<TypePubcomp
	inSuback     typeSet = 1 << TypeSuback
	inUnsuback   typeSet = 1 << TypeUnsuback
	inDisconnect typeSet = 1 << TypeDisconnect
	inAuth       typeSet = 1 << TypeAuth
)

// reasons holds the name of each reason code and the packets that may carry it
// (MQTT 5, table 2-6).
var reasons = [...]struct {
	name string
	in   typeSet
}{
	ReasonSuccess:                     {"success", inConnack | inPublishAck | inRelease | inSuback | inUnsuback | inDisconnect | inAuth},
	ReasonGrantedQoS1:                 {"granted QoS 1", inSuback},
	ReasonGrantedQoS2:                 {"granted QoS 2", inSuback},
	ReasonDisconnectWithWill:          {"disconnect with will message", inDisconnect},
	ReasonNoMatchingSubscribers:       {"no matching subscribers", inPublishAck},
	ReasonNoSubscriptionExisted:       {"no subscription existed", inUnsuback},
	ReasonContinueAuthentication:      {"continue authentication", inAuth},
	ReasonReauthenticate:              {"re-authenticate", inAuth},
	ReasonUnspecifiedError:            {"unspecified error", inConnack | inPublishAck | inSuback | inUnsuback | inDisconnect},
	ReasonMalformedPacket:             {"malformed packet", inConnack | inDisconnect},
	ReasonProtocolError:               {"protocol error", inConnack | inDisconnect},
	ReasonImplementationError:         {"implementation specific error", inConnack | inPublishAck | inSuback | inUnsuback | inDisconnect},
	ReasonUnsupportedVersion:          {"unsupported protocol version", inConnack},
	ReasonClientIDNotValid:            {"client identifier not valid", inConnack},
	ReasonBadUserNameOrPassword:       {"bad user name or password", inConnack},
	ReasonNotAuthorized:               {"not authorized", inConnack | inPublishAck | inSuback | inUnsuback | inDisconnect},
	ReasonServerUnavailable:           {"server unavailable", inConnack},
	ReasonServerBusy:                  {"server busy", inConnack | inDisconnect},
	ReasonBanned:                      {"banned", inConnack},
	ReasonServerShuttingDown:          {"server shutting down", inDisconnect},
	ReasonBadAuthenticationMethod:     {"bad authentication method", inConnack | inDisconnect},
	ReasonKeepAliveTimeout:            {"keep alive timeout", inDisconnect},
	ReasonSessionTakenOver:            {"session taken over", inDisconnect},
	ReasonTopicFilterInvalid:          {"topic filter invalid", inSuback | inUnsuback | inDisconnect},
	ReasonTopicNameInvalid:            {"topic name invalid", inConnack | inPublishAck | inDisconnect},
	ReasonPacketIDInUse:               {"packet identifier in use", inPublishAck | inSuback | inUnsuback},
	ReasonPacketIDNotFound:            {"packet identifier not found", inRelease},
	ReasonReceiveMaximumExceeded:      {"receive maximum exceeded", inDisconnect},
	ReasonTopicAliasInvalid:           {"topic alias invalid", inDisconnect},
	ReasonPacketTooLarge:              {"packet too large", inConnack | inDisconnect},
	ReasonMessageRateTooHigh:          {"message rate too high", inDisconnect},
	ReasonQuotaExceeded:               {"quota exceeded", inConnack | inPublishAck | inSuback | inDisconnect},
	ReasonAdministrativeAction:        {"administrative action", inDisconnect},
	ReasonPayloadFormatInvalid:        {"payload format invalid", inConnack | inPublishAck | inDisconnect},
	ReasonRetainNotSupported:          {"retain not supported", inConnack | inDisconnect},
	ReasonQoSNotSupported:             {"QoS not supported", inConnack | inDisconnect},
	ReasonUseAnotherServer:            {"use another server", inConnack | inDisconnect},
	ReasonServerMoved:                 {"server moved", inConnack | inDisconnect},
	ReasonSharedNotSupported:          {"shared subscriptions not supported", inSuback | inDisconnect},
	ReasonConnectionRateExceeded:      {"connection rate exceeded", inConnack | inDisconnect},
	ReasonMaximumConnectTime:          {"maximum connect time", inDisconnect},
	ReasonSubscriptionIDsNotSupported: {"subscription identifiers not supported", inSuback | inDisconnect},
	ReasonWildcardsNotSupported:       {"wildcard subscriptions not supported", inSuback | inDisconnect},
}

// String returns the code's name as in table 2-6 of the standard, in lower case.
func (c ReasonCode) String() string {
	if int(c) < len(reasons) && reasons[c].name != "" {
		return reasons[c].name
	}
	return fmt.Sprintf("reason code 0x%02x", byte(c))
}

// Failed reports whether the code tells of a failure.
func (c ReasonCode) Failed() bool { return c >= 0x80 }

// validIn reports whether MQTT 5 lets a packet of type t carry the code.
func (c ReasonCode) validIn(t Type) bool {
	return int(c) < len(reasons) && reasons[c].in.has(t)
}

// connackV3 holds, for each return code of a CONNACK of 3.1 and 3.1.1, the
// reason code that says the same.
var connackV3 = [...]ReasonCode{
	ReasonSuccess,
	ReasonUnsupportedVersion,    // 1: unacceptable protocol version
	ReasonClientIDNotValid,      // 2: identifier rejected
	ReasonServerUnavailable,     // 3: server unavailable
	ReasonBadUserNameOrPassword, // 4: bad user name or password
	ReasonNotAuthorized,         // 5: not authorized
}

// returnCode returns the return code of 3.1 and 3.1.1 that comes nearest to c.
// A reason that these versions do not know becomes "server unavailable", after
// which clients try again, or "not authorized" where that would be of no use.
func (c ReasonCode) returnCode() byte {
	for i, r := range connackV3 {
		if r == c {
			return byte(i)
		}
	}
	switch c {
	case ReasonBanned, ReasonBadAuthenticationMethod, ReasonTopicNameInvalid,
		ReasonPayloadFormatInvalid, ReasonRetainNotSupported, ReasonQoSNotSupported:
		return 5
	}
	return 3
}
