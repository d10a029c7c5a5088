package server

import (
	"context"
	"net/netip"
)

// peerKey is where a request's context has the address of its peer.
type peerKey struct{}

// Peer returns the IP address that a request came from, given the context that Serve was called with; else the zero one.
func Peer(ctx context.Context) netip.Addr {
	from, _ := ctx.Value(peerKey{}).(netip.Addr)
	return from
}
