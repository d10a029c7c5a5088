// Package bridge replicates topics between the local broker and one upstream broker.
//
// Outwards it drains the upstream's durable queue: a window of QoS 1 publishes in flight, acknowledged to the queue from the
// head and in order, so that nothing is forgotten that the upstream has not confirmed. Inwards it subscribes and hands what
// comes to the local broker, confirming it when the local broker holds it safely.
//
// Each connection is an epoch with a number that is committed before CONNECT, and uses a fresh paho client that is thrown away at
// its end. Paho's own reconnection is not used, because it completes publish tokens without a PUBACK: a bridge that believed
// them would lose messages. A clean session makes tokens fail at once when the connection is lost, which is the signal that the pattern needs.
//
// Goroutines of one epoch: the sender (the only caller of Publish), the acker (head of the window), the inbound acker. All are joined
// before the epoch ends. Paho's callbacks only enqueue.
package bridge
