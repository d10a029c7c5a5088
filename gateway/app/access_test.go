package app

import (
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
