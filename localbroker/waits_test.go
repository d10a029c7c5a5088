package localbroker_test

import (
	"testing"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/localbroker"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// The tests of this file are the table of what packet waits for what. Each holds commits back, sees that the packet has not left,
// lets go, and sees that it leaves.

func hasOp[T gateway.Op](c *gateway.Change) bool {
	for _, op := range c.Ops {
		if _, ok := op.(T); ok {
			return true
		}
	}
	return false
}

func hasRecord(c *gateway.Change) bool { return c.Record != nil }

func TestPubackWaitsForTheCommitOfADurableConsumer(t *testing.T) {
	r := start(t)
	up := r.queue("cloud", localbroker.QueueSub{Owner: "cloud", Filters: []string{"a/#"}})
	r.mem.hold()
	c := r.clean("c")
	c.publish("a/b", "x", 1, 7, false)
	r.mem.awaitPending(t, "the message", hasRecord)
	c.nothing()
	up.read(1) // consumers see it before the commit
	r.mem.release()
	c.expect("40 02 00 07")
}

func TestPubackLeavesWithoutACommitWhenEveryConsumerHasAcknowledged(t *testing.T) {
	r := start(t)
	up := r.queue("cloud", localbroker.QueueSub{Filters: []string{"a/#"}})
	r.mem.hold()
	c := r.clean("c")
	c.publish("a/b", "x", 1, 7, false)
	d := up.read(1)[0]
	c.nothing()
	r.store.Ack(d.Queue, d.Pos)
	c.expect("40 02 00 07")
	r.mem.release()
}

func TestPubackLeavesAtOnceWithoutDurableConsumer(t *testing.T) {
	r := start(t)
	r.mem.hold()
	defer r.mem.release()
	c := r.clean("c")
	c.publish("a/b", "x", 1, 7, false)
	c.expect("40 02 00 07")
}

func TestPubackWaitsForAnOfflinePersistentSession(t *testing.T) {
	r := start(t)
	s := r.persistent("s", false)
	s.subscribe("a/#", 1)
	s.close()
	r.log.await(t, "connection lost", "client=s")
	r.mem.hold()
	c := r.clean("c")
	c.publish("a/b", "x", 1, 7, false)
	r.mem.awaitPending(t, "the message", hasRecord)
	c.nothing()
	r.mem.release()
	c.expect("40 02 00 07")
}

func TestPubackOfARetainedMessageWaitsForItsRetainedCopy(t *testing.T) {
	r := start(t)
	r.mem.hold()
	c := r.clean("c")
	c.publish("a/b", "x", 1, 7, true)
	r.mem.awaitPending(t, "the retained copy", hasOp[gateway.PutRetained])
	c.nothing()
	r.mem.release()
	c.expect("40 02 00 07")
}

func TestPubackOfARetainedMessageWaitsForConsumerAndRetainedCopy(t *testing.T) {
	r := start(t)
	up := r.queue("cloud", localbroker.QueueSub{Filters: []string{"a/#"}})
	r.mem.hold()
	c := r.clean("c")
	c.publish("a/b", "x", 1, 7, true)
	d := up.read(1)[0]
	r.store.Ack(d.Queue, d.Pos) // one of the two
	c.nothing()
	r.mem.release()
	c.expect("40 02 00 07")
}

func TestRetainedQoS0IsWaitedForByNobody(t *testing.T) {
	r := start(t)
	r.mem.hold()
	defer r.mem.release()
	c := r.clean("c")
	c.publish("a", "x", 0, 0, true)
	c.publish("b", "y", 1, 1, false)
	c.expect("40 02 00 01")
}

func TestPubrecWaitsForTheCommitAndSubscribersAfterIt(t *testing.T) {
	r := start(t)
	sub := r.clean("sub")
	sub.subscribe("a/#", 2)
	c := r.persistent("c", false)
	r.mem.hold()
	c.publish("a/b", "x", 2, 7, false)
	r.mem.awaitPending(t, "the packet id", hasOp[gateway.PutInbound])
	c.nothing()
	sub.nothing()
	r.mem.release()
	c.expect("50 02 00 07")
	sub.expectPublish("a/b", "x", 2, 1, false, false)
}

func TestPubrecOfACleanSessionWaitsForDurableConsumers(t *testing.T) {
	r := start(t)
	up := r.queue("cloud", localbroker.QueueSub{Filters: []string{"a/#"}})
	sub := r.clean("sub")
	sub.subscribe("a/#", 0)
	r.mem.hold()
	c := r.clean("c")
	c.publish("a/b", "x", 2, 7, false)
	r.mem.awaitPending(t, "the message", hasRecord)
	c.nothing()
	sub.nothing()
	up.empty() // QoS 2 is never elided: nobody sees it before the commit
	r.mem.release()
	c.expect("50 02 00 07")
	up.read(1)
	sub.expectPublish("a/b", "x", 0, 0, false, false)
}

func TestPubcompWaitsForTheRemovalOfThePacketID(t *testing.T) {
	r := start(t)
	c := r.persistent("c", false)
	c.publish("a/b", "x", 2, 7, false)
	c.expect("50 02 00 07")
	r.mem.hold()
	c.send("62 02 00 07")
	r.mem.awaitPending(t, "the removal", hasOp[gateway.DropInbound])
	c.nothing()
	r.mem.release()
	c.expect("70 02 00 07")
}

func TestPublishQoS1LeavesAtOnceToOnlineSubscribers(t *testing.T) {
	r := start(t)
	clean, kept := r.clean("clean"), r.persistent("kept", false)
	clean.subscribe("a", 1)
	kept.subscribe("a", 1)
	r.mem.hold()
	defer r.mem.release()
	c := r.clean("c")
	c.publish("a", "x", 1, 7, false)
	clean.expectPublish("a", "x", 1, 1, false, false)
	kept.expectPublish("a", "x", 1, 1, false, false)
	c.nothing() // but its PUBACK does not
	kept.send("40 02 00 01")
	c.expect("40 02 00 07")
}

func TestPublishQoS2ToAPersistentSessionFollowsTheCommit(t *testing.T) {
	r := start(t)
	kept := r.persistent("kept", false)
	kept.subscribe("a", 2)
	r.mem.hold()
	c := r.clean("c")
	c.publish("a", "x", 2, 7, false)
	r.mem.awaitPending(t, "the message", hasRecord)
	kept.nothing()
	r.mem.release()
	kept.expectPublish("a", "x", 2, 1, false, false)
}

func TestPubrelWaitsForTheCommitOfPubrec(t *testing.T) {
	r := start(t)
	kept := r.persistent("kept", false)
	kept.subscribe("a", 2)
	c := r.clean("c")
	c.publish("a", "x", 2, 7, false)
	kept.expectPublish("a", "x", 2, 1, false, false)
	r.mem.hold()
	kept.send("50 02 00 01")
	r.mem.awaitPending(t, "the PUBREC", hasOp[gateway.PutReceived])
	kept.nothing()
	r.mem.release()
	kept.expect("62 02 00 01")
	kept.send("70 02 00 01")
}

func TestConnackWaitsForTheSession(t *testing.T) {
	r := start(t)
	r.mem.hold()
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "s"})
	c.send("c0 00") // not even a ping is answered before CONNACK
	r.mem.awaitPending(t, "the session", hasOp[gateway.PutSession])
	c.silent()
	r.mem.release()
	c.expect("20 02 00 00 d0 00")
}

