package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tidegate/tidegate/buffer"
)

// openFile opens the buffer of a gateway that does not run, and changes nothing in it.
func openFile(p place) (readBuffer, error) {
	f, err := buffer.OpenFile(p.path)
	if err != nil {
		return nil, adviseOffline(p, err)
	}
	return f, nil
}

// adviseOffline adds what to do where the verb knows more than the buffer.
func adviseOffline(p place, err error) error {
	switch {
	case errors.Is(err, buffer.ErrInUse) && p.socket != "":
		return fmt.Errorf("%w\na gateway has the file open and does not answer on its socket %s: it may be of an older version, or just starting", err, p.socket)
	case errors.Is(err, buffer.ErrInUse):
		return fmt.Errorf("%w\nto ask the gateway, name its configuration with -c", err)
	case errors.Is(err, fs.ErrNotExist):
		return usageError{fmt.Errorf("%w: name the configuration with -c, or the file with --file; a gateway makes it when it first runs", err)}
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: only the user that runs the gateway may read it, as in 'sudo -u tidegate tidegate buffer stats'", err)
	}
	return err
}

// offlineStore is the buffer of a gateway that does not run, with a writer of its own.
type offlineStore struct {
	*buffer.Store
	stop  context.CancelFunc
	ended chan error
}

// roomUnknown is what a file may grow to whose max_size is not known, in bytes: with less, what a verb adds would push its oldest records out.
const roomUnknown = 1 << 42

// openStore opens the buffer of a gateway that does not run, to change it. It makes none.
func openStore(ctx context.Context, p place) (writeBuffer, error) {
	if _, err := os.Stat(p.path); err != nil {
		return nil, adviseOffline(p, fmt.Errorf("open buffer: %w", err))
	}
	store, err := buffer.Open(ctx, buffer.Options{Path: p.path, MaxSize: cmp.Or(p.maxSize, roomUnknown)})
	if err != nil {
		return nil, adviseOffline(p, err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // Close stops it, in order
	s := &offlineStore{Store: store, stop: stop, ended: make(chan error, 1)}
	go func() { s.ended <- store.Run(ctx) }()
	return s, nil
}

// Close commits what is left and closes the file.
func (s *offlineStore) Close() error {
	s.stop()
	return errors.Join(<-s.ended, s.Store.Close())
}
