package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/config"
)

// ProbeOptions says how to look at an upstream as the gateway of this configuration would reach it; name "" is the only one there is.
func ProbeOptions(cfg *config.Config, name string) (bridge.ProbeOptions, error) {
	u, err := upstreamNamed(cfg, name)
	if err != nil {
		return bridge.ProbeOptions{}, err
	}
	id, err := knownID(cfg.Gateway)
	if err != nil {
		return bridge.ProbeOptions{}, err
	}
	link, err := linkOf(u, id)
	if err != nil {
		return bridge.ProbeOptions{}, err
	}
	a := &App{topics: gateway.Topics{Base: cfg.Gateway.Base(id)}}
	out, in := a.routes(u, lanesOf(u, nil))
	o := bridge.ProbeOptions{
		Servers: link.servers, ClientID: link.clientID, Credentials: link.credentials, Dial: link.transport.Dial,
		Proxy:        u.Proxy.URL(u.ProxyPassword),
		SameClientID: u.Token.Kind != 0 || len(u.Ceilings.PublishTo) > 0, // the cloud knows the device by it
	}
	for _, r := range in {
		o.Filters = append(o.Filters, r.Remote())
	}
	if len(out) > 0 {
		o.Topic = bridge.RemoteTopic(out, a.topics.Base+"/gateway/test")
	}
	return o, nil
}

func upstreamNamed(cfg *config.Config, name string) (config.Upstream, error) {
	if name == "" && len(cfg.Upstreams) == 1 {
		return cfg.Upstreams[0], nil
	}
	var names []string
	for _, u := range cfg.Upstreams {
		names = append(names, u.Name)
	}
	i := slices.Index(names, name)
	switch {
	case i >= 0:
		return cfg.Upstreams[i], nil
	case len(names) == 0:
		return config.Upstream{}, errors.New("the configuration has no [[upstream]]")
	case name == "":
		return config.Upstream{}, fmt.Errorf("which upstream? there are %s", strings.Join(names, ", "))
	}
	return config.Upstream{}, fmt.Errorf("there is no upstream %q; there are %s", name, strings.Join(names, ", "))
}

// knownID is gatewayID for a look from outside: it keeps nothing.
func knownID(cfg config.Gateway) (string, error) {
	if cfg.ID != "" {
		return cfg.ID, nil
	}
	kept, err := os.ReadFile(filepath.Join(cfg.DataDir, idFile))
	if errors.Is(err, fs.ErrNotExist) {
		return config.DefaultID(), nil
	}
	if err != nil {
		return "", fmt.Errorf("read gateway id: %w", err)
	}
	return strings.TrimSpace(string(kept)), nil
}
