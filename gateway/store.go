package gateway

import "time"

// QueueID names a durable queue within one store: an upstream's, a session's, or the command inbox. 0 is no queue.
type QueueID uint32

// ViewShared in a Ref's View marks a delivery that came to a session through a shared subscription (MQTT 5, 4.8.2).
const ViewShared = 1 << 15

// ViewGreeting in a Ref's View marks a retained message that greets a subscription. What is below it is the identifier of that, 0 for none. A
// subscription with an identifier that has no room there has no mark.
const ViewGreeting = 1 << 14

// Ref gives a record to one consumer.
type Ref struct {
	Queue  QueueID
	View   uint16 // 0: the record itself; n: the n-th message that a batch becomes, counted from 1 (see payload.Messages); ViewShared may be added, ViewGreeting to a message
	QoS    QoS    // of delivery
	Retain bool   // the retain flag of delivery
}

// Delivery is a record at its place in one consumer's queue.
type Delivery struct {
	Ref
	Pos    uint64 // place in the queue, from 1, rising by one for each reference, also for those that were dropped
	Record *Record
}

// Change is what one packet, poll or command alters. All of it becomes durable in one transaction, or none of it.
//
// A change without Barrier may be elided: when every consumer in To has acknowledged the record before its commit was due, the
// record is never written. Consumers see the record at once. With Barrier (QoS 2, commands) it is always written, and
// consumers see it only after the commit.
type Change struct {
	Record  *Record // to append and stamp; nil when there is none
	To      []Ref   // the durable consumers of Record
	Ops     []Op    // further state that changes with it
	Barrier bool
}

// Waiter is who waits for changes that were committed many at once. It is comparable.
type Waiter interface {
	// Committed is called with the numbers of changes, in the order in which they were settled: with nil when each is as safe as it was to be, with
	// an error when none will be. It must not keep numbers.
	Committed(numbers []uint64, err error)
}

// Op is one alteration of the state that the broker keeps for its sessions.
type Op interface{ isOp() }

// PutSession creates or updates a persistent session.
type PutSession struct {
	Queue        QueueID
	ClientID     string
	User         string        // that created it; "" for anonymous
	Expiry       time.Duration // kept so long after the connection has ended; negative: for ever
	Disconnected time.Time     // zero while connected
}

// DropSession removes a session with its queue, subscriptions and packet ids.
type DropSession struct{ Queue QueueID }

// PutSubscription creates or replaces a session's subscription to a filter.
type PutSubscription struct {
	Queue QueueID
	Subscription
}

// DropSubscription removes a session's subscription.
type DropSubscription struct {
	Queue  QueueID
	Filter string
}

// PutInbound notes the packet id of a QoS 2 PUBLISH received and not yet released (MQTT 3.1.1, 4.3.3).
type PutInbound struct {
	Queue    QueueID
	PacketID uint16
}

// DropInbound forgets a packet id on PUBREL.
type DropInbound struct {
	Queue    QueueID
	PacketID uint16
}

// PutReceived notes that the subscriber has confirmed the QoS 2 delivery at Pos with PUBREC: from now on only PUBREL is sent for
// it. Acknowledging the position removes the note.
type PutReceived struct {
	Queue QueueID
	Pos   uint64
}

// PutRetained replaces the retained message of its topic; an empty payload removes it (MQTT 3.1.1, 3.3.1.3).
type PutRetained struct {
	Message *Message
	Time    time.Time // when it came, from which its expiry counts; zero: when it is committed
}

// PutWill keeps the will of a connection, so that it can be published after a crash.
type PutWill struct {
	ClientID string
	User     string // by whose rights it is published; "" for anonymous clients
	Message  *Message
	Delay    time.Duration // between the end of the connection and its publication (MQTT 5, 3.1.3.2.2)
	Due      time.Time     // when it is to be published; zero while connected
}

// DropWill forgets a will: the client has said DISCONNECT, or the will has been published.
type DropWill struct{ ClientID string }

func (PutSession) isOp()       {}
func (DropSession) isOp()      {}
func (PutSubscription) isOp()  {}
func (DropSubscription) isOp() {}
func (PutInbound) isOp()       {}
func (DropInbound) isOp()      {}
func (PutReceived) isOp()      {}
func (PutRetained) isOp()      {}
func (PutWill) isOp()          {}
func (DropWill) isOp()         {}

// Subscription is a topic filter with its options.
type Subscription struct {
	Filter            string
	QoS               QoS
	NoLocal           bool   // MQTT 5, 3.8.3.1
	RetainAsPublished bool   // MQTT 5, 3.8.3.1
	RetainHandling    uint8  // MQTT 5, 3.8.3.1
	Identifier        uint32 // MQTT 5, 3.8.2.1.2; 0: none
}

// SessionState is a persistent session as the store recovered it.
type SessionState struct {
	PutSession
	Subscriptions []Subscription
	Inbound       []uint16 // QoS 2 packet ids received and not yet released
	Received      []uint64 // positions of QoS 2 deliveries whose PUBREC has come
}

// Recovered is the broker's state as the store holds it at start.
type Recovered struct {
	Sessions []SessionState
	Retained []PutRetained
	Wills    []PutWill // of connections that were alive when the gateway crashed, and those that wait for their delay
}
