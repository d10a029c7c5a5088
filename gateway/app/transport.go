package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/tidegate/tidegate/drivers/bus"
	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway/config"
)

// framing returns what is spoken on a transport.
func framing(t config.Transport) modbus.Framing {
	switch t {
	case config.TransportRTU, config.TransportRTUOverTCP:
		return modbus.FramingRTU
	case config.TransportASCII, config.TransportASCIIOverTCP:
		return modbus.FramingASCII
	}
	return modbus.FramingTCP
}

// network returns what leads to the endpoint of a transport.
func network(t config.Transport) bus.Network {
	switch t {
	case config.TransportUDP:
		return bus.NetworkUDP
	case config.TransportTLS:
		return bus.NetworkTLS
	}
	return bus.NetworkTCP
}

func rs485(r config.RS485) bus.RS485 {
	return bus.RS485{
		Mode: bus.RS485Mode(r.Mode), Low: !r.RTSOnSend, DelayBefore: r.DelayBefore, DelayAfter: r.DelayAfter, Chip: r.Chip, Line: r.Line,
	}
}

// busTLS reads the certificates of a bus over TLS; nil for the others. Their files are as they are at the start.
func busTLS(b config.Bus) (*tls.Config, error) {
	if b.Transport != config.TransportTLS {
		return nil, nil
	}
	t := b.TLS
	c := &tls.Config{MinVersion: t.MinVersion.TLS(), ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s contains no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read cert_file and key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
