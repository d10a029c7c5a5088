package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// connectTimeout bounds all steps of a connection together.
const connectTimeout = 15 * time.Second

// connect opens a connection. Its errors say what to do.
func (s *session) connect(ctx context.Context) (*client.Client, error) {
	timed, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %v", connectTimeout))
	defer cancel()
	c, err := client.Dial(timed, s.client)
	if err == nil {
		return c, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if timed.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(timed), err)
	}
	if advice := s.advice(err); advice != "" {
		err = fmt.Errorf("%w; %s", err, advice)
	}
	return nil, fmt.Errorf("connect to %s: %w", s.target, err)
}

// advice says what to do about an error of connecting, "" when it speaks for itself.
func (s *session) advice(err error) string {
	var refusal *client.Refusal
	var noHost *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &refusal):
		return refusalAdvice(refusal.Code)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: does the broker run, and are host and port right?"
	case errors.As(err, &noHost):
		return "is the name of the host right, and can this machine look up names?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way leads there: is the network up, and is the host in it?"
	}
	if text := s.tlsAdvice(err); text != "" {
		return text
	}
	var malformed *packet.Error
	switch {
	case errors.Is(err, client.ErrLost), errors.Is(err, syscall.ECONNRESET), errors.As(err, &malformed):
		if s.client.TLS == nil {
			return "does this port speak MQTT, and without TLS? Many brokers want mqtts:// with -L, on port 8883"
		}
		return "does this port speak TLS, and MQTT over it, and does the broker want a client certificate, --cert with --key?"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "is the host up, does a firewall drop packets, and does this port speak MQTT?"
	}
	return ""
}

func (s *session) tlsAdvice(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "name the file with the certificate of the authority that signed the broker's with --cafile"
	case errors.As(err, &name):
		return "connect by a name that is in the certificate, or leave the name unchecked with --insecure, for a trial"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the broker needs a new certificate, or the clock of this machine is wrong"
	case errors.As(err, &plain):
		return "this port speaks no TLS: use mqtt:// or ws://, or another port"
	case strings.Contains(err.Error(), "tls: certificate required"), s.client.TLS != nil && strings.Contains(err.Error(), "tls: bad certificate"):
		return "the broker wants a client certificate that it trusts: name it with --cert and --key"
	}
	return ""
}

func refusalAdvice(code packet.ReasonCode) string {
	switch code {
	case packet.ReasonUnsupportedVersion:
		return "try another version with -V: 5, 311 or 31"
	case packet.ReasonClientIDNotValid:
		return "choose another client id with -i"
	case packet.ReasonBadUserNameOrPassword:
		return "are the user, -u, and the password, --password-file, right?"
	case packet.ReasonNotAuthorized:
		return "does the broker want a user and a password (-u, --password-file), and may this one connect?"
	case packet.ReasonServerUnavailable:
		return "the broker is overloaded or shutting down, or has had too many wrong passwords from here or for this user: try again later"
	case packet.ReasonServerBusy, packet.ReasonConnectionRateExceeded, packet.ReasonQuotaExceeded:
		return "the broker is overloaded or shutting down: try again later"
	}
	return ""
}

// lasting tells whether an error will not go away by connecting again.
func lasting(err error) bool {
	var refusal *client.Refusal
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Code {
	case packet.ReasonServerUnavailable, packet.ReasonServerBusy, packet.ReasonServerShuttingDown, packet.ReasonKeepAliveTimeout,
		packet.ReasonConnectionRateExceeded, packet.ReasonMaximumConnectTime, packet.ReasonUnspecifiedError:
		return false
	}
	return true
}
