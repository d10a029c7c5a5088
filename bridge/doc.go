// Package bridge replicates topics between the local broker and one upstream broker.
//
// Outwards it drains the upstream's durable queues, its lanes: the most urgent first, and within a lane the oldest first, unless the lane gives
// live records a share while there is a backlog. One window of QoS 1 publishes is in flight, acknowledged to the queues from the
// head and in order, so that nothing is forgotten that the upstream has not confirmed. A record is sent by the first route that covers it; a route
// sends it as it was published, point by point, or many records in one message. Inwards it subscribes and hands what
// comes to the local broker, confirming it when the local broker holds it safely. What that one cannot take
// now ends the connection of a session that is kept: the upstream offers it again. What it has published itself, and the upstream sends back because
// a route inward covers it too, is dropped.
//
// Each connection is an epoch with a number that is committed before CONNECT, and uses a fresh paho client that is thrown away at
// its end. Paho's own reconnection is not used, because it completes publish tokens without a PUBACK: a bridge that believed
// them would lose messages. In a clean session, tokens fail at once when the connection is lost; in a session that is kept for inbound messages they
// stay open for ever. So nothing here waits for a token alone: the end of the connection, noticed below paho, ends every wait.
//
// An epoch ends by a failure or by a farewell. After a failure the bridge turns to the next server and waits with decorrelated jitter: longer when
// the credentials were refused, anew after a minute of calm. When connections keep ending with the same record at the head, the window is
// narrowed to one, and after five such ends the record is set aside. A farewell (a stop, a lazy link with nothing to send, credentials about to expire, the
// primary server being back) lets the window be confirmed, says "offline" with its reason, and disconnects.
//
// Goroutines of one epoch: the sender (the only caller of Publish for records), the acker (head of the window), the inbound acker, one that asks
// again for refused filters, and two that watch the age of the credentials and the primary server. All are joined before the epoch ends. Paho's callbacks only enqueue.
package bridge
