package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/localbroker/client"
	"github.com/tidegate/tidegate/localbroker/packet"
)

// passwordVariable is where a password is looked for that no flag gives. Other users cannot see a process' environment, but its arguments.
const passwordVariable = "TIDEGATE_MQTT_PASSWORD"

// mqttFlags are what sub and pub share.
type mqttFlags struct {
	server serverFlags

	user, password, passwordFile string
	id, idPrefix                 string
	keepAlive                    uint16
	persistent                   bool
	version, expiry              string
	qos                          uint8
	will                         struct {
		topic, payload string
		qos            uint8
		retain         bool
	}
}

func (f *mqttFlags) add(cmd *cobra.Command) {
	f.server.add(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.user, "username", "u", "", "log in as `USER`")
	flags.StringVarP(&f.password, "pw", "P", "", "log in with this `PASSWORD`, which every user of this machine can see in the list of processes;\n"+
		"better: --password-file, or the environment variable "+passwordVariable)
	flags.StringVar(&f.passwordFile, "password-file", "", "log in with the password in the first line of `FILE`")
	flags.StringVarP(&f.id, "id", "i", "", "client `ID` (default: one of its own)")
	flags.StringVarP(&f.idPrefix, "id-prefix", "I", "", "begin the client id with `TEXT`; the process id comes after it")
	flags.Uint16VarP(&f.keepAlive, "keepalive", "k", 60, "ping the broker within this many `SECONDS`; 0: never")
	flags.BoolVarP(&f.persistent, "disable-clean-session", "c", false, "keep the session, and what is queued in it, when the connection ends; wants -i")
	flags.StringVarP(&f.version, "protocol-version", "V", "", "`VERSION` of MQTT: 31, 311 or 5 (default 311; 5 with -D or -x)")
	flags.StringVarP(&f.expiry, "session-expiry-interval", "x", "", "MQTT 5: keep the session this many `SECONDS`; -1: for ever, as with -c alone")
	flags.Uint8VarP(&f.qos, "qos", "q", 0, "quality of service `N`: 0, 1 or 2")
	flags.StringVar(&f.will.topic, "will-topic", "", "have the broker publish a will on `TOPIC` when the connection is cut")
	flags.StringVar(&f.will.payload, "will-payload", "", "`TEXT` of the will")
	flags.Uint8Var(&f.will.qos, "will-qos", 0, "quality of service `N` of the will")
	flags.BoolVar(&f.will.retain, "will-retain", false, "retain the will")
}

// session is what the flags ask for: where to connect, and as whom.
type session struct {
	client client.Options
	target string // for people: the URL without a password
	topic  string // that the URL has brought, "" without one
	props  *mqttProperties
}

// session reads the flags. kind is part of a client id of our own.
func (f *mqttFlags) session(cmd *cobra.Command, kind string, properties [][]string) (*session, error) {
	s := new(session)
	var err error
	if s.props, err = parseProperties(properties); err != nil {
		return nil, err
	}
	version, err := f.mqttVersion(len(properties) > 0)
	if err != nil {
		return nil, err
	}
	server, err := f.server.target(cmd)
	if err != nil {
		return nil, err
	}
	s.target, s.topic = server.url.Redacted(), server.topic
	s.client.Connect = packet.Connect{Version: version, CleanStart: !f.persistent, KeepAlive: f.keepAlive, Props: s.props.connect}
	err = errors.Join(f.identify(&s.client.Connect, kind), f.logIn(&s.client.Connect, server.url), f.addWill(&s.client.Connect, s.props))
	if err != nil {
		return nil, err
	}
	if s.client.TLS, err = f.server.tlsConfig(server.url); err != nil {
		return nil, err
	}
	server.url.User = nil
	s.client.URL = server.url.String()
	if f.qos > 2 {
		return nil, fmt.Errorf("-q %d: a quality of service is 0, 1 or 2", f.qos)
	}
	return s, s.client.Connect.Validate()
}

