package app

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/gateway/auth"
	"github.com/tidegate/tidegate/gateway/config"
	"github.com/tidegate/tidegate/localbroker"
)

// accessFiles are the files that say who may log in and what they may do.
type accessFiles struct {
	passwords *auth.Passwords // nil: there is no such file
	acl       *auth.ACL       // nil likewise
}

// CheckAccess reads the password and ACL files of a configuration, and returns what is wrong with them: every wrong line by file and line. A warning
// names a line of the ACL file, by its user, that nobody can be.
func CheckAccess(cfg *config.Config) (warnings []error, err error) {
	f, err := loadAccess(cfg)
	if err != nil || f.acl == nil || certificatesNameUsers(cfg) {
		return nil, err
	}
	return f.acl.Unknown(func(user string) bool {
		if f.passwords == nil {
			return false // nobody has checked a name: its client counts as anonymous
		}
		_, known := f.passwords.Credential(user)
		return known
	}), nil
}

// certificatesNameUsers tells whether there may be users who stand in no file.
func certificatesNameUsers(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Broker.Listeners, func(l config.Listener) bool {
		return l.TLS.CertUser && l.TLS.ClientCert != config.ClientCertNone
	})
}

func loadAccess(cfg *config.Config) (*accessFiles, error) {
	var (
		f    accessFiles
		err  error
		errs []error
	)
	if path := cfg.Broker.PasswordFile; path != "" {
		if f.passwords, err = auth.LoadPasswords(path); err != nil {
			errs = append(errs, cfg.Error("broker.password_file", err.Error(), "make it with tidegate passwd"))
		}
	}
	if path := cfg.Broker.ACLFile; path != "" {
		if f.acl, err = auth.LoadACL(path); err != nil {
			errs = append(errs, cfg.Error("broker.acl_file", err.Error(), "its lines are: user NAME, topic [read|write|readwrite|deny] FILTER, pattern ..."))
		}
	}
	return &f, errors.Join(errs...)
}

// authenticator returns what checks passwords, nil when nothing does.
func (f *accessFiles) authenticator() localbroker.Authenticator {
	if f.passwords == nil {
		return nil
	}
	return logins{f.passwords}
}

// Rights implements localbroker.Authorizer.
func (f *accessFiles) Rights(user, clientID string) localbroker.Rights {
	if f.acl == nil {
		return unruled{known: user != ""}
	}
	return f.acl.Rights(user, clientID)
}

// logins adapts a password file to the broker.
type logins struct{ *auth.Passwords }

// Authenticate implements localbroker.Authenticator.
func (l logins) Authenticate(ctx context.Context, user string, password []byte) bool {
	return l.Check(ctx, user, password)
}

// unruled is what a client may do where there is no ACL file: everything, but only those who have logged in see the broker's own topics.
type unruled struct{ known bool }

// MayPublish implements localbroker.Rights. The broker itself keeps clients from what is its own.
func (unruled) MayPublish(string) bool { return true }

// MayReceive implements localbroker.Rights.
func (u unruled) MayReceive(topic string) bool { return u.known || !strings.HasPrefix(topic, "$") }

// MaySubscribe implements localbroker.Rights.
func (u unruled) MaySubscribe(filter string) bool { return u.MayReceive(filter) }

// ReloadAccess reads the password and ACL files again and lets the broker act on it: clients whose user is gone, whose password was changed or
// who may not have a subscription any more are disconnected, and nobody else. A file that cannot be read or has wrong lines
// is told in the log, and what it said before stays in force.
func (a *App) ReloadAccess() {
	log := a.log.With("component", "access")
	f := a.access
	if f.passwords == nil && f.acl == nil {
		log.Info("there is no password_file and no acl_file to read again; the rest of the configuration is read at the next start")
		return
	}
	read := 0
	if f.passwords != nil {
		if err := f.passwords.Reload(); err != nil {
			log.Error("the password file was not taken, the old users stay in force", "error", err)
		} else {
			log.Info("the password file was read again", "file", a.opts.Config.Broker.PasswordFile, "users", f.passwords.Len())
			read++
		}
	}
	if f.acl != nil {
		if err := f.acl.Reload(); err != nil {
			log.Error("the ACL file was not taken, the old rules stay in force", "error", err)
		} else {
			log.Info("the ACL file was read again", "file", a.opts.Config.Broker.ACLFile)
			read++
		}
	}
	if read > 0 {
		a.broker.Reauthorize()
	}
}