func TestConnackOfACleanSessionWaitsForTheEndOfTheStoredOne(t *testing.T) {
	r := start(t)
	r.persistent("s", false).send("e0 00")
	r.log.await(t, "client has disconnected")
	r.mem.hold()
	c := r.dial()
	c.connect(&packet.Connect{ClientID: "s", CleanStart: true})
	r.mem.awaitPending(t, "the end of the session", hasOp[gateway.DropSession])
	c.silent()
	r.mem.release()
	c.expect("20 02 00 00")
}

func TestConnackOfACleanSessionLeavesAtOnce(t *testing.T) {
	r := start(t)
	r.mem.hold()
	defer r.mem.release()
	r.clean("c")
}

func TestSubackAndUnsubackWaitForTheSubscription(t *testing.T) {
	r := start(t)
	s := r.persistent("s", false)
	r.mem.hold()
	s.send("82 06 00 01 | 00 01 'a' 01")
	r.mem.awaitPending(t, "the subscription", hasOp[gateway.PutSubscription])
	s.nothing()
	r.mem.release()
	s.expect("90 03 00 01 01")

	r.mem.hold()
	s.send("a2 05 00 02 | 00 01 'a'")
	r.mem.awaitPending(t, "the removal", hasOp[gateway.DropSubscription])
	s.nothing()
	r.mem.release()
	s.expect("b0 02 00 02")
}

