// Package client is a small MQTT client for 3.1, 3.1.1 and 5, on the broker's own codec. The verbs sub and pub use it, and tests.
//
// # A connection
//
// [Dial] opens a connection (TCP, TLS, WebSocket or both, by the URL) and does the handshake; the result is one connection, which is not
// opened again when it is lost. Two goroutines belong to it, one that reads and one that sends pings; they have ended when Close returns.
//
//	c, err := client.Dial(ctx, client.Options{URL: "mqtt://127.0.0.1:1883", Connect: packet.Connect{ClientID: "me", CleanStart: true}})
//	...
//	defer c.Close()
//	_, err = c.Subscribe(ctx, packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: "a/#", QoS: packet.QoS1}}})
//	...
//	m, err := c.Receive(ctx)
//
// Any number of goroutines may use a client at the same time.
//
// # Receiving
//
// Messages wait in an inbox with a bound. When it is full nothing more is read, so that the server is held up and not this process' memory;
// whoever waits for an acknowledgement then waits too, so that Receive and Publish belong into two goroutines where both are used. Receive
// acknowledges the message that it returns; with Options.Manual that is left to Ack, for a program that must have done its work before.
//
// QoS 2 is exactly once within one connection. It is so across connections when the next one is given the same [Session].
//
// # Sending
//
// Send waits for room in the window, which is the smaller of Options.MaxInflight and the server's Receive Maximum, and returns a
// [Delivery] to wait for. Publish does both. What was not acknowledged when the connection was lost is for the caller to send again.
package client
