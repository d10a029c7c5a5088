package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway/api"
	"github.com/tidegate/tidegate/gateway/config"
)

// bufferFile is the name of the buffer's database in the data folder.
const bufferFile = "buffer.db"

// bufferFlags say which buffer a verb is about.
type bufferFlags struct {
	config string
	file   string
}

func (f *bufferFlags) add(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&f.config, "config", "c", defaultConfig, "look into the buffer of configuration `FILE`")
	cmd.PersistentFlags().StringVar(&f.file, "file", "", "look into the buffer `FILE`, whatever a configuration says")
}

// place is where a buffer lies, and what is known about it beside it.
type place struct {
	path      string // of the database
	socket    string // of the gateway that may have it open; "" when that cannot be told
	maxSize   int64  // bytes; 0: not known
	endurance int64  // bytes that the card takes; 0: not known
}

// place returns the place that the flags of cmd name.
func (f *bufferFlags) place(cmd *cobra.Command) (place, error) {
	if f.file != "" {
		if cmd.Flags().Changed("config") {
			return place{}, usageError{errors.New("-c and --file both name a buffer: give one of them")}
		}
		p := place{path: f.file}
		if filepath.Base(f.file) == bufferFile {
			p.socket = filepath.Join(filepath.Dir(f.file), api.ControlSocket)
		}
		return p, nil
	}
	cfg, err := loadWithoutSecrets(f.config)
	if err != nil {
		return place{}, err
	}
	dir := cfg.Gateway.DataDir
	return place{
		path: filepath.Join(dir, bufferFile), socket: filepath.Join(dir, api.ControlSocket),
		maxSize: int64(cfg.Buffer.MaxSize), endurance: int64(cfg.Buffer.CardEndurance),
	}, nil
}

// loadWithoutSecrets loads a configuration for a verb that looks into its buffer.
func loadWithoutSecrets(path string) (*config.Config, error) {
	cfg, err := parseWithoutSecrets(path)
	switch {
	case errors.As(err, new(*fs.PathError)):
		return nil, usageError{fmt.Errorf("%w; name it with -c, or the buffer itself with --file", err)}
	case err != nil:
		return nil, usageError{fmt.Errorf("%w\nto look into the buffer all the same, name it with --file", err)}
	}
	return cfg, nil
}

// parseWithoutSecrets loads a configuration for a person who may not read its secrets, or whom systemd gave no credentials. Its warnings
// are left to the verbs check and run.
func parseWithoutSecrets(path string) (*config.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	env := config.OSEnv(filepath.Dir(path))
	env.NoCertificates = true
	lookup, read := env.LookupEnv, env.ReadFile
	env.LookupEnv = func(name string) (string, bool) {
		if value, ok := lookup(name); ok {
			return value, true
		}
		return "/not/known/here", true
	}
	env.ReadFile = func(name string) ([]byte, fs.FileMode, error) {
		data, mode, err := read(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return []byte("not known here"), 0o600, nil
		}
		return data, mode, err
	}
	return config.Parse(path, data, env)
}

// dialGateway finds out who answers for the buffer at p: nil, without an error, when no gateway runs.
func dialGateway(ctx context.Context, p place) (*api.Client, error) {
	if p.socket == "" {
		return nil, nil
	}
	client, err := api.Dial(ctx, p.socket)
	switch {
	case err == nil:
		return client, nil
	case errors.Is(err, api.ErrNoGateway):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: only the user that runs the gateway may, as in 'sudo -u tidegate tidegate buffer stats'", err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w: a gateway runs and does not answer; its log says what it does, and when it is stopped this verb reads the file itself", err)
	}
	return nil, err
}
