// Package certs does the server's side of TLS (RFC 8446) with certificate files that may be replaced while it runs: whoever renews a
// certificate writes the files, and the next connection gets the new one. A new file that is broken changes nothing and is told in the log.
//
// It also asks clients for certificates, and says in words that a technician can act on why a handshake failed.
package certs
