package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/gateway/app"
	"github.com/tidegate/tidegate/gateway/config"
)

// defaultConfig is where the package puts the configuration.
const defaultConfig = "/etc/tidegate/tidegate.toml"

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "configuration `FILE`")
}

func newRunCommand() *cobra.Command {
	var path string
	var traced traceFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the gateway",
		Long: "Run runs the gateway until it is told to stop by SIGINT or SIGTERM. On SIGHUP it reads password_file and acl_file again, and\n" +
			"disconnects those clients that have lost their user or a right. The rest of the configuration is read at the start.\n\n" +
			"With --trace each conversation on a bus is written to FILE as one JSON object a line: what was sent, what was received and when, and how it\n" +
			"ended. A file that has reached --trace-size becomes FILE.1. Add the file when you report that a device is not understood.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := prepare(cmd.ErrOrStderr(), path)
			if err != nil {
				return err
			}
			hup := make(chan os.Signal, 1) // one that waits stands for all
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			return runOn(cmd.Context(), cfg, log, traced, hup)
		},
	}
	configFlag(cmd, &path)
	traced.add(cmd)
	return cmd
}

// readingPercent is the growth at which garbage is collected while a configuration is read. Most of what that takes is garbage at once, and a process
// is as large as it was at its largest moment.
const readingPercent = 50

// prepare reads the configuration to run, makes its logger, which has the warnings, and gives back what it took to read.
func prepare(stderr io.Writer, path string) (*config.Config, *slog.Logger, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(readingPercent))
	cfg, err := readConfig(path)
	if err != nil {
		return nil, nil, err
	}
	log := newLogger(stderr, cfg.Log)
	logWarnings(log, cfg.Warnings)
	tooMuch, err := app.CheckLoad(cfg)
	logWarnings(log, tooMuch)
	if err != nil {
		return nil, nil, usageError{err}
	}
	cfg.Forget()
	app.GiveBack(log)
	return cfg, log, nil
}

// traceFlags say where conversations on the buses are written to.
type traceFlags struct {
	file string
	size config.Size
}

func (f *traceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "trace", "", "write each conversation on a bus to `FILE`")
	f.size = 64 * config.MiB
	cmd.Flags().Var((*sizeFlag)(&f.size), "trace-size", "`SIZE` at which the trace begins anew; the file before it is kept")
}

// sizeFlag is a config.Size on the command line.
type sizeFlag config.Size

func (s *sizeFlag) String() string { return config.Size(*s).String() }

func (s *sizeFlag) Set(text string) error { return (*config.Size)(s).UnmarshalText([]byte(text)) }

func (s *sizeFlag) Type() string { return "size" }

// soundFor is how long a gateway must have run before it is started again in this process. A disk that fails faster needs a person, whom the
// end of the process tells.
const soundFor = 10 * time.Second

// runOn runs the gateway, and starts it again when it has ended because its buffer's file was found damaged: the start sets the file aside.
func runOn(ctx context.Context, cfg *config.Config, log *slog.Logger, traced traceFlags, hup <-chan os.Signal) error {
	for {
		began := time.Now()
		err := runGateway(ctx, cfg, log, traced, hup)
		if !errors.Is(err, app.ErrDamaged) || ctx.Err() != nil || time.Since(began) < soundFor {
			return err
		}
		log.Warn("the gateway starts again", "reason", err)
	}
}

func runGateway(ctx context.Context, cfg *config.Config, log *slog.Logger, traced traceFlags, hup <-chan os.Signal) error {
	gw, err := app.New(ctx, app.Options{
		Config: cfg, Logger: log, Version: version, Notify: notifySystemd(log),
		TraceFile: traced.file, TraceSize: int64(traced.size),
	})
	if err != nil {
		return err
	}
	var reload sync.WaitGroup
	defer reload.Wait()
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	reload.Go(func() { onSignal(until, hup, gw.ReloadAccess) })
	return gw.Run(ctx)
}

// onSignal calls do for each signal until ctx ends.
func onSignal(ctx context.Context, signals <-chan os.Signal, do func()) {
	for {
		select {
		case <-signals:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// notifySystemd tells systemd about the gateway's state, when there is one that wants to know.
func notifySystemd(log *slog.Logger) func(string) {
	return func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd was not notified", "state", state, "error", err)
		}
	}
}

// readConfig loads a configuration. What is wrong with the file is the caller's mistake.
func readConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; name the file with -c", err)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// loadConfig loads a configuration and prints its warnings.
func loadConfig(warnings io.Writer, path string) (*config.Config, error) {
	cfg, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(warnings, w)
	}
	return cfg, nil
}
