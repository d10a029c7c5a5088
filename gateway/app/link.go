package app

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/bridge/token"
	"github.com/tidegate/tidegate/bridge/transport"
	"github.com/tidegate/tidegate/gateway/config"
)

// link is how an upstream is reached and who the gateway is there.
type link struct {
	servers     []*url.URL
	clientID    string
	transport   *transport.Transport
	credentials func(context.Context) (bridge.Credentials, error)
}

func linkOf(u config.Upstream, gatewayID string) (link, error) {
	l := link{clientID: u.ClientID}
	if l.clientID == "" {
		l.clientID = gatewayID + "-" + u.Name
	}
	for _, s := range u.Servers {
		l.servers = append(l.servers, s.URL())
	}
	var err error
	if l.transport, err = transportOf(u); err != nil {
		return l, fmt.Errorf("upstream %q: %w", u.Name, err)
	}
	if l.credentials, err = credentialsOf(u, l.clientID); err != nil {
		return l, fmt.Errorf("upstream %q: %w", u.Name, err)
	}
	return l, nil
}

// credentialsOf returns what a connection identifies itself with: a token that is made for it, or the configured user and password.
func credentialsOf(u config.Upstream, clientID string) (func(context.Context) (bridge.Credentials, error), error) {
	if u.Token.Kind == 0 {
		return func(context.Context) (bridge.Credentials, error) {
			c := bridge.Credentials{Username: u.Username}
			if u.Username != "" {
				c.Password = u.Password.Reveal()
			}
			return c, nil
		}, nil
	}
	source, err := tokenOf(u, clientID).Source()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (bridge.Credentials, error) {
		c, err := source(ctx)
		if err != nil {
			return bridge.Credentials{}, err
		}
		return bridge.Credentials{ClientID: c.ClientID, Username: c.Username, Password: c.Password, Expires: c.Expires}, nil
	}, nil
}

// tokenScheme is one way to sign.
type tokenScheme interface{ Source() (token.Source, error) }

// tokenOf maps the token of an upstream. Which fields a kind needs was checked with the configuration.
func tokenOf(u config.Upstream, clientID string) tokenScheme {
	t := u.Token
	key := func() (string, error) { return t.Key.Reveal(), nil }
	clock := token.Clock{Now: time.Now, Synchronised: clockSynced}
	device := t.Device
	if device == "" {
		device = clientID
	}
	switch t.Kind {
	case config.TokenAzureSAS:
		return azureToken(u, device, key, clock)
	case config.TokenAliyun:
		return token.AliyunIoT{ProductKey: t.Product, DeviceName: device, Secret: key, ClientID: u.ClientID, TLS: u.Servers[0].TLS}
	case config.TokenHuawei:
		return token.Huawei{DeviceID: device, Secret: key, CheckTime: true, Clock: clock}
	case config.TokenTencent:
		return token.Tencent{ProductID: t.Product, DeviceName: device, Secret: key, Lifetime: t.Lifetime, Clock: clock}
	default:
		return token.JWT{
			Key:      func() (string, error) { return readText(t.KeyFile) },
			Audience: t.Audience, Subject: t.Subject, Issuer: t.Issuer, Username: u.Username, Lifetime: t.Lifetime, Clock: clock,
		}
	}
}

func azureToken(u config.Upstream, device string, key token.Secret, clock token.Clock) tokenScheme {
	t := u.Token
	hub := t.Hub
	if hub == "" {
		hub = u.Servers[0].Host
	}
	if t.Resource == "" {
		return token.AzureIoTHub{Hub: hub, DeviceID: device, KeyName: t.Policy, Key: key, Lifetime: t.Lifetime, Clock: clock}
	}
	return token.AzureSAS{
		Resource: t.Resource, KeyName: t.Policy, ClientID: u.ClientID, Username: u.Username, Key: key, Lifetime: t.Lifetime, Clock: clock,
	}
}

// readText reads a file anew for each signature, so that a renewed key is taken.
func readText(path string) (string, error) {
	text, err := os.ReadFile(path)
	return string(text), err
}
