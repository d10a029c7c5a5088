package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Options say what a server shows and what it asks for.
type Options struct {
	CertFile string // the server's certificate in PEM, with those between it and its root behind it
	KeyFile  string // its private key in PEM, not encrypted
	// ClientCAFile has the certificates, in PEM, of which one must have signed a client's. It is needed unless ClientAuth is tls.NoClientCert.
	ClientCAFile string
	// ClientAuth is tls.NoClientCert, tls.VerifyClientCertIfGiven or tls.RequireAndVerifyClientCert.
	ClientAuth tls.ClientAuthType
	// NamesUser makes the common name of a client's certificate its user name.
	NamesUser  bool
	MinVersion uint16           // 0: TLS 1.2
	Logger     *slog.Logger     // nil: nothing is logged
	Now        func() time.Time // nil: time.Now
}

// Server does handshakes with the certificate that is in the files now. Its methods may be called by many goroutines.
type Server struct {
	opts Options

	mu      sync.Mutex
	config  *tls.Config
	expiry  time.Time
	sum     [sha256.Size]byte // of what config was made of
	stamps  stamps            // of the files, before they were read
	settled bool              // a later change of the files will show in their stamps
	looked  time.Time
}

// New reads the files. Its errors say which of them is wrong, and what to do.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{opts: o}
	if err := s.reload(); err != nil { // it is settled by what the first handshake finds
		return nil, err
	}
	return s, nil
}

// Handshake does the handshake over raw and returns the connection over which the client speaks, and the user that its certificate names,
// "" when there is none. It ends with ctx and with raw's deadline. On an error the caller closes raw. The error is io.EOF when the client
// has closed without a word, and otherwise tells a person what happened and what to do.
func (s *Server) Handshake(ctx context.Context, raw net.Conn) (*tls.Conn, string, error) {
	heard := &heardConn{Conn: raw}
	c := tls.Server(heard, s.current())
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, "", s.explain(ctx, heard, err)
	}
	heard.done = true
	if !s.opts.NamesUser {
		return c, "", nil
	}
	user, err := userOf(c.ConnectionState())
	if err != nil {
		_ = c.Close() // the client is told no more than that it is over
		return nil, "", err
	}
	return c, user, nil
}

// userOf returns the user that a client's certificate names.
func userOf(state tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", nil
	}
	subject := state.PeerCertificates[0].Subject
	switch name := subject.CommonName; {
	case name == "":
		return "", fmt.Errorf("the client's certificate %q has no common name (CN), which is to be the user name: issue one that has, "+
			"or leave cert_user out", subject)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "", errors.New("the common name (CN) of the client's certificate has control characters, or is not UTF-8: it is no user name")
	default:
		return name, nil
	}
}
