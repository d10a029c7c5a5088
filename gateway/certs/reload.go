package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	lookInterval = time.Second     // at most so often the files are looked at
	settleTime   = 2 * time.Second // so long after a file was changed it may change again without a new time of change
	maxFile      = 4 << 20         // bytes of a certificate file; the system's bundle of all authorities has about 250 kB
)

// stamp is what shows that a file was changed or replaced. That of a file that is not there is zero.
type stamp struct {
	changed time.Time
	size    int64
	file    os.FileInfo
}

// stamps are those of the certificate, the key and the client CA.
type stamps [3]stamp

// contents are those of the same files.
type contents [3][]byte

func (s *Server) names() [3]string {
	return [3]string{s.opts.CertFile, s.opts.KeyFile, s.opts.ClientCAFile}
}

// current returns the configuration for the next handshake. It holds others up while it reads files, once a second at most.
func (s *Server) current() *tls.Config {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if since := now.Sub(s.looked); since < 0 || since >= lookInterval { // negative: the clock was set back
		s.looked = now
		s.look(now)
	}
	return s.config
}

// look reads the files again if they may have changed. Certificate and key are two files, and whoever renews them writes one after the
// other: what does not fit together is told when it stays so.
func (s *Server) look(now time.Time) {
	found := s.stat()
	if s.settled && found.same(s.stamps) {
		return
	}
	s.stamps, s.settled = found, found.settled(now)
	if err := s.reload(); err != nil && s.settled {
		s.opts.Logger.Warn("the certificate files cannot be used, the certificate from before stays in use", "error", err)
	}
}

func (s *Server) stat() (list stamps) {
	for i, name := range s.names() {
		if info, err := os.Stat(name); err == nil {
			list[i] = stamp{info.ModTime(), info.Size(), info}
		}
	}
	return list
}

func (list stamps) same(others stamps) bool {
	for i, a := range list {
		b := others[i]
		if (a.file == nil) != (b.file == nil) || !a.changed.Equal(b.changed) || a.size != b.size || a.file != nil && !os.SameFile(a.file, b.file) {
			return false
		}
	}
	return true
}

// settled tells whether the next change of the files will show. One that was changed in the future, when the clock was right, is.
func (list stamps) settled(now time.Time) bool {
	for _, a := range list {
		if age := now.Sub(a.changed); a.file != nil && age >= 0 && age < settleTime {
			return false
		}
	}
	return true
}

// reload reads the files and, if they say something new, uses it from now on.
func (s *Server) reload() error {
	files, err := s.read()
	if err != nil {
		return err
	}
	sum := files.sum()
	if s.config != nil && sum == s.sum {
		return nil
	}
	config, leaf, err := s.make(files)
	if err != nil {
		return err
	}
	first := s.config == nil
	s.config, s.expiry, s.sum = config, leaf.NotAfter, sum
	log := s.opts.Logger.With("certificate", nameOf(leaf), "expires", leaf.NotAfter.UTC().Format(time.RFC3339))
	switch now := s.opts.Now(); {
	case now.After(leaf.NotAfter):
		log.Warn("the certificate has expired, clients will refuse it: renew it, or set the clock if that is wrong")
	case now.Before(leaf.NotBefore):
		log.Warn("the certificate is not valid yet, clients will refuse it: set the clock if that is wrong", "begins", leaf.NotBefore.UTC().Format(time.RFC3339))
	case !first:
		log.Info("the certificate files were replaced, new connections get the new certificate")
	}
	return nil
}

func (s *Server) read() (files contents, err error) {
	for i, name := range s.names() {
		if name == "" {
			continue
		}
		if files[i], err = readFile(name); err != nil {
			return files, fmt.Errorf("read %s: %w; the file must exist and be readable for the user that runs tidegate", settings[i], err)
		}
	}
	return files, nil
}

// readFile reads a file of bounded size.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB, so it holds no certificates", name, maxFile>>20)
	}
	return data, err
}

func (files contents) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, data := range files {
		fmt.Fprintf(h, "%d\n", len(data))
		h.Write(data)
	}
	h.Sum(sum[:0])
	return sum
}

// make makes a configuration of the files, with session tickets of its own: what an earlier client CA has let in is verified again.
func (s *Server) make(files contents) (*tls.Config, *x509.Certificate, error) {
	pair, err := keyPair(files[0], files[1], s.opts)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: s.opts.ClientAuth, MinVersion: max(s.opts.MinVersion, tls.VersionTLS12), Time: s.opts.Now,
	}
	if s.opts.ClientAuth == tls.NoClientCert {
		return config, pair.Leaf, nil
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(files[2]) {
		return nil, nil, fmt.Errorf("client_ca_file %s: no certificate in PEM: it must have a block \"-----BEGIN CERTIFICATE-----\"", s.opts.ClientCAFile)
	}
	return config, pair.Leaf, nil
}
