package main

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// careless is a server that takes a CONNECT and what follows, acknowledges none of it and closes; who comes next is passed on to the server at addr.
func careless(t *testing.T, addr string) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		first, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = first.Read(make([]byte, 1024))
		_, _ = first.Write(new(packet.Connack).Append(nil, packet.V311))
		_, _ = first.Read(make([]byte, 1024))
		first.Close()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go passOn(c, addr)
		}
	}()
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return port
}

func passOn(c net.Conn, addr string) {
	defer c.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, c)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, server)
}

// TestLinesSurviveALostConnection: what was not acknowledged is sent again, in order, and then the rest.
func TestLinesSurviveALostConnection(t *testing.T) {
	for _, qos := range []string{"1", "2"} {
		t.Run("QoS "+qos, func(t *testing.T) {
			b := mustBroker(t, nil)
			keeper := []string{"sub", "-p", b.port(), "-t", "x", "-q", "1", "-c", "-i", "keeper"}
			begin(t, append(keeper, "-E")...).ends(exitOK)
			var stderr text
			args := []string{"pub", "-p", careless(t, b.addr), "-t", "x", "-l", "-q", qos}
			if code := run(t.Context(), args, strings.NewReader("1\n2\n3\n4\n"), &text{}, &stderr); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if said := stderr.String(); !strings.Contains(said, "connecting again in 1s") || !strings.Contains(said, "again\n") {
				t.Errorf("said %q", said)
			}
			sub := begin(t, append(keeper, "-C", "4", "-W", "10")...)
			sub.ends(exitOK)
			if got := sub.stdout.String(); got != "1\n2\n3\n4\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}
