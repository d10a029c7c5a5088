package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/gateway/config"
)

func TestWithoutFilesOnlyThoseWhoLoggedInReadTheBrokersTopics(t *testing.T) {
	f, err := loadAccess(&config.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if f.authenticator() != nil {
		t.Error("somebody checks passwords")
	}
	anonymous, bob := f.Rights("", "c"), f.Rights("bob", "c")
	for _, topic := range []string{"a", "/", "a/$b"} {
		if !anonymous.MayPublish(topic) || !anonymous.MayReceive(topic) || !anonymous.MaySubscribe(topic) {
			t.Errorf("an anonymous client is kept from %s", topic)
		}
	}
	for _, topic := range []string{"$SYS/broker/uptime", "$SYS/#", "$other"} {
		if anonymous.MayReceive(topic) || anonymous.MaySubscribe(topic) {
			t.Errorf("an anonymous client may have %s", topic)
		}
		if !bob.MayReceive(topic) || !bob.MaySubscribe(topic) {
			t.Errorf("bob is kept from %s", topic)
		}
	}
}

// A certificate may name anybody, so that there is nothing to warn of where one names the user.
func TestUnknownUsersOfTheACLFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(file, []byte("user ann\ntopic read a/#\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		tls  config.ListenerTLS
		want int
	}{
		{config.ListenerTLS{}, 1},
		{config.ListenerTLS{ClientCert: config.ClientCertRequired}, 1},
		{config.ListenerTLS{ClientCert: config.ClientCertOptional, CertUser: true}, 0},
	} {
		cfg := &config.Config{}
		cfg.Broker.ACLFile, cfg.Broker.Listeners = file, []config.Listener{{}, {TLS: tt.tls}}
		warnings, err := CheckAccess(cfg)
		if err != nil || len(warnings) != tt.want {
			t.Errorf("%+v: warned of %v, %v; want %d warnings", tt.tls, warnings, err, tt.want)
		}
	}
}
