package client

import (
	"fmt"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// Refusal is a server's no: to a connection, a subscription or a message, or its reason to end the connection.
type Refusal struct {
	Packet  packet.Type       // that it came in: CONNACK, SUBACK, UNSUBACK, PUBACK, PUBREC, PUBCOMP or DISCONNECT
	Code    packet.ReasonCode // of 3.1 and 3.1.1: the code of MQTT 5 that says the same
	Reason  string            // the server's own words; "" without any, and before MQTT 5
	Subject string            // the topic or filter that was refused; "" for a connection
}

func newRefusal(t packet.Type, code packet.ReasonCode, props *packet.Properties, subject string) *Refusal {
	return &Refusal{Packet: t, Code: code, Reason: string(props.ReasonString), Subject: subject}
}

// Error returns what was refused and why.
func (r *Refusal) Error() string {
	text := r.what() + ": " + r.Code.String()
	if r.Reason != "" {
		text += fmt.Sprintf(" (%q)", r.Reason)
	}
	return text
}

func (r *Refusal) what() string {
	switch r.Packet {
	case packet.TypeConnack:
		return "the server refuses the connection"
	case packet.TypeSuback:
		return fmt.Sprintf("the server refuses the subscription to %q", r.Subject)
	case packet.TypeUnsuback:
		return fmt.Sprintf("the server refuses to unsubscribe from %q", r.Subject)
	case packet.TypeDisconnect:
		return "the server ended the connection"
	}
	return fmt.Sprintf("the server refuses the message on %q", r.Subject)
}