// mqttVersion reads -V. What only MQTT 5 has asks for it.
func (f *mqttFlags) mqttVersion(properties bool) (packet.Version, error) {
	wants5 := properties || f.expiry != ""
	switch strings.TrimPrefix(f.version, "mqttv") {
	case "":
		if wants5 {
			return packet.V5, nil
		}
		return packet.V311, nil
	case "5":
		return packet.V5, nil
	case "311", "3.1.1", "31", "3.1":
		if wants5 {
			return 0, fmt.Errorf("-V %s: -D and -x are for MQTT 5 only", f.version)
		}
		if strings.HasSuffix(f.version, "11") || strings.HasSuffix(f.version, "1.1") {
			return packet.V311, nil
		}
		return packet.V31, nil
	}
	return 0, fmt.Errorf("-V %s: the versions are 31, 311 and 5", f.version)
}

// identify settles client id and session.
func (f *mqttFlags) identify(c *packet.Connect, kind string) error {
	switch {
	case f.id != "" && f.idPrefix != "":
		return errors.New("-i and -I both name the client: give one of them")
	case f.id != "":
		c.ClientID = f.id
	case f.idPrefix != "":
		c.ClientID = f.idPrefix + strconv.Itoa(os.Getpid())
	case f.persistent:
		return errors.New("-c wants a client id, with -i: the session is found again by it")
	default:
		c.ClientID = ownID(kind)
	}
	return f.expire(c)
}

// ownID returns a client id that nobody else has, of at most 23 bytes, as MQTT 3.1 wants it.
func ownID(kind string) string {
	random := make([]byte, 5)
	_, _ = rand.Read(random) // never fails
	return "tidegate-" + kind + "-" + hex.EncodeToString(random)
}

// expire settles how long the session lasts in MQTT 5.
func (f *mqttFlags) expire(c *packet.Connect) error {
	switch f.expiry {
	case "":
		if f.persistent && c.Version == packet.V5 && !c.Props.SessionExpiry.Set {
			c.Props.SessionExpiry = packet.Some[uint32](math.MaxUint32)
		}
		return nil
	case "-1", "∞":
		c.Props.SessionExpiry = packet.Some[uint32](math.MaxUint32)
		return nil
	}
	seconds, err := number[uint32](f.expiry, math.MaxUint32)
	if err != nil {
		return fmt.Errorf("-x %s: %w, or -1 for ever", f.expiry, err)
	}
	c.Props.SessionExpiry = seconds
	return nil
}

// logIn settles user name and password.
func (f *mqttFlags) logIn(c *packet.Connect, u *url.URL) error {
	user, password := f.user, f.password
	if u.User != nil {
		if f.user != "" {
			return errors.New("-u and the URL both name a user: give one of them")
		}
		user = u.User.Username()
		if inURL, ok := u.User.Password(); ok {
			password = inURL
		}
	}
	if password != "" && f.passwordFile != "" {
		return errors.New("--password-file and another flag both give a password: give one of them")
	}
	if f.passwordFile != "" {
		line, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return fmt.Errorf("--password-file: %w", err)
		}
		line, _, _ = bytes.Cut(line, []byte("\n"))
		password = strings.TrimRight(string(line), "\r")
	}
	if user != "" && password == "" {
		password = os.Getenv(passwordVariable)
	}
	if user != "" {
		c.Username = packet.Some(user)
	}
	if password != "" {
		c.Password = []byte(password)
	}
	if c.Password != nil && user == "" && c.Version != packet.V5 {
		return errors.New("a password without a user name, with -u, is for MQTT 5 only")
	}
	return nil
}

func (f *mqttFlags) addWill(c *packet.Connect, props *mqttProperties) error {
	if f.will.topic == "" {
		if f.will.payload != "" || f.will.qos != 0 || f.will.retain {
			return errors.New("a will wants a topic, with --will-topic")
		}
		return nil
	}
	c.Will = &packet.Will{
		Topic: f.will.topic, Payload: []byte(f.will.payload), QoS: packet.QoS(f.will.qos), Retain: f.will.retain, Props: props.will,
	}
	return nil
}
