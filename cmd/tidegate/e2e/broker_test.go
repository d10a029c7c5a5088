package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStateSurvivesKill kills the gateway: retained messages and what waits for a persistent session are still there.
func TestStateSurvivesKill(t *testing.T) {
	g := newPlant(t, "")
	g.start()
	away := observe(t, "subscriber", g.client(), "away", "work/#")
	away.kill()
	publish(t, g.client(), "state/kept", "first", "-r")
	publish(t, g.client(), "state/kept", "second", "-r")
	publish(t, g.client(), "state/cleared", "x", "-r")
	publish(t, g.client(), "state/cleared", "", "-r")
	const jobs = 50
	for i := range jobs {
		publish(t, g.client(), "work/a", fmt.Sprint("job ", i))
	}
	g.proc.kill()
	g.start()

	late := observe(t, "late subscriber", g.client(), "", "state/#")
	kept := late.waitMessages("the retained message", topicIs("state/kept"), func(m []seen) bool { return len(m) > 0 })
	if kept[0].payload != "second" || !kept[0].retain {
		t.Errorf("retained message is %+v", kept[0])
	}
	back := observe(t, "subscriber that is back", g.client(), "away", "work/#")
	got := back.waitMessages("all jobs", topicIs("work/a"), func(m []seen) bool { return len(m) >= jobs })
	for i, m := range got {
		if want := fmt.Sprint("job ", i); m.payload != want {
			t.Fatalf("message %d is %q, want %q", i, m.payload, want)
		}
	}
	if cleared := late.messages(topicIs("state/cleared")); len(cleared) > 0 {
		t.Errorf("a cleared retained message is back: %+v", cleared)
	}
	g.stop()
}

// TestPasswords lets in who is in the password file that the gateway's own verb wrote, and nobody else.
func TestPasswords(t *testing.T) {
	g := newPlant(t, "[broker]\npassword_file = \"passwords\"\n")
	write(t, g.config, strings.Replace(read(t, g.config), "allow_anonymous = true", "allow_anonymous = false", 1))
	passwd := exec.Command(binary, "passwd", filepath.Join(g.dir, "passwords"), "alice")
	passwd.Stdin = strings.NewReader("correct horse\n")
	if out, err := passwd.CombinedOutput(); err != nil {
		t.Fatalf("passwd: %v: %s", err, out)
	}
	g.start()
	pub := need(t, "mosquitto_pub", "mosquitto-clients")
	for name, tt := range map[string]struct {
		login []string
		ok    bool
	}{
		"right password": {[]string{"-u", "alice", "-P", "correct horse"}, true},
		"wrong password": {[]string{"-u", "alice", "-P", "wrong"}, false},
		"unknown user":   {[]string{"-u", "mallory", "-P", "correct horse"}, false},
		"anonymous":      {nil, false},
	} {
		args := append(append(g.client(), "-t", "x", "-m", "y"), tt.login...)
		out, err := exec.Command(pub, args...).CombinedOutput()
		if (err == nil) != tt.ok {
			t.Errorf("%s: mosquitto_pub says %v: %s", name, err, out)
		}
	}
	if log := strings.Join(g.proc.all(), "\n"); strings.Contains(log, "correct horse") {
		t.Error("a password stands in the log")
	}
	g.stop()
}
