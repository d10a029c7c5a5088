package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/bridge/transport/transporttest"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// parseSession reads flags as the verb pub does.
func parseSession(t *testing.T, args []string) (*session, error) {
	t.Helper()
	var f mqttFlags
	var s *session
	var failed error
	cmd := mqttVerb(&cobra.Command{Use: "verb", SilenceErrors: true, SilenceUsage: true}, func(cmd *cobra.Command, properties [][]string) error {
		s, failed = f.session(cmd, "verb", properties)
		return failed
	})
	f.add(cmd)
	cmd.Flags().StringP("message", "m", "", "")
	cmd.Flags().BoolP("verbose", "v", false, "")
	cmd.SetArgs(args)
	if err := cmd.Execute(); failed == nil && err != nil {
		return nil, err
	}
	return s, failed
}

func TestSessionFromFlags(t *testing.T) {
	password := transporttest.WriteFile(t, "from a file\r\nsecond line\n")
	config := transporttest.WriteFile(t, "[gateway]\ndata_dir = \"x\"\n[[broker.listener]]\naddress = \"0.0.0.0:1899\"\nallow_anonymous = true\n")
	ca := transporttest.NewCA(t)
	pair := ca.Issue(t, transporttest.Leaf{})
	secured := transporttest.WriteFile(t, fmt.Sprintf("[gateway]\ndata_dir = \"x\"\n[[broker.listener]]\naddress = \"127.0.0.1:8084\"\n"+
		"allow_anonymous = true\nprotocol = \"websocket\"\npaths = [\"/hall\"]\ntls = { cert_file = %q, key_file = %q }\n", pair.CertFile, pair.KeyFile))
	forever := packet.Properties{SessionExpiry: packet.Some[uint32](math.MaxUint32)}
	base := func(change func(*packet.Connect)) packet.Connect {
		c := packet.Connect{Version: packet.V311, CleanStart: true, KeepAlive: 60, ClientID: "me"}
		if change != nil {
			change(&c)
		}
		return c
	}
	user := func(name, password string) func(*packet.Connect) {
		return func(c *packet.Connect) { c.Username, c.Password = packet.Some(name), []byte(password) }
	}
	tests := map[string]struct {
		args    string
		env     string
		url     string // "": mqtt://127.0.0.1:1883
		topic   string
		connect packet.Connect
		secure  bool
	}{
		"defaults":             {connect: base(nil)},
		"host and port":        {args: "-h broker.example -p 1884", url: "mqtt://broker.example:1884", connect: base(nil)},
		"an IPv6 host":         {args: "-h fd00::1", url: "mqtt://[fd00::1]:1883", connect: base(nil)},
		"port of TLS":          {args: "-p 8883", url: "mqtts://127.0.0.1:8883", connect: base(nil), secure: true},
		"a flag of TLS":        {args: "--insecure", url: "mqtts://127.0.0.1:8883", connect: base(nil), secure: true},
		"TLS on its own port":  {args: "--alpn mqtt -p 443", url: "mqtts://127.0.0.1:443", connect: base(nil), secure: true},
		"URL with a topic":     {args: "-L mqtt://h:1/a/+/#", url: "mqtt://h:1", topic: "a/+/#", connect: base(nil)},
		"URL of a WebSocket":   {args: "-L wss://h/path", url: "wss://h/path", connect: base(nil), secure: true},
		"URL with a user":      {args: "-L mqtts://ann:se%2Fcret@h", url: "mqtts://h", connect: base(user("ann", "se/cret")), secure: true},
		"configuration":        {args: "--config " + config, url: "mqtt://127.0.0.1:1899", connect: base(nil)},
		"configuration of TLS": {args: "--config " + secured + " --cafile " + ca.File, url: "wss://127.0.0.1:8084/hall", connect: base(nil), secure: true},
		"user":                 {args: "-u ann -P pw", connect: base(user("ann", "pw"))},
		"password of a file":   {args: "-u ann --password-file " + password, connect: base(user("ann", "from a file"))},
		"password from the environment": {
			args: "-u ann", env: "from outside", connect: base(user("ann", "from outside")),
		},
		"no user, no password": {env: "from outside", connect: base(nil)},
		"user without a password": {
			args: "-u ann", connect: base(func(c *packet.Connect) { c.Username = packet.Some("ann") }),
		},
		"3.1":        {args: "-V 31", connect: base(func(c *packet.Connect) { c.Version = packet.V31 })},
		"3.1.1":      {args: "-V mqttv311", connect: base(nil)},
		"5":          {args: "-V mqttv5", connect: base(func(c *packet.Connect) { c.Version = packet.V5 })},
		"keep alive": {args: "-k 0", connect: base(func(c *packet.Connect) { c.KeepAlive = 0 })},
		"persistent": {args: "-c", connect: base(func(c *packet.Connect) { c.CleanStart = false })},
		"persistent 5": {
			args: "-c -V 5", connect: base(func(c *packet.Connect) { c.CleanStart, c.Version, c.Props = false, packet.V5, forever }),
		},
		"expiry asks for 5": {args: "-x 30", connect: base(func(c *packet.Connect) {
			c.Version, c.Props.SessionExpiry = packet.V5, packet.Some[uint32](30)
		})},
		"expiry for ever": {args: "-x -1", connect: base(func(c *packet.Connect) { c.Version, c.Props = packet.V5, forever })},
		"will": {
			args: "--will-topic w --will-payload gone --will-qos 1 --will-retain -D will will-delay-interval 5",
			connect: base(func(c *packet.Connect) {
				c.Version = packet.V5
				c.Will = &packet.Will{
					Topic: "w", Payload: []byte("gone"), QoS: 1, Retain: true, Props: packet.Properties{WillDelay: packet.Some[uint32](5)},
				}
			}),
		},
		"properties between other flags": {
			args: "-m -D -D connect user-property a -D -vm x -D CONNECT receive-maximum 7 -v",
			connect: base(func(c *packet.Connect) {
				c.Version = packet.V5
				c.Props = packet.Properties{
					ReceiveMaximum: packet.Some[uint16](7), UserProperties: []packet.UserProperty{{Name: []byte("a"), Value: []byte("-D")}},
				}
			}),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(passwordVariable, tt.env)
			s, err := parseSession(t, append(strings.Fields(tt.args), "-i", "me"))
			if err != nil {
				t.Fatal(err)
			}
			if tt.url == "" {
				tt.url = "mqtt://127.0.0.1:1883"
			}
			if s.client.URL != tt.url || s.topic != tt.topic || (s.client.TLS != nil) != tt.secure {
				t.Errorf("got %s, topic %q, TLS %v; want %s, %q, %v", s.client.URL, s.topic, s.client.TLS != nil, tt.url, tt.topic, tt.secure)
			}
			if diff := cmp.Diff(tt.connect, s.client.Connect, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("CONNECT (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWrongFlags: each mistake is named, with what to do.
func TestWrongFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-h":                                 "-h wants a host",
		"-h h:1883":                          "a port goes into -p",
		"-h mqtt://h":                        "a URL into -L",
		"-p 70000":                           "70000",
		"-L http://h":                        `the schemes are mqtt, mqtts, ws and wss, not "http"`,
		"-L mqtt://":                         "names no host",
		"-L mqtt://u:p%zz@h":                 "this is no URL",
		"-L mqtt://h -p 1":                   "each name a broker",
		"-L mqtt://h --config x":             "each name a broker",
		"-L mqtt://h --insecure":             "use mqtts://",
		"--cafile /does/not/exist":           "no such file",
		"--cert a":                           "--cert and --key belong together",
		"--config /does/not/exist":           "no such file",
		"-u a -P b --password-file c":        "both give a password",
		"-u a --password-file /not/there":    "no such file",
		"-P x":                               "without a user name",
		"-L mqtt://a@h -u b":                 "both name a user",
		"-V 4":                               "-V 4: the versions are 31, 311 and 5",
		"-V 311 -x 3":                        "for MQTT 5 only",
		"-V 31 -D connect receive-maximum 3": "for MQTT 5 only",
		"-c":                                 "-c wants a client id",
		"-i a -I b":                          "both name the client",
		"-x soon":                            "a number from 0 to 4294967295, or -1 for ever",
		"-q 3":                               "-q 3: a quality of service is 0, 1 or 2",
		"--will-payload x":                   "--will-topic",
		"--will-topic a/#":                   "will topic",
		"--will-topic a --will-qos 3":        "will QoS",
		"-D":                                 "-D wants a command",
		"-D publish user-property a":         "two values for a user property",
		"-D nowhere content-type a":          "the commands are connect, publish",
		"-D publish receive-maximum 5":       "the properties of publish are content-type",
		"-D connect receive-maximum 65536":   "a number from 0 to 65535",
		"-D connect receive-maximum 0":       "receive maximum",
		"-D will payload-format-indicator 2": "a number from 0 to 1",
		"-m":                                 "-m wants a value",
		"stray":                              `"stray" is not a flag`,
		"--nonsense":                         "unknown flag: --nonsense",
		"-Z":                                 "unknown shorthand",
	} {
		t.Run(args, func(t *testing.T) {
			t.Setenv(passwordVariable, "")
			if _, err := parseSession(t, strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		})
	}
}

// TestFormatOfTime against what strftime(3) made of this time in the C locale.
func TestFormatOfTime(t *testing.T) {
	at := time.Date(2027, 1, 2, 3, 4, 5, 67, time.FixedZone("CET", 3600))
	for format, want := range map[string]string{
		"@A @a @B @b @h": "Saturday Sat January Jan Jan", "@c": "Sat Jan  2 03:04:05 2027", "@C @y @Y @G": "20 27 2027 2026",
		"@D @x @F": "01/02/27 01/02/27 2027-01-02", "@d @e @j @m": "02  2 002 01", "@H @I @k @l @p": "03 03  3  3 AM",
		"@M @S @N": "04 05 000000067", "@R @r @T @X": "03:04 03:04:05 AM 03:04:05 03:04:05", "@u @w @V": "6 6 53",
		"@Z @z @s": "CET +0100 1798855445", "@@@n@t": "@\n\t",
	} {
		pieces, err := parseFormat(format, &bytes.Buffer{})
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if got := string(pieces.append(nil, &packet.Publish{}, at)); got != want {
			t.Errorf("%s: got %q, want %q", format, got, want)
		}
	}
}

func TestWrongFormats(t *testing.T) {
	for format, want := range map[string]string{
		"%": "ends within", "%-08.": "ends within", "a@": "ends within", `\`: "ends within", "%z": "%z is unknown", "@Q": "@Q is unknown", `\q`: `\q is unknown`,
	} {
		if _, err := parseFormat(format, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", format, err, want)
		}
	}
}

// TestMessageAsJSON is what programs read.
func TestMessageAsJSON(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.FixedZone("", 3600))
	for want, m := range map[string]packet.Publish{
		`{"time":"2026-11-21T09:00:00.123Z","topic":"a/b","qos":0,"retain":false,"payload":"<x>"}`: {
			Topic: []byte("a/b"), Payload: []byte("<x>"),
		},
		`{"time":"2026-11-21T09:00:00.123Z","topic":"a","qos":1,"retain":true,"payload":""}`: {Topic: []byte("a"), QoS: 1, Retain: true},
		`{"time":"2026-11-21T09:00:00.123Z","topic":"a","qos":2,"retain":false,"dup":true,"payload_base64":"/wA="}`: {
			Topic: []byte("a"), QoS: 2, Dup: true, Payload: []byte{0xff, 0},
		},
		`{"time":"2026-11-21T09:00:00.123Z","topic":"a","qos":0,"retain":false,"payload":"",` +
			`"properties":{"content_type":"t","response_topic":"r","correlation_data_base64":"AA==","expiry_seconds":0,"user":["k=v","k=w"],` +
			`"payload_format":1,"subscription_ids":[1,2]}}`: {
			Topic: []byte("a"), Props: packet.Properties{
				ContentType: []byte("t"), ResponseTopic: []byte("r"), CorrelationData: []byte{0}, MessageExpiry: packet.Some[uint32](0),
				PayloadFormat: packet.Some[byte](1), SubscriptionIDs: []uint32{1, 2},
				UserProperties: []packet.UserProperty{{Name: []byte("k"), Value: []byte("v")}, {Name: []byte("k"), Value: []byte("w")}},
			},
		},
	} {
		if got := string(appendMessage(nil, &m, at)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
