package config

import (
	"strings"
	"time"
)

// Ceilings are what a kind of upstream broker takes from one connection. A zero means that no bound is known.
//
// The figures are the providers' published limits as of 2026, with their documents named beside them. Providers change them, and
// raise some on request: whoever has other limits uses profile "generic" and says them in the upstream's own keys. "Unsure"
// marks what comes from experience or from an older edition.
type Ceilings struct {
	// MaxQoS is the highest quality of service that is taken; 0 for no bound is never meant, it is 1 or 2.
	MaxQoS int
	// NoRetain: the retain flag is refused or ignored. NoWill: a last will is. Both are then not sent.
	NoRetain, NoWill bool
	// NeedsTLS: without encryption there is no connection. All take TLS 1.2, which is the oldest that is offered to anybody.
	NeedsTLS bool
	// NeedsSNI: the TLS handshake must name the host (RFC 6066, 3), so an address in digits will not do.
	NeedsSNI bool
	// ALPN is what an MQTT connection on port 443 must offer (RFC 7301); "" where there is none.
	ALPN string
	// NeedsLogin: nobody is let in without a user name.
	NeedsLogin bool

	ClientIDBytes int // of the client id
	// TopicBytes, TopicLevels and Payload (bytes) bound one message.
	TopicBytes, TopicLevels int
	Payload                 Size
	// PublishTo are the only topics to which a client may publish, as filters; {client_id} stands for its id.
	PublishTo []string

	// Messages and Bytes are how much may be published in a second.
	Messages float64
	Bytes    Size
	// MaxInflight bounds messages not yet acknowledged.
	MaxInflight int
	// MinKeepAlive and MaxKeepAlive bound the keep-alive.
	MinKeepAlive, MaxKeepAlive time.Duration
	// MinReconnect is the least time between two connections.
	MinReconnect time.Duration
	// Subscriptions bounds the filters of a connection, SubscribeFilters those of one SUBSCRIBE packet.
	Subscriptions, SubscribeFilters int
	// Unordered: messages may be handed on in another order than they were sent in.
	Unordered bool
}

// pace is the rate that is kept by default: below the ceiling, because a second of ours is not a second of theirs.
func (c Ceilings) pace() float64 { return c.Messages * 9 / 10 }

// Home returns the prefix below which a client may publish what it likes, ending with "/"; "" where every topic will do.
func (c Ceilings) Home(clientID string) string {
	if len(c.PublishTo) == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.ReplaceAll(c.PublishTo[0], "{client_id}", clientID), "#")
}

// Ceilings returns what a profile takes.
func (p Profile) Ceilings() Ceilings {
	switch p {
	case ProfileEMQXServerless:
		return emqxServerless()
	case ProfileAWSIoTCore:
		return awsIoTCore()
	case ProfileAzureIoTHub:
		return azureIoTHub()
	case ProfileAzureEventGrid:
		return azureEventGrid()
	case ProfileHiveMQCloud:
		return hiveMQCloud()
	case ProfileTencent:
		return tencent()
	case ProfileHuawei:
		return huawei()
	case ProfileAliyun:
		return aliyun()
	}
	return Ceilings{MaxQoS: 2}
}

// EMQX Platform, "Quotas and Limits", table Serverless. The ten publishes in a second are what most people run into.
func emqxServerless() Ceilings {
	return Ceilings{
		MaxQoS: 2, NeedsTLS: true, NeedsSNI: true, NeedsLogin: true,
		ClientIDBytes: 1024, TopicLevels: 10, Payload: MiB,
		Messages: 10, Subscriptions: 10,
	}
}

// AWS General Reference, "AWS IoT Core endpoints and quotas", table message broker and protocol.
// Unsure: what a topic below $aws/rules/ may have beyond seven slashes is not counted here.
func awsIoTCore() Ceilings {
	return Ceilings{
		MaxQoS: 1, NeedsTLS: true, NeedsSNI: true, ALPN: "x-amzn-mqtt-ca",
		ClientIDBytes: 128, TopicBytes: 256, TopicLevels: 8, Payload: 128 * KiB,
		Messages: 100, Bytes: 512 * KiB, MaxInflight: 100,
		MinKeepAlive: 30 * time.Second, MaxKeepAlive: 1200 * time.Second, MinReconnect: time.Second,
		Subscriptions: 50, SubscribeFilters: 8,
	}
}

// Azure IoT Hub, "Communicate with an IoT hub using the MQTT protocol" and "IoT Hub quotas and throttling". A publish to another topic or
// of QoS 2 closes the connection; a retained message arrives as one with a property. How much may be sent in a second depends on
// the hub's tier and counts for all its devices together, so it is not known here. Unsure: the bound of the keep-alive differs
// between editions; this is the lowest.
func azureIoTHub() Ceilings {
	return Ceilings{
		MaxQoS: 1, NoRetain: true, NeedsTLS: true, NeedsSNI: true, NeedsLogin: true,
		ClientIDBytes: 128, Payload: 256 * KiB, MaxKeepAlive: 1177 * time.Second,
		PublishTo: []string{
			"devices/{client_id}/messages/events/#", "devices/{client_id}/modules/+/messages/events/#",
			"$iothub/twin/PATCH/properties/reported/#", "$iothub/twin/GET/#", "$iothub/methods/res/#",
		},
	}
}

// Azure Event Grid, "Azure Event Grid quotas and limits" and "MQTT features supported by MQTT broker". The order of messages is not
// promised. Retained messages are taken now; when the broker was new, they closed the connection. Unsure: the keep-alive's bound is of
// an older edition.
func azureEventGrid() Ceilings {
	return Ceilings{
		MaxQoS: 1, NeedsTLS: true, NeedsSNI: true,
		Payload: 512 * KiB, Messages: 1000, Bytes: MiB, MaxInflight: 1000, MaxKeepAlive: 1160 * time.Second, Unordered: true,
	}
}

// HiveMQ Cloud, "Limits". Rates depend on the plan. Unsure: the size of a message is the broker's default.
func hiveMQCloud() Ceilings {
	return Ceilings{MaxQoS: 2, NeedsTLS: true, NeedsSNI: true, NeedsLogin: true, Payload: 5 * MiB}
}

// Tencent Cloud IoT Hub, "Use limits".
func tencent() Ceilings {
	return Ceilings{
		MaxQoS: 1, NeedsLogin: true, TopicBytes: 255, TopicLevels: 10, Payload: 16 * KiB,
		Messages: 30, MaxKeepAlive: 900 * time.Second, MinReconnect: 5 * time.Second, SubscribeFilters: 1,
	}
}

// Huawei Cloud IoTDA, "Notes and constraints". There is neither retain nor will, so a late offline cannot be told by the broker.
func huawei() Ceilings {
	return Ceilings{
		MaxQoS: 1, NoRetain: true, NoWill: true, NeedsLogin: true, TopicBytes: 128, Payload: MiB,
		Messages: 50, Bytes: MiB, MinKeepAlive: 30 * time.Second, MaxKeepAlive: 1200 * time.Second, Subscriptions: 100,
	}
}

// Alibaba Cloud IoT Platform, "Limits": the device access, not the message queue ApsaraMQ for MQTT. Unsure: neither retain nor will.
func aliyun() Ceilings {
	return Ceilings{
		MaxQoS: 1, NoRetain: true, NoWill: true, NeedsLogin: true, Payload: 256 * KiB,
		MinKeepAlive: 30 * time.Second, MaxKeepAlive: 1200 * time.Second,
	}
}
