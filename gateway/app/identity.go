package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidegate/tidegate/gateway"
	"github.com/tidegate/tidegate/gateway/config"
)

// idFile keeps the id that was chosen at the first start, since topics and the cloud know the gateway by it for ever: a new host
// name must not make it another gateway.
const idFile = "gateway-id"

// gatewayID returns the configured id, else the kept one, else a new one, which it keeps.
func gatewayID(cfg config.Gateway) (string, error) {
	if cfg.ID != "" {
		return cfg.ID, nil
	}
	path := filepath.Join(cfg.DataDir, idFile)
	kept, err := os.ReadFile(path)
	switch {
	case err == nil:
		id := strings.TrimSpace(string(kept))
		if err := gateway.CheckName(id); err != nil {
			return "", fmt.Errorf("read gateway id from %s: %w; mend or delete the file, or set id in [gateway]", path, err)
		}
		return id, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read gateway id: %w", err)
	}
	id := config.DefaultID()
	if err := keep(path, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("keep gateway id: %w", err)
	}
	return id, nil
}

// keep makes a file whole or not at all, whenever the power is cut: its bytes are synchronised before it gets its name, and the name before
// keep returns.
func keep(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
