package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// passwd runs the gateway's own verb on a password file.
func passwd(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(binary, append([]string{"passwd"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("passwd: %v: %s", err, out)
	}
}

// guardedPlant is a gateway with users alice, bob and carol, and rights for them.
func guardedPlant(t *testing.T, rights string) (g *plant, users, acl string) {
	t.Helper()
	g = newPlant(t, "[broker]\npassword_file = \"users\"\nacl_file = \"rights\"\nsys_interval = \"1s\"\n")
	write(t, g.config, strings.Replace(read(t, g.config), "allow_anonymous = true", "allow_anonymous = false", 1))
	users, acl = filepath.Join(g.dir, "users"), filepath.Join(g.dir, "rights")
	for _, name := range []string{"alice", "bob", "carol"} {
		passwd(t, "-b", users, name, name+"-secret")
	}
	write(t, acl, rights)
	return g, users, acl
}

// as returns the arguments of a mosquitto client that logs in.
func (g *plant) as(user string) []string { return append(g.client(), "-u", user, "-P", user+"-secret") }

// tell runs mosquitto_pub at QoS 1 and returns whether it was content.
func (g *plant) tell(args []string, topic, text string) bool {
	g.t.Helper()
	pub := exec.Command(need(g.t, "mosquitto_pub", "mosquitto-clients"), append(args, "-q", "1", "-t", topic, "-m", text)...)
	return pub.Run() == nil
}

func TestAccess(t *testing.T) {
	const rights = `
user alice
topic work/#
topic read $SYS/broker/version
user bob
topic write work/in
topic read work/out
user carol
topic read work/#
topic write carol/will
`
	g, users, acl := guardedPlant(t, rights)
	g.start()
	alice := observe(t, "alice", g.as("alice"), "alice", "work/#", "carol/#")
	carol := observe(t, "carol", g.as("carol"), "carol", "work/#")
	publish(t, g.as("bob"), "work/in", "from bob")
	alice.waitMessages("what bob may say", topicIs("work/in"), func(m []seen) bool { return len(m) > 0 })
	carol.waitMessages("what bob may say", topicIs("work/in"), func(m []seen) bool { return len(m) > 0 })

	if g.tell(append(g.client(), "-u", "bob", "-P", "wrong"), "work/in", "x") {
		t.Error("a wrong password is accepted")
	}
	g.proc.waitLine("the password is wrong")
	if !g.tell(g.as("bob"), "work/out", "denied") {
		t.Error("a denied message was not acknowledged")
	}
	g.proc.waitLine("may not publish to its topic")
	sub := need(t, "mosquitto_sub", "mosquitto-clients")
	out, _ := exec.Command(sub, append(g.as("bob"), "-t", "work/in", "-E")...).CombinedOutput()
	if !strings.Contains(string(out), "denied") && !strings.Contains(string(out), "rejected") {
		t.Errorf("mosquitto_sub on a denied filter says %q", out)
	}
	g.proc.waitLine("subscription refused")
	if out, err := exec.Command(sub, append(g.as("alice"), "-t", "$SYS/broker/version", "-C", "1", "-W", "60")...).Output(); err != nil ||
		!strings.HasPrefix(string(out), "tidegate version") {
		t.Errorf("the version is %q, %v", out, err)
	}

	reload := func(line string) {
		t.Helper()
		if err := g.proc.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		g.proc.waitLine(line)
	}
	write(t, acl, "nonsense\n")
	reload("the old rules stay in force")
	passwd(t, "-b", users, "dora", "dora-secret")
	write(t, acl, strings.Replace(rights, "user carol\ntopic read work/#", "user dora\ntopic work/in\nuser carol\ntopic read other/#", 1))
	reload("its rights were withdrawn")
	publish(t, g.as("dora"), "work/in", "from dora")
	alice.waitMessages("what dora may say", topicIs("work/in"), func(m []seen) bool { return len(m) > 1 })
	if got := carol.messages(topicIs("work/in")); len(got) != 1 {
		t.Errorf("carol got %+v", got)
	}
	for _, m := range alice.messages(topicIs("work/out")) {
		t.Errorf("alice got %+v, which was denied", m)
	}

	passwd(t, "-D", users, "bob")
	passwd(t, "-D", users, "dora")
	reload("users=2")
	if g.tell(g.as("bob"), "work/in", "x") {
		t.Error("a removed user is accepted")
	}
	log := strings.Join(g.proc.all(), "\n")
	if n := strings.Count(log, "client connected"); strings.Count(log, "client=alice") == 0 || strings.Contains(log, "connection lost") {
		t.Errorf("clients that kept their rights did not stay (%d connects)", n)
	}
	if strings.Contains(log, "-secret") {
		t.Error("a password stands in the log")
	}
	g.stop()
}

// TestHangupWithoutFiles shows that SIGHUP does not end a gateway that has nothing to read again.
func TestHangupWithoutFiles(t *testing.T) {
	g := newPlant(t, "")
	g.start()
	if err := g.proc.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.proc.waitLine("there is no password_file and no acl_file to read again")
	publish(t, g.client(), "still", "here")
	g.stop()
}
