package e2e_test

import (
	"bufio"
	"context"
	endian "encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Packet types of MQTT 3.1.1, section 2.2.1, in the upper half of the first byte.
const (
	packetConnack = 0x20
	packetPublish = 0x30
	packetPuback  = 0x40
	packetPubrec  = 0x50
	packetPubrel  = 0x62 // with its reserved flags
	packetPubcomp = 0x70
	packetSuback  = 0x90
)

// wire is an MQTT connection that the test drives packet by packet, so that it knows exactly what was acknowledged and what was not.
type wire struct {
	net.Conn
	in      *bufio.Reader
	release func() bool // of the context
}

// Close ends the connection without DISCONNECT.
func (w *wire) Close() error {
	w.release()
	return w.Conn.Close()
}

// dialWire connects and returns whether the broker knew the session.
func dialWire(ctx context.Context, addr, id string, clean bool) (w *wire, present bool, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, false, err
	}
	w = &wire{conn, bufio.NewReader(conn), context.AfterFunc(ctx, func() { conn.Close() })}
	flags := byte(0)
	if clean {
		flags = 2
	}
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, flags, 0, 0, 0, byte(len(id))}, id...) // keepalive 0: none
	if err := w.send(0x10, body); err != nil {
		w.Close()
		return nil, false, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	kind, body, err := w.read()
	if err != nil || kind != packetConnack || len(body) != 2 || body[1] != 0 {
		w.Close()
		return nil, false, fmt.Errorf("connect as %s: packet %#x % x: %v", id, kind, body, err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	return w, body[0]&1 != 0, nil
}

// send writes one packet in one call.
func (w *wire) send(first byte, body []byte) error {
	packet := endian.AppendUvarint([]byte{first}, uint64(len(body))) // MQTT's length is a varint, least significant first
	_, err := w.Write(append(packet, body...))
	return err
}

func (w *wire) sendID(first byte, id uint16) error {
	return w.send(first, endian.BigEndian.AppendUint16(nil, id))
}

// read returns a packet's first byte and the rest.
func (w *wire) read() (byte, []byte, error) {
	first, err := w.in.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	n, err := endian.ReadUvarint(w.in)
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(w.in, body)
	return first, body, err
}
