package bus

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// Network is what leads to an endpoint.
type Network uint8

// The networks. With NetworkUDP each datagram is one frame.
const (
	NetworkTCP Network = iota
	NetworkTLS
	NetworkUDP
)

// String returns the word used in configuration.
func (n Network) String() string {
	switch n {
	case NetworkTCP:
		return "tcp"
	case NetworkTLS:
		return "tls"
	case NetworkUDP:
		return "udp"
	default:
		return fmt.Sprintf("network %d", uint8(n))
	}
}

// newDialer returns a function that connects to the endpoint.
func newDialer(o Options) func(context.Context) (link, error) {
	d := &net.Dialer{Timeout: o.DialTimeout, KeepAliveConfig: keepAlive}
	dial := func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", o.Endpoint) }
	switch o.Network {
	case NetworkUDP: // connected, so that the kernel drops what others send
		dial = func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "udp", o.Endpoint) }
	case NetworkTLS:
		secure := &tls.Dialer{NetDialer: d, Config: cmp.Or(o.TLS, &tls.Config{MinVersion: tls.VersionTLS12})}
		dial = func(ctx context.Context) (net.Conn, error) { return secure.DialContext(ctx, "tcp", o.Endpoint) }
	}
	return func(ctx context.Context) (link, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", o.Endpoint, dialReason(err))
		}
		return newTCPLink(conn), nil
	}
}

// certificateReason says what is wrong with a certificate, and what a person can do about it; nil when it is none of that.
func certificateReason(err error) error {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("the device's certificate is signed by nobody that is trusted here: name its authority in ca_file (%w)", err)
	case errors.As(err, &hostname):
		return fmt.Errorf("the device's certificate is for another name: set server_name to one that it has (%w)", err)
	case errors.As(err, &invalid):
		return fmt.Errorf("the device's certificate is not valid: %w", err)
	case errors.As(err, &record):
		return fmt.Errorf("the device does not speak TLS on this port: Modbus TCP Security is on port 802 (%w)", err)
	case errors.As(err, &alert):
		return fmt.Errorf("the device refused the TLS connection: does it want a client certificate (cert_file and key_file)? (%w)", err)
	}
	return nil
}

// aliveWait is how long a TLS connection is given to tell a record without data from the end of the stream.
const aliveWait = 5 * time.Millisecond

// alive takes what waits on an idle TLS connection: a session ticket means nothing, the end is the end, and data that nobody asked
// for belongs to no request that is still to come.
func (l *tcpLink) alive(conn *tls.Conn) bool {
	if err := conn.SetReadDeadline(time.Now().Add(aliveWait)); err != nil {
		return false
	}
	var b [1]byte
	_, err := conn.Read(b[:])
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
