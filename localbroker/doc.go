// Package localbroker is the MQTT broker at the heart of the gateway: the one router in the house, which also works without any listener. LAN
// clients, the engine (readings, results) and the bridges publish to it; LAN clients, the upstreams' queues and the command inbox are
// served from it. It speaks MQTT 3.1, 3.1.1 and 5 over any net.Listener. What has to outlive the process is kept by its [Store].
//
// # Which packet waits for what
//
//	PUBACK                    until each durable consumer has acknowledged the message, or its references are committed
//	PUBREC                    until message, packet id and references are committed; subscribers in memory get it after that
//	PUBCOMP                   until the removal of the packet id is committed
//	PUBREL                    until "PUBREC received" is committed
//	CONNACK, SUBACK, UNSUBACK until the persistent session, its subscriptions and their retained messages are committed
//	answers to QoS 1 and 2    with the retain flag, also until the retained copy is committed
//
// The same state of a clean session is kept in memory; what is left for it to wait for are durable consumers. All answers leave in
// the order of the packets that they answer. Reading a connection never waits for the disk, until MaxUnacknowledged answers are
// outstanding; then that connection is not read on. PINGRESP waits for nothing but CONNACK.
//
// # Choices that the standard leaves open
//
// Overlapping subscriptions deliver a message once, at the highest QoS of those that match, with all their identifiers. Messages made from
// readings count as QoS 1. docs/mqtt5.md tells what is done where MQTT 5 leaves a choice.
//
// A message that waits in memory is dropped only when the limits of its receiver are reached: QoS 0 first (the one that arrives, or the
// oldest that waits if one of QoS 1 or 2 needs its place), always counted. Before that, a client that publishes is held up: its
// connection is not read for up to 250 ms, once for each read, while a receiver has a long queue; up to a second while that receiver makes
// progress. One that makes none is not waited for again until it does. Publishers inside the process never wait.
//
// The order of publishing is kept for each receiver; for a persistent session that holds for QoS 0 apart from QoS 1 and 2, because they
// take different ways. QoS 2 reaches subscribers in memory after its commit, and so may come after a QoS 1 message that was published later.
//
// Topics that begin with $ are refused to clients, by a reason code in MQTT 5 and before it by closing the connection, as are wildcards in
// topics; the one exception is the state that a bridge of mosquitto tells below $SYS/broker/connection. A session that was made by another
// user is not resumed, but dropped.
// Retained messages of clients and upstreams are kept by the store; those of the gateway itself are published again after a start.
//
// # Goroutines
//
//	Run      recovers, publishes the wills of a crash and those whose delay has passed, drops expired sessions; ends the connections
//	Serve    accepts, and joins one goroutine that closes the listener, and the connections below
//	reader   one for each connection that is not attended: reads all that the socket has, handles every packet in it, then
//	         does once what follows from them: writes the answers, wakes the writers of subscribers, acknowledges to the
//	         store. When nothing has come for a second, or little for a while, the connection is left to the attendant, or goes
//	         on in a new goroutine, with a small stack. It holds no buffer while it waits
//	attendant one for each listener of plain TCP on Linux: reads connections that bring little, those that have something one after the
//	         other, then does once what follows for all of them. What could take long or has to wait it does not do
//	         itself: the connection gets a reader, which goes on where the attendant has stopped
//	writer   at most one for each connection, started when there is something to write and ended when there is no more; it
//	         gathers answers, messages from memory and messages from the store into one write
//
// Publishers only append to a session's queue. What a reader finds to write, to its own client or, when it has read few messages, to a
// subscriber, it writes itself in the writer's place, but only what the socket takes at once: whatever would wait, for a socket or for the
// disk, is the writer's. When connections bring their messages at the same moment, a reader that has read few lets the others go first, and one
// write takes what all have for a subscriber. Such small reads and writes are made without telling Go's scheduler (see readNow). Messages of one read that go to the store alike are
// committed together (see collected). The store calls back on its own goroutines, and what it calls never waits.
//
// A burst of messages from many connections that are attended so costs one wake of one goroutine, one read for each of them, one write
// for each subscriber, and one for each publisher that is answered. Whoever changes conn.reads away from attended owns the reading
// of the connection: its attendant, while it handles what has come, or kill, which starts the reader that ends it.
//
// Of many answers that wait for the store, a few that may leave are held back for up to a millisecond, until there are as many as still wait.
//
// # Locks
//
// In the order in which they may be taken, outermost first:
//
//	client.turn     one CONNECT at a time for each client identifier; held while the old connection ends
//	Broker.routing  shared from matching a message to committing it, alone for changing subscriptions
//	retained.order  from changing a retained message to committing it
//	Broker.mu       clients, connections, counts
//	retained.mu, share.mu
//	session.mu, acks.mu, tree.mu, routes.mu, seats.mu
//
// The last seven are never held while the store is called, because the store's callbacks take them. No lock is held across a read or a
// write of a socket, with the exception of client.turn, which only CONNECTs of the same identifier wait for.
package localbroker
