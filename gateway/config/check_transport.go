package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxInFlight is the most requests that Modbus Messaging on TCP/IP V1.0b, 4.3.1, expects a device to take at once.
const maxInFlight = 16

// serialKeys and networkKeys are the keys of a bus that belong to a port and to an endpoint.
func serialKeys() []string {
	return []string{"port", "baud", "data_bits", "parity", "stop_bits", "rs485"}
}
func networkKeys() []string { return []string{"endpoint", "tls", "idle_close", "max_in_flight"} }

// modeKeys are those that go with a baud.
func modeKeys() []string { return []string{"data_bits", "parity", "stop_bits"} }

// foreign reports the keys of the other kind of bus.
func (c *checker) foreign(path string, keys []string, problem, hint string) {
	for _, key := range keys {
		if c.given(join(path, key)) {
			c.out.atKey(join(path, key), fmt.Sprintf("%s: %s", key, problem), hint)
		}
	}
}

// network checks a bus at an endpoint.
func (c *checker) network(path string, b Bus, owners map[string]string) {
	keys := serialKeys()
	if b.Transport.Behind() {
		keys = c.lineBehind(path, b)
	}
	c.foreign(path, keys, fmt.Sprintf("a serial key on %s %v bus", article(b.Transport), b.Transport),
		`remove it, or say transport = "rtu" if this is a serial line`)
	within(c, join(path, "idle_close"), b.IdleClose, 0, time.Hour)
	c.inFlight(path, b)
	c.busTLS(path, b)
	where := join(path, "endpoint")
	usual := "host:502"
	if b.Transport == TransportTLS {
		usual = "host:802"
	}
	if !c.need(path, "endpoint", fmt.Sprintf("add endpoint = %q", usual)) || c.out.failed[where] {
		return
	}
	example := strings.Replace(usual, "host", "192.168.1.20", 1)
	if c.hostPort(where, b.Endpoint, example, 1) {
		c.owner(owners, where, strings.ToLower(b.Endpoint), b.Endpoint)
	}
}

// lineBehind checks the line behind a serial device server, if the file tells how characters travel there, and returns the keys that are foreign.
func (c *checker) lineBehind(path string, b Bus) (foreign []string) {
	if c.given(join(path, "baud")) {
		c.line(path, b)
	} else {
		c.foreign(path, modeKeys(), "without its baud nothing is known of the line behind the device server", "add baud = 9600, or what the line has, or remove it")
	}
	return slices.DeleteFunc(serialKeys(), func(key string) bool { return key == "baud" || slices.Contains(modeKeys(), key) })
}

// article returns what comes before the name of a transport.
func article(t Transport) string {
	if name := t.String(); name[0] == 'a' || name[0] == 'r' { // an RTU
		return "an"
	}
	return "a"
}

// inFlight checks that answers can be told apart where several are awaited.
func (c *checker) inFlight(path string, b Bus) {
	where := join(path, "max_in_flight")
	within(c, where, b.MaxInFlight, 1, maxInFlight)
	if b.MaxInFlight <= 1 || c.out.failed[where] || b.Transport == TransportTCP || b.Transport == TransportTLS {
		return
	}
	c.fail(where, b.MaxInFlight, fmt.Sprintf("%s %v bus carries one request at a time", article(b.Transport), b.Transport),
		"remove it; tcp and tls can carry several")
}

// busTLS checks [bus.tls] and the files that it names.
func (c *checker) busTLS(path string, b Bus) {
	where := join(path, "tls")
	if !c.given(where) {
		return
	}
	if b.Transport != TransportTLS {
		c.out.atKey(where, fmt.Sprintf("tls: %s %v bus is not encrypted", article(b.Transport), b.Transport), `say transport = "tls", or remove it`)
		return
	}
	t := TLS{CAFile: b.TLS.CAFile, CertFile: b.TLS.CertFile, KeyFile: b.TLS.KeyFile}
	c.caFile(join(where, "ca_file"), t)
	c.keyPair(where, t)
}

// serial checks a bus on a serial port.
func (c *checker) serial(path string, b Bus, owners map[string]string) {
	c.foreign(path, networkKeys(), fmt.Sprintf("a network key on %s %v bus", article(b.Transport), b.Transport),
		fmt.Sprintf(`remove it, or say transport = %q`, overNetwork(b.Transport)))
	c.line(path, b)
	c.rs485(join(path, "rs485"), b.RS485)
	where := join(path, "port")
	if !c.need(path, "port", `add port = "/dev/serial/by-id/..." (ls /dev/serial/by-id shows yours)`) || c.out.failed[where] {
		return
	}
	switch {
	case !filepath.IsAbs(b.Port):
		hint := fmt.Sprintf("write %q", "/dev/"+b.Port)
		if strings.HasPrefix(strings.ToUpper(b.Port), "COM") {
			hint = "Linux has other names: ls /dev/serial/by-id shows those of adapters, and ports on board are /dev/ttyS0 or /dev/ttyAMA0"
		}
		c.fail(where, b.Port, "not the full path of a device", hint)
		return
	case strings.HasPrefix(b.Port, "/dev/ttyUSB"), strings.HasPrefix(b.Port, "/dev/ttyACM"):
		c.out.warn(where, b.Port+": this number may change at the next start or when adapters are plugged in",
			"use its name under /dev/serial/by-id or /dev/serial/by-path")
	}
	c.owner(owners, where, c.sameFile(b.Port), b.Port)
}

// overNetwork names the transport that was probably meant with an endpoint.
func overNetwork(t Transport) string {
	if t == TransportASCII {
		return TransportASCIIOverTCP.String()
	}
	return TransportTCP.String()
}

// line checks the settings of a serial line.
func (c *checker) line(path string, b Bus) {
	baud := join(path, "baud")
	within(c, baud, b.Baud, 300, 4000000)
	if !slices.Contains(standardBauds(), b.Baud) && !c.out.failed[baud] {
		c.out.warn(baud, fmt.Sprintf("baud %d: not a usual rate, and many adapters then use another one", b.Baud), "9600, 19200, 38400 and 115200 are common")
	}
	switch {
	case b.Transport.ASCII():
		within(c, join(path, "data_bits"), b.DataBits, 7, 8)
	case b.DataBits != 8:
		c.fail(join(path, "data_bits"), b.DataBits, "rtu sends whole bytes", "write data_bits = 8, or leave the key out")
	}
	within(c, join(path, "stop_bits"), b.StopBits, 1, 2)
}

// rs485 checks how the transmitter is switched.
func (c *checker) rs485(path string, r RS485) {
	if !c.given(path) || !c.need(path, "mode", `add mode = "kernel", "rts" or "gpio"; most adapters switch by themselves and need no rs485`) {
		return
	}
	within(c, join(path, "delay_before"), r.DelayBefore, 0, time.Second)
	within(c, join(path, "delay_after"), r.DelayAfter, 0, time.Second)
	if r.Mode != RS485GPIO {
		c.foreign(path, []string{"chip", "line"}, fmt.Sprintf("a key of mode gpio, and this is %v", r.Mode), `remove it, or say mode = "gpio"`)
		return
	}
	c.need(path, "line", "add line = 17, the number of the line on its chip (gpioinfo shows them)")
	within(c, join(path, "line"), r.Line, 0, 1<<16)
	if c.need(path, "chip", `add chip = "/dev/gpiochip0" (gpioinfo shows the chips)`) && !filepath.IsAbs(r.Chip) {
		c.fail(join(path, "chip"), r.Chip, "not the full path of a device", fmt.Sprintf("write %q", "/dev/"+r.Chip))
	}
}
