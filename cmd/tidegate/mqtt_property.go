package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/localbroker/packet"
)

const userProperty = "user-property"

// mqttProperties are those that -D gives, by the packet that they are for.
type mqttProperties struct {
	connect, will, publish, subscribe, unsubscribe, disconnect packet.Properties
}

// of returns the properties for a command as -D names it, and the names of those that it may have.
func (p *mqttProperties) of(command string) (*packet.Properties, []string) {
	message := []string{"content-type", "correlation-data", "message-expiry-interval", "payload-format-indicator", "response-topic", userProperty}
	switch strings.ToLower(command) {
	case "connect":
		return &p.connect, []string{
			"authentication-data", "authentication-method", "maximum-packet-size", "receive-maximum", "request-problem-information",
			"request-response-information", "session-expiry-interval", "topic-alias-maximum", userProperty,
		}
	case "publish":
		return &p.publish, append(message, "topic-alias")
	case "will":
		return &p.will, append(message, "will-delay-interval")
	case "subscribe":
		return &p.subscribe, []string{"subscription-identifier", userProperty}
	case "unsubscribe":
		return &p.unsubscribe, []string{userProperty}
	case "disconnect":
		return &p.disconnect, []string{"session-expiry-interval", userProperty}
	}
	return nil, nil
}

// parseProperties reads the words of each -D: command, name, value, and a second value for a user property.
func parseProperties(all [][]string) (*mqttProperties, error) {
	p := new(mqttProperties)
	for _, words := range all {
		props, may := p.of(words[0])
		if props == nil {
			return nil, fmt.Errorf("-D %s: the commands are connect, publish, subscribe, unsubscribe, disconnect and will", words[0])
		}
		name := strings.ToLower(words[1])
		if !slices.Contains(may, name) {
			return nil, fmt.Errorf("-D %[1]s %[2]s: the properties of %[1]s are %[3]s", words[0], words[1], strings.Join(may, ", "))
		}
		if err := setProperty(props, name, words[2:]); err != nil {
			return nil, fmt.Errorf("-D %s: %w", strings.Join(words, " "), err)
		}
	}
	return p, nil
}

// setProperty puts one property into p. What is left to say about its value is for the packet's Validate.
func setProperty(p *packet.Properties, name string, value []string) (err error) {
	text := []byte(value[0])
	switch name {
	case "authentication-data":
		p.AuthData = text
	case "authentication-method":
		p.AuthMethod = text
	case "content-type":
		p.ContentType = text
	case "correlation-data":
		p.CorrelationData = text
	case "response-topic":
		p.ResponseTopic = text
	case userProperty:
		p.UserProperties = append(p.UserProperties, packet.UserProperty{Name: text, Value: []byte(value[1])})
	case "maximum-packet-size":
		p.MaximumPacketSize, err = number[uint32](value[0], math.MaxUint32)
	case "message-expiry-interval":
		p.MessageExpiry, err = number[uint32](value[0], math.MaxUint32)
	case "session-expiry-interval":
		p.SessionExpiry, err = number[uint32](value[0], math.MaxUint32)
	case "will-delay-interval":
		p.WillDelay, err = number[uint32](value[0], math.MaxUint32)
	case "receive-maximum":
		p.ReceiveMaximum, err = number[uint16](value[0], math.MaxUint16)
	case "topic-alias":
		p.TopicAlias, err = number[uint16](value[0], math.MaxUint16)
	case "topic-alias-maximum":
		p.TopicAliasMaximum, err = number[uint16](value[0], math.MaxUint16)
	case "payload-format-indicator":
		p.PayloadFormat, err = number[byte](value[0], 1)
	case "request-problem-information":
		p.RequestProblemInfo, err = number[byte](value[0], 1)
	case "request-response-information":
		p.RequestResponseInfo, err = number[byte](value[0], 1)
	case "subscription-identifier":
		var id packet.Opt[uint32]
		id, err = number[uint32](value[0], packet.MaxRemaining)
		p.SubscriptionIDs = append(p.SubscriptionIDs, id.Value)
	}
	return err
}

func number[T byte | uint16 | uint32](text string, highest uint64) (packet.Opt[T], error) {
	x, err := strconv.ParseUint(text, 10, 64)
	if err != nil || x > highest {
		return packet.Opt[T]{}, fmt.Errorf("the value is a number from 0 to %d", highest)
	}
	return packet.Some(T(x)), nil
}
