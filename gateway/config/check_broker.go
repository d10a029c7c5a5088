package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// maxRecords bounds what a count of records may be set to.
const maxRecords = 1_000_000_000

// Bounds of the broker. A packet must hold a CONNECT; its largest length is that of MQTT's length field (2.2.3).
const (
	minPacket = 256 * Size(1)
	maxPacket = 268435455 * Size(1)
)

// Bounds of the time between two publications of $SYS, unless it is off. The loads are averages over at least a minute.
const (
	minSysInterval = time.Second
	maxSysInterval = time.Minute
)

func (c *checker) broker() {
	b := c.cfg.Broker
	within(c, "broker.max_packet_size", b.MaxPacketSize, minPacket, maxPacket)
	within(c, "broker.max_connections", b.MaxConnections, 1, 100000)
	within(c, "broker.max_per_address", b.MaxPerAddress, 0, 100000)
	within(c, "broker.max_queued", b.MaxQueued, 1, 1000000)
	within(c, "broker.max_queued_size", b.MaxQueuedSize, 64*KiB, 1*GiB)
	within(c, "broker.max_queued_total", b.MaxQueuedTotal, 1*MiB, 1*GiB)
	within(c, "broker.max_subscriptions", b.MaxSubscriptions, 1, 1000000)
	within(c, "broker.max_sessions", b.MaxSessions, 1, 1000000)
	within(c, "broker.max_retained", b.MaxRetained, 1, 1000000)
	within(c, "broker.max_retained_size", b.MaxRetainedSize, 4*KiB, 1*GiB)
	within(c, "broker.connect_timeout", b.ConnectTimeout, 100*time.Millisecond, 5*time.Minute)
	within(c, "broker.max_inflight", b.MaxInflight, 1, 32767)
	within(c, "broker.session.max_age", b.Session.MaxAge, time.Minute, maxAge)
	within(c, "broker.session.max_size", b.Session.MaxSize, 64*KiB, 8*TiB)
	within(c, "broker.session.max_records", b.Session.MaxRecords, 0, maxRecords)
	if b.PasswordFile == "" && c.given("broker.password_file") {
		c.fail("broker.password_file", "", "empty", "name a file that tidegate passwd writes, or leave the key out")
	}
	if b.ACLFile == "" && c.given("broker.acl_file") {
		c.fail("broker.acl_file", "", "empty", "name an ACL file in mosquitto's format, or leave the key out")
	}
	if b.SysInterval != 0 {
		within(c, "broker.sys_interval", b.SysInterval, minSysInterval, maxSysInterval)
	}
}

// socket is an address that something listens at, and the path of the key that says so.
type socket struct{ address, path string }

// listeners checks the listeners of the broker, and returns where something listens then.
func (c *checker) listeners() (taken []socket) {
	if listenPort(c.cfg.HTTP.Listen) != "" {
		taken = append(taken, socket{c.cfg.HTTP.Listen, "http.listen"})
	}
	for i, l := range c.cfg.Broker.Listeners {
		path := at("broker.listener", i)
		where, example := join(path, "address"), c.exampleAddress(path, l)
		c.listener(path, l)
		if !c.need(path, "address", fmt.Sprintf("add address = %q", example)) || c.out.failed[where] ||
			!c.hostPort(where, l.Address, example, 0) {
			continue
		}
		if c.free(taken, where, l.Address) && listenPort(l.Address) != "" {
			taken = append(taken, socket{l.Address, where})
		}
		c.access(path, l)
	}
	return taken
}

// free reports an address that something else listens at already.
func (c *checker) free(taken []socket, path, address string) bool {
	i := slices.IndexFunc(taken, func(s socket) bool { return sameSocket(s.address, address) })
	if i < 0 {
		return true
	}
	other := taken[i]
	c.fail(path, address, fmt.Sprintf("taken by %s of %s (%s)", other.address, tableName(parent(other.path)), c.where(other.path)),
		"choose another port")
	return false
}

// sameSocket tells whether two addresses cannot both be listened at: one port, and one host within the other.
func sameSocket(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return portA == portB && (covers(hostA, hostB) || covers(hostB, hostA))
}

// covers tells whether listening at host takes other as well. No host and "::" take both families, 0.0.0.0 only IPv4.
func covers(host, other string) bool {
	ip, otherIP := hostIP(host), hostIP(other)
	switch {
	case host == "", ip.Equal(net.IPv6unspecified):
		return true
	case ip.Equal(net.IPv4zero):
		return otherIP == nil || otherIP.To4() != nil
	}
	return host == other || ip != nil && ip.Equal(otherIP)
}

// hostIP returns the address of a host that is written as one, or nil.
func hostIP(host string) net.IP {
	if strings.EqualFold(host, "localhost") {
		return net.IPv4(127, 0, 0, 1)
	}
	return net.ParseIP(host)
}

// listenPort returns the port of an address, or "" when it is none or 0, which is a different one each time.
func listenPort(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return ""
	}
	return port
}

// access checks who may log in at a listener. A listener that the LAN can reach says for itself that it takes anyone:
// a line for the whole broker, written once for a test on loopback, must not open the LAN later.
func (c *checker) access(path string, l Listener) {
	for _, key := range []string{
		"broker.allow_anonymous", "broker.password_file", join(path, "allow_anonymous"),
		join(path, "tls"), join(path, "tls", "client_cert"), join(path, "tls", "cert_user"),
	} {
		if c.out.failed[key] {
			return // who may log in cannot be told
		}
	}
	b, where := c.cfg.Broker, join(path, "address")
	// A certificate that names the user is a way to log in, and the only one where there are no passwords.
	byCert := l.TLS.CertUser && l.TLS.ClientCert != ClientCertNone
	said := c.given(join(path, "allow_anonymous"))
	switch beyond := !loopback(l.Address); {
	case beyond && !said && b.AllowAnonymous:
		c.fail(where, l.Address, "beyond loopback, and the broker's allow_anonymous counts for loopback only",
			"say allow_anonymous = true or false in this listener")
	case l.AllowAnonymous || b.PasswordFile != "" || byCert:
	case l.TLS.ClientCert == ClientCertRequired:
		c.fail(where, l.Address, "nobody could log in: certificates name no user here, and there is no password_file",
			"add cert_user = true to tls of this listener, or give [broker] a password_file")
	case beyond:
		c.fail(where, l.Address, "beyond loopback, and without authentication",
			"give [broker] a password_file, or say allow_anonymous = true in this listener")
	default:
		c.fail(where, l.Address, "nobody could log in: allow_anonymous is false and there is no password_file",
			"give [broker] a password_file, or say allow_anonymous = true in this listener")
	}
}
