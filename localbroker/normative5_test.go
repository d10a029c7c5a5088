package localbroker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// statements5 counts the normative statements of MQTT 5 (OASIS Standard, 7 March 2019, appendix B) in each section, from first to last.
var statements5 = []struct {
	section     string
	first, last int
}{
	{"1.5.4", 1, 3},
	{"1.5.5", 1, 1},
	{"1.5.7", 1, 1},
	{"2.1.3", 1, 1},
	{"2.2.1", 2, 6},
	{"2.2.2", 1, 1},
	{"3.1.0", 1, 2},
	{"3.1.2", 1, 30},
	{"3.1.3", 1, 12},
	{"3.1.4", 1, 6},
	{"3.2.0", 1, 2},
	{"3.2.2", 1, 22},
	{"3.3.1", 1, 13},
	{"3.3.2", 1, 20},
	{"3.3.4", 1, 10},
	{"3.4.2", 1, 3},
	{"3.5.2", 1, 3},
	{"3.6.1", 1, 1},
	{"3.6.2", 1, 3},
	{"3.7.2", 1, 3},
	{"3.8.1", 1, 1},
	{"3.8.3", 1, 5},
	{"3.8.4", 1, 8},
	{"3.9.2", 1, 2},
	{"3.9.3", 1, 2},
	{"3.10.1", 1, 1},
	{"3.10.3", 1, 2},
	{"3.10.4", 1, 6},
	{"3.11.2", 1, 2},
	{"3.11.3", 1, 2},
	{"3.12.4", 1, 1},
	{"3.14.0", 1, 1},
	{"3.14.1", 1, 1},
	{"3.14.2", 1, 4},
	{"3.14.4", 1, 3},
	{"3.15.1", 1, 1},
	{"3.15.2", 1, 3},
	{"4.1.0", 1, 2},
	{"4.2.0", 1, 1},
	{"4.3.1", 1, 1},
	{"4.3.2", 1, 5},
	{"4.3.3", 1, 13},
	{"4.4.0", 1, 2},
	{"4.5.0", 1, 2},
	{"4.6.0", 1, 6},
	{"4.7.0", 1, 1},
	{"4.7.1", 1, 2},
	{"4.7.2", 1, 1},
	{"4.7.3", 1, 4},
	{"4.8.2", 1, 6},
	{"4.9.0", 1, 3},
	{"4.12.0", 1, 7},
	{"4.12.1", 1, 2},
	{"4.13.1", 1, 1},
	{"4.13.2", 1, 1},
	{"6.0.0", 1, 4},
}

// noCase5 are the statements that need no case here, with the reason.
var noCase5 = map[string]string{
	"3.1.2-20": ofClients, "3.1.2-30": ofClients, "3.2.2-4": ofClients, "3.2.2-5": ofClients, "3.2.2-11": ofClients, "3.2.2-14": ofClients,
	"3.2.2-17": ofClients, "3.2.2-18": ofClients, "3.2.2-21": ofClients, "3.3.2-10": ofClients, "3.3.4-8": ofClients, "4.5.0-2": ofClients,
	"3.1.3-8": "no identifier is refused in MQTT 5",
	"3.2.2-1": "CONNACK is compared byte for byte in every script",
	"3.2.2-9": everything, "3.2.2-10": everything, "3.2.2-12": everything, "3.2.2-13": everything,
	"3.2.2-20": noUserProperties, "3.4.2-3": noUserProperties, "3.5.2-3": noUserProperties, "3.6.2-3": noUserProperties, "3.7.2-3": noUserProperties,
	"3.9.2-2": noUserProperties, "3.11.2-2": noUserProperties, "3.14.2-4": noUserProperties,
	"3.3.4-5":  "subscriptions that overlap bring one copy",
	"3.6.2-2":  noReason,
	"3.7.2-2":  noReason,
	"3.11.2-1": noReason,
	"3.14.2-2": "the broker's DISCONNECT has no properties but a reason string; scripts compare it byte for byte",
	"3.15.2-1": noAuth, "3.15.2-2": noAuth, "3.15.2-3": noAuth,
	"4.2.0-1":  "every case runs over TCP",
	"4.7.3-3":  "more than 65535 bytes cannot be written; packet.TestValidTopic",
	"4.12.0-2": noAuth, "4.12.0-3": noAuth, "4.12.0-4": noAuth, "4.12.0-5": noAuth, "4.12.1-1": noAuth, "4.12.1-2": noAuth,
}

const (
	ofClients        = "binds clients, and nothing here depends on it"
	everything       = "QoS 2 and retained messages are served"
	noUserProperties = "the broker sends no user properties of its own"
	noReason         = "the broker sends no reason string in these packets"
	noAuth           = "there is no enhanced authentication: the broker sends no AUTH and takes none"
)

// Every normative statement of MQTT 5 is the name of a case or has a reason why it is not, and every number that a case names exists.
func TestNormativeStatementsHaveCases(t *testing.T) {
	named := map[string]string{}
	for _, pattern := range []string{"protocol5_*_test.go", "access5_test.go", "../gateway/websocket/*_test.go", "../gateway/app/websocket_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`MQTT-(\d+\.\d+\.\d+-\d+)`).FindAllStringSubmatch(string(text), -1) {
				named[m[1]] = file
			}
		}
	}
	for _, s := range statements5 {
		for n := s.first; n <= s.last; n++ {
			id := fmt.Sprintf("%s-%d", s.section, n)
			_, hasCase := named[id]
			reason := noCase5[id]
			switch {
			case !hasCase && reason == "":
				t.Errorf("MQTT-%s has no case", id)
			case hasCase && reason != "":
				t.Errorf("MQTT-%s has a case in %s and a reason why not: %s", id, named[id], reason)
			}
			delete(named, id)
		}
	}
	for id, file := range named {
		t.Errorf("%s names MQTT-%s, which MQTT 5 does not have", file, id)
	}
}
