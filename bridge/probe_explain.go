package bridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// explain says what to do about the failure of a step. "" means that the error says it all.
func (p *prober) explain(step string, err error) string {
	for _, f := range []func(string, error) string{explainName, explainRoute, p.explainCertificate, explainAlert, p.explainSilence} {
		if advice := f(step, err); advice != "" {
			return advice
		}
	}
	return ""
}

func explainName(_ string, err error) string {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return ""
	case dns.IsNotFound:
		return fmt.Sprintf("the name %q does not exist: check its spelling; a name of the local network needs the local name server", dns.Name)
	}
	return "the name server does not answer: is the network up, and does /etc/resolv.conf name a server that can be reached?"
}

func explainRoute(step string, err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the machine is there, but nothing listens on this port: check the port (1883 is usual for mqtt, 8883 for mqtts), and that the broker runs"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no way to that address: is the cable, the modem or the VPN up, and is there a default route?"
	case step == stepTCP && isTimeout(err):
		return "nothing answers: the address is wrong or the machine is off, or a firewall drops the packets silently; " +
			"where only web traffic is let out, use wss:// on port 443 or a proxy"
	}
	return ""
}

func (p *prober) explainCertificate(_ string, err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return "nobody here knows the issuer: put the issuer's certificate into ca_file; if the server's is from a public authority, " +
			"leave ca_file out. An unexpected issuer means that somebody, a company's firewall for one, answers in the server's place"
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate is for %s: write that name into servers, or set server_name to it", namesOf(name.Certificate))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return p.explainTime(invalid.Cert)
	}
	return ""
}

func namesOf(c *x509.Certificate) string {
	names := append(append([]string(nil), c.DNSNames...), ipTexts(c)...)
	if len(names) == 0 {
		return "no name at all"
	}
	return strings.Join(names, " and ")
}

// explainTime says which of the two clocks is to blame for a certificate that is out of its time.
func (p *prober) explainTime(c *x509.Certificate) string {
	now := p.o.Now().UTC()
	if now.Before(c.NotBefore) {
		return fmt.Sprintf("the certificate begins at %s, and here it is %s: set this machine's clock, or wait for NTP",
			c.NotBefore.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return fmt.Sprintf("the certificate ended at %s: the server needs a renewed one; if it is not %s now, set this machine's clock",
		c.NotAfter.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
}

// explainAlert is about what the server says when it does not like our side of the handshake (RFC 8446, 6.2). In TLS 1.3 a refused client
// certificate shows only when CONNECT waits for its answer.
func explainAlert(_ string, err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return ""
	}
	alert := op.Err.Error()
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(alert, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("certificate required", "handshake failure"):
		return "the server wants a client certificate, or nothing that both sides can do: set cert_file and key_file; " +
			"a broker that works with pre-shared keys only cannot be reached"
	case has("bad certificate", "unknown certificate", "unknown certificate authority", "certificate expired", "certificate revoked"):
		return "the server does not accept our client certificate: check that its issuer is known there, and that it has not ended"
	case has("protocol version"):
		return "the two sides share no version of TLS: lower min_version, or have the server speak TLS 1.2 or 1.3"
	case has("no application protocol"):
		return "the server wants another protocol name: check alpn"
	case has("unrecognized name"):
		return "the server does not know the name that it is called by: check server_name"
	}
	return "the server ended the TLS handshake: its log says why"
}

// explainSilence is about servers that speak something else, or nothing.
func (p *prober) explainSilence(step string, err error) string {
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record), step == stepTLS && hungUp(err):
		return "what listens there does not speak TLS: use the port for TLS, usually 8883, or write " + p.otherScheme() + " in servers"
	case errors.Is(err, errSpeaksTLS):
		return "the port is one for TLS: write " + p.otherScheme() + " in servers"
	case errors.Is(err, errSpeaksHTTP):
		return "it is a web server: for MQTT over WebSocket write ws:// or wss://, else check the port"
	case errors.Is(err, errNotMQTT):
		return "something else than a broker listens there: check the port"
	case step == stepTLS && isTimeout(err):
		return "the port is open, but does not answer the TLS handshake: perhaps it is not one for TLS"
	case step == stepConnect && isTimeout(err):
		return "the port is open, but nothing answers in MQTT: check the port; a cluster that is choosing a leader may take some seconds"
	case isTimeout(err):
		return "no answer came in time: is the line overloaded?"
	}
	return ""
}

// explainHangUp is about a server that closes the connection in place of CONNACK.
func (p *prober) explainHangUp() string {
	advice := "the client id, the credentials or this address are refused without a word, and the server's log may tell which"
	if !p.secured() {
		advice = "perhaps the port is one for TLS: then write " + p.otherScheme() + " in servers; or " + advice
	}
	return advice + ". " + aboutClientID
}

const aboutClientID = `A cloud that knows a gateway by its client id refuses the one with "` + ProbeSuffix +
	`": stop the gateway and test with the same client id`

// otherScheme is the scheme of the same transport with TLS, or without.
func (p *prober) otherScheme() string {
	switch {
	case p.overWebSocket() && p.secured():
		return "ws://"
	case p.overWebSocket():
		return "wss://"
	case p.secured():
		return "mqtt://"
	}
	return "mqtts://"
}

// refused explains a return code of CONNACK (MQTT 3.1.1, 3.2.2.3).
func (p *prober) refused(code byte, c *packets.ConnectPacket) (detail, advice string) {
	reason := fmt.Sprintf("refused with return code %d, ", code)
	switch code {
	case packets.ErrRefusedBadProtocolVersion:
		return reason + "unacceptable protocol version", "the server does not speak MQTT 3.1.1: switch that version on there"
	case packets.ErrRefusedIDRejected:
		return reason + fmt.Sprintf("client id %q rejected", c.ClientIdentifier), "the server wants another client id, or knows only some. " + aboutClientID
	case packets.ErrRefusedServerUnavailable:
		return reason + "server unavailable", "the broker is there, but not ready: try again later; a quota that is used up is told so too"
	case packets.ErrRefusedBadUsernameOrPassword:
		return reason + "bad user name or password", loginAdvice(c)
	case packets.ErrRefusedNotAuthorised:
		return reason + "not authorised", loginAdvice(c) + ". " + aboutClientID
	}
	return reason + "which MQTT 3.1.1 does not define", "the server is not one for MQTT 3.1.1, or is out of order"
}

func loginAdvice(c *packets.ConnectPacket) string {
	switch {
	case !c.UsernameFlag:
		return "the server wants a user name and a password: set username and password"
	case !c.PasswordFlag:
		return fmt.Sprintf("user %q sent no password: set password", c.Username)
	}
	return fmt.Sprintf("the server does not know user %q with this password, or does not let this account in: check both; "+
		"a secret from a file must not have quotes around it", c.Username)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// hungUp tells whether the other side closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
