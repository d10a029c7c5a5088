package websocket

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// anyOrigin is the pattern of every page, even of one that is a local file and says that its origin is "null".
const anyOrigin = "*"

// checkOrigin refuses the pages of hosts that are not named. A browser lets every page that a person visits connect to every host that the
// person's machine can reach, and names the page in the header Origin (RFC 6454, 7; RFC 6455, 10.2).
func checkOrigin(r *http.Request, patterns []string) error {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(patterns, anyOrigin) {
		return nil
	}
	u, err := url.Parse(origin)
	if err == nil && u.Host != "" && (sameHost(r, u.Hostname()) || named(patterns, u)) {
		return nil
	}
	return fmt.Errorf("pages from %s may not connect: name them in origins of the listener, or \"*\" for all pages", shown(origin))
}

// sameHost tells whether a page comes from the host that it asks, on whatever port. On loopback the page must be from there too: a name can
// be made to point anywhere after the page has been loaded.
func sameHost(r *http.Request, page string) bool {
	asked := (&url.URL{Host: r.Host}).Hostname()
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); isLoopback(asked) || ok && isLoopback(hostOf(local)) {
		return isLoopback(page)
	}
	return strings.EqualFold(page, asked)
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return ""
	}
	return host
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// named tells whether one of the patterns matches the page's host and port, or scheme, host and port.
func named(patterns []string, page *url.URL) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		target := page.Host
		if strings.Contains(p, "://") {
			target = page.Scheme + "://" + page.Host
		}
		ok, err := path.Match(strings.ToLower(p), strings.ToLower(target))
		return ok && err == nil
	})
}
