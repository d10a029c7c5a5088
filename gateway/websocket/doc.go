// Package websocket carries MQTT over WebSocket (RFC 6455; MQTT 3.1.1 chapter 6, MQTT 5 chapter 6): it turns a WebSocket into a net.Conn.
// Packets may begin and end anywhere in the binary messages that come, as the specification allows; those that a server sends have a message
// each. A peer that sends text is cut off.
//
// It differs from a TCP connection in one thing: a deadline that expires while a call waits ends the connection. The rest of a frame that
// was cut short cannot be told from the next one, and for MQTT an expired deadline is the end in any case.
package websocket
