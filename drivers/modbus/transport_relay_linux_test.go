package modbus

import (
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// relayStreams connects each connection of a listener to one that dial makes, until the end of the test.
func relayStreams(t testing.TB, l net.Listener, dial func() (net.Conn, error)) (endpoint string) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			peer, err := dial()
			if err != nil {
				_ = conn.Close()
				continue
			}
			mu.Lock()
			open = append(open, conn, peer)
			mu.Unlock()
			all.Go(func() { pour(conn, peer) })
			all.Go(func() { pour(peer, conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// pour copies until either side ends, and then ends both.
func pour(dst, src net.Conn) {
	_, _ = io.Copy(dst, src)
	_ = dst.Close()
	_ = src.Close()
}

// relayLine is a serial device server: one connection at a time to a serial line, which stays open between them.
func relayLine(t testing.TB, l net.Listener, port string) (endpoint string) {
	t.Helper()
	line, err := os.OpenFile(port, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var client net.Conn
	all.Go(func() { // what comes from the line goes to whoever is connected, however late
		var b [512]byte
		for {
			n, err := line.Read(b[:])
			if err != nil {
				return
			}
			mu.Lock()
			if client != nil {
				_, _ = client.Write(b[:n])
			}
			mu.Unlock()
		}
	})
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			client = conn
			mu.Unlock()
			all.Go(func() { _, _ = io.Copy(line, conn); _ = conn.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		if client != nil {
			_ = client.Close()
		}
		mu.Unlock()
		_ = line.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// relayDatagrams passes each datagram on to a Modbus TCP device, on a connection for each client, and what comes back as one datagram.
func relayDatagrams(t testing.TB, device string) (endpoint string) {
	t.Helper()
	in, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	peers := map[string]net.Conn{}
	all.Go(func() {
		defer func() {
			for _, p := range peers {
				_ = p.Close()
			}
		}()
		var b [512]byte
		for {
			n, from, err := in.ReadFrom(b[:])
			if err != nil {
				return
			}
			peer := peers[from.String()]
			if peer == nil {
				if peer, err = net.Dial("tcp", device); err != nil {
					continue
				}
				peers[from.String()] = peer
				all.Go(func() { answerDatagrams(in, peer, from) })
			}
			_, _ = peer.Write(b[:n])
		}
	})
	t.Cleanup(func() { _ = in.Close(); all.Wait() })
	return in.LocalAddr().String()
}

func answerDatagrams(out net.PacketConn, peer net.Conn, to net.Addr) {
	var b [512]byte
	for {
		n, err := peer.Read(b[:])
		if err != nil {
			return
		}
		_, _ = out.WriteTo(b[:n], to)
	}
}
