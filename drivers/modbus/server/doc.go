// Package server is a Modbus TCP server (Modbus Messaging on TCP/IP V1.0b): the listener, its connections and their limits, and the MBAP
// header. What the requests mean is the [Handler]'s business: a [Map] answers them with the points of any devices as registers and coils, and
// whoever passes them on to a bus is another.
//
// # Who gets in
//
// Modbus has no authentication. [Options.Allow] lists who may connect, and is asked before a byte is read; [Options.Upgrade] puts TLS below. Connections
// are bounded in all and for each address. An address at its bound has its longest silent connection closed in favour of the new
// one, so that a controller that lost its power gets in again at once (4.2.1 of the specification advises the same); at the bound for all, the new one is closed.
//
// # What a connection may do
//
// One request of a connection is carried out at a time: the others wait in the peer's socket, where they cost nobody else anything. A frame that
// has begun must be complete within [Options.FrameTimeout], an answer must be taken within the same time, and a connection without
// requests ends after [Options.IdleTimeout]. What is no MBAP header ends the connection, because nobody can tell where the next frame would begin.
package server
