package app

import (
	"context"
	"fmt"
	"net"

	"github.com/tidegate/tidegate/gateway/certs"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/gateway/websocket"
	"github.com/tidegate/tidegate/localbroker"
)

// listener is a bound address of the broker with its rules.
type listener struct {
	net.Listener
	opts localbroker.ListenerOptions
}

// openListeners binds the addresses at which clients connect.
func (a *App) openListeners() error {
	for i, l := range a.opts.Config.Broker.Listeners {
		opts, err := a.listenerOptions(fmt.Sprintf("broker.listener[%d]", i), l)
		if err != nil {
			return err
		}
		bound, err := a.opts.Listen("tcp", l.Address)
		if err != nil {
			return fmt.Errorf("listen for MQTT clients: %w; set another address in [[broker.listener]] or stop the program that holds it", err)
		}
		opts.Name = scheme(l) + "://" + bound.Addr().String()
		a.close = append(a.close, bound.Close)
		a.listeners = append(a.listeners, listener{bound, opts})
	}
	return nil
}

// scheme names a kind of listener as URLs do.
func scheme(l config.Listener) string {
	name := "mqtt"
	if l.Protocol == config.ProtocolWebSocket {
		name = "ws"
	}
	if l.TLS.IsSet() {
		name += "s"
	}
	return name
}

// listenerOptions puts together what a connection of this listener goes through before its first packet.
func (a *App) listenerOptions(path string, l config.Listener) (localbroker.ListenerOptions, error) {
	o := localbroker.ListenerOptions{AllowAnonymous: l.AllowAnonymous}
	if l.TLS.IsSet() {
		server, err := certs.New(certs.Options{
			CertFile: l.TLS.Cert, KeyFile: l.TLS.Key, ClientCAFile: l.TLS.ClientCA,
			ClientAuth: l.TLS.ClientCert.TLS(), NamesUser: l.TLS.CertUser, MinVersion: l.TLS.MinVersion.TLS(),
			Logger: a.log.With("component", "broker", "listener", l.Address),
		})
		if err != nil { // the files have changed since the configuration was checked
			return o, a.opts.Config.Error(path+".tls", err.Error(), "mend the file, and start again")
		}
		o.Upgrade = overTLS(server)
		a.certificates = append(a.certificates, certificate{scheme(l) + "://" + l.Address, server})
	}
	if l.Protocol == config.ProtocolWebSocket {
		o.Upgrade = overWebSocket(o.Upgrade, websocket.ServeOptions{
			Paths: l.Paths, AcceptOptions: websocket.AcceptOptions{Origins: l.Origins},
		})
	}
	return o, nil
}

// upgrade is what ListenerOptions.Upgrade does.
type upgrade = func(ctx context.Context, raw net.Conn) (net.Conn, string, error)

func overTLS(server *certs.Server) upgrade {
	return func(ctx context.Context, raw net.Conn) (net.Conn, string, error) {
		c, user, err := server.Handshake(ctx, raw)
		if err != nil {
			return nil, "", err // and not a nil *tls.Conn in an interface
		}
		return c, user, nil
	}
}

// overWebSocket makes a WebSocket of what under, which may be nil, makes of a connection.
func overWebSocket(under upgrade, o websocket.ServeOptions) upgrade {
	return func(ctx context.Context, raw net.Conn) (net.Conn, string, error) {
		var user string
		if under != nil {
			var err error
			if raw, user, err = under(ctx, raw); err != nil {
				return nil, "", err
			}
		}
		c, err := websocket.Serve(ctx, raw, o)
		return c, user, err
	}
}
