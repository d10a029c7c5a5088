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
	if err := os.WriteFile(path, []byte(id+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("keep gateway id: %w", err)
	}
	return id, nil
}