func TestSubackWaitsForTheRetainedMessagesItBrings(t *testing.T) {
	r := start(t)
	c := r.clean("c")
	c.publish("a", "x", 1, 1, true)
	c.expect("40 02 00 01")
	s := r.persistent("s", false)
	r.mem.hold()
	s.send("82 06 00 01 | 00 01 'a' 01")
	s.expectPublish("a", "x", 1, 1, true, false) // may come before SUBACK (MQTT 3.1.1, 3.8.4)
	s.nothing()
	r.mem.release()
	s.expect("90 03 00 01 01")
	s.send("40 02 00 01")
}

func TestSubackOfACleanSessionLeavesAtOnce(t *testing.T) {
	r := start(t)
	r.mem.hold()
	defer r.mem.release()
	c := r.clean("c")
	c.subscribe("a", 2)
	c.send("a2 05 00 02 | 00 01 'a'")
	c.expect("b0 02 00 02")
}

func TestCommandsAreCommittedBeforeTheInboxSeesThemAndTheSenderIsAnswered(t *testing.T) {
	r := start(t)
	inbox := r.queue("inbox", localbroker.QueueSub{Filters: []string{"tg/+/set"}, Barrier: true, NoRetain: true})
	r.mem.hold()
	c := r.clean("c")
	c.publish("tg/pump/set", "1", 1, 7, false)
	r.mem.awaitPending(t, "the command", hasRecord)
	c.nothing()
	inbox.empty()
	r.mem.release()
	c.expect("40 02 00 07")
	inbox.read(1)
}

func TestMQTT_4_6_0_2_MQTT_4_6_0_3_AnswersLeaveInTheOrderOfTheirPackets(t *testing.T) {
	r := start(t)
	r.queue("cloud", localbroker.QueueSub{Filters: []string{"slow/#"}})
	r.mem.hold()
	c := r.clean("c")
	c.publish("slow/a", "x", 1, 1, false)
	c.publish("fast", "x", 1, 2, false)
	c.publish("slow/b", "x", 2, 3, false)
	c.publish("fast", "x", 2, 4, false)
	c.send("62 02 00 04")
	c.send("82 06 00 05 | 00 01 'a' 01")
	c.publish("fast", "x", 1, 6, false)
	r.mem.awaitPending(t, "the second message", func(ch *gateway.Change) bool { return ch.Barrier })
	c.nothing()
	r.mem.release()
	c.expect("40 02 00 01 | 40 02 00 02 | 50 02 00 03 | 50 02 00 04 | 70 02 00 04 | 90 03 00 05 01 | 40 02 00 06")
}

func TestAClientIsNotReadOnWhileTooManyAnswersAreOutstanding(t *testing.T) {
	r := start(t, func(o *localbroker.Options) { o.MaxUnacknowledged = 4 })
	r.queue("cloud", localbroker.QueueSub{Filters: []string{"a"}})
	r.mem.hold()
	c := r.clean("c")
	for id := range uint16(6) {
		c.publish("a", "x", 1, id+1, false)
	}
	c.send("c0 00")
	r.mem.await(t, "four messages", func() bool { return len(r.mem.pending) == 4 })
	c.silent() // not even the ping was read
	r.mem.release()
	for id := range uint16(6) {
		p := c.next()
		if p.Type() == packet.TypePingresp { // passes answers that still wait
			p = c.next()
		}
		c.checkAck(p, packet.TypePuback, id+1)
	}
}
