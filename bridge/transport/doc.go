// Package transport opens the connection to an upstream broker: over TCP, TLS or WebSocket, directly or through a proxy. What speaks MQTT
// over it does not see the difference.
//
// Names are resolved at each dial and all their addresses tried. Certificate files are read at each dial, so that a renewed one counts from
// the next connection on. The chain and the name of the server are always checked: there is no switch to turn that off. A broker with a
// certificate of one's own making is reached with ca_file.
//
// Pre-shared keys are not supported: crypto/tls of the Go library has no PSK cipher suites. A broker that offers nothing else needs a
// listener with a certificate.
//
// A trace of net/http/httptrace in the context sees the steps of a dial: DNSDone, ConnectDone, TLSHandshakeDone, and GotConn when
// a proxy has opened its tunnel.
package transport
