package packet_test

import (
	"bytes"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// The codec of Eclipse Paho, which was written by others, writes every packet of 3.1 and
// 3.1.1 with the same bytes, and reads ours.
func TestAgreesWithPaho(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311} {
		for typ := packet.TypeConnect; typ <= packet.TypeDisconnect; typ++ {
			t.Run(typ.String()+" "+v.String(), rapid.MakeCheck(func(t *rapid.T) {
				ours := gen{t, v}.packet(typ)
				raw := ours.Append(nil, v)
				if theirs := pahoWrite(t, toPaho(ours)); !bytes.Equal(raw, theirs) {
					t.Fatalf("%+v\nours  % x\npaho's % x", ours, raw, theirs)
				}
				read, err := packets.ReadPacket(bytes.NewReader(raw))
				if err != nil {
					t.Fatalf("Paho cannot read % x: %v", raw, err)
				}
				if again := pahoWrite(t, read); !bytes.Equal(raw, again) {
					t.Fatalf("Paho read % x\nand wrote % x", raw, again)
				}
			}))
		}
	}
}

func pahoWrite(t *rapid.T, p packets.ControlPacket) []byte {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatalf("Paho cannot write %v: %v", p, err)
	}
	return b.Bytes()
}

// toPaho returns the same packet in Paho's types.
func toPaho(p packet.Packet) packets.ControlPacket {
	q := packets.NewControlPacket(byte(p.Type()))
	switch q := q.(type) {
	case *packets.ConnectPacket:
		connectToPaho(p.(*packet.Connect), q)
	case *packets.ConnackPacket:
		q.SessionPresent = p.(*packet.Connack).SessionPresent
		q.ReturnCode = p.Append(nil, packet.V311)[3]
	case *packets.PublishPacket:
		m := p.(*packet.Publish)
		q.Dup, q.Qos, q.Retain, q.MessageID = m.Dup, byte(m.QoS), m.Retain, m.ID
		q.TopicName, q.Payload = string(m.Topic), m.Payload
	case *packets.PubackPacket:
		q.MessageID = p.(*packet.Ack).ID
	case *packets.PubrecPacket:
		q.MessageID = p.(*packet.Ack).ID
	case *packets.PubrelPacket:
		q.MessageID = p.(*packet.Ack).ID
	case *packets.PubcompPacket:
		q.MessageID = p.(*packet.Ack).ID
	case *packets.SubscribePacket:
		s := p.(*packet.Subscribe)
		q.MessageID = s.ID
		for _, sub := range s.Subscriptions {
			q.Topics, q.Qoss = append(q.Topics, sub.Filter), append(q.Qoss, byte(sub.QoS))
		}
	case *packets.SubackPacket:
		s := p.(*packet.Suback)
		q.MessageID = s.ID
		for _, code := range s.Codes {
			q.ReturnCodes = append(q.ReturnCodes, byte(code))
		}
	case *packets.UnsubscribePacket:
		u := p.(*packet.Unsubscribe)
		q.MessageID, q.Topics = u.ID, u.Filters
	case *packets.UnsubackPacket:
		q.MessageID = p.(*packet.Unsuback).ID
	}
	return q
}

func connectToPaho(c *packet.Connect, q *packets.ConnectPacket) {
	q.ProtocolName, q.ProtocolVersion = "MQTT", byte(c.Version)
	if c.Version == packet.V31 {
		q.ProtocolName = "MQIsdp"
	}
	if c.Bridge {
		q.ProtocolVersion |= 0x80
	}
	q.CleanSession, q.Keepalive, q.ClientIdentifier = c.CleanStart, c.KeepAlive, c.ClientID
	if w := c.Will; w != nil {
		q.WillFlag, q.WillQos, q.WillRetain = true, byte(w.QoS), w.Retain
		q.WillTopic, q.WillMessage = w.Topic, w.Payload
	}
	q.UsernameFlag, q.Username = c.Username.Set, c.Username.Value
	q.PasswordFlag, q.Password = c.Password != nil, c.Password
}
