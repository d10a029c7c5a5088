package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/drivers/sim"
	"github.com/tidegate/tidegate/gateway/config"
)

// simFlags are the flags of the verb sim.
type simFlags struct {
	tcp, rtu string
	baud     int
	parity   string
	units    []uint
}

func newSimCommand() *cobra.Command {
	var f simFlags
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Simulate Modbus devices, over TCP and on a serial line",
		Long: "Sim plays a meter, a tank and a drive, in turn, for the unit ids asked for. With --tcp it answers Modbus TCP; with --rtu it\n" +
			"makes a pseudo terminal, links LINK to it, and answers Modbus RTU there, paced like a wire of --baud with the silences kept.",
		Example: "  tidegate sim --tcp 127.0.0.1:1502 --rtu /tmp/rs485 --baud 19200 --units 1,2,3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return simulate(cmd.Context(), f, cmd.OutOrStdout(), newLogger(cmd.ErrOrStderr(), config.Log{Level: config.LevelInfo, Format: config.FormatText}))
		},
	}
	cmd.Flags().StringVar(&f.tcp, "tcp", "", "listen for Modbus TCP on `ADDR`, as 127.0.0.1:1502")
	cmd.Flags().StringVar(&f.rtu, "rtu", "", "link `LINK` to the port of a simulated serial line")
	cmd.Flags().IntVar(&f.baud, "baud", 19200, "pace the serial line like `N` bits per second; 0: as fast as it goes")
	cmd.Flags().StringVar(&f.parity, "parity", "even", "of the serial line: none, even or odd")
	cmd.Flags().UintSliceVar(&f.units, "units", []uint{1, 2, 3}, "unit ids that answer")
	return cmd
}

// check turns the flags into what the simulator takes.
func (f simFlags) check() (ids []byte, line sim.Line, err error) {
	if f.tcp == "" && f.rtu == "" {
		return nil, line, usageError{errors.New("nothing to simulate: give --tcp ADDR, --rtu LINK or both")}
	}
	parities := map[string]sim.Parity{"none": sim.NoParity, "even": sim.EvenParity, "odd": sim.OddParity}
	parity, ok := parities[f.parity]
	if !ok {
		return nil, line, usageError{fmt.Errorf("--parity %s: use none, even or odd", f.parity)}
	}
	if f.baud < 0 {
		return nil, line, usageError{fmt.Errorf("--baud %d: use 0 or more", f.baud)}
	}
	if err := checkListen(f.tcp); err != nil {
		return nil, line, usageError{err}
	}
	for _, id := range f.units {
		if id < 1 || id > 247 {
			return nil, line, usageError{fmt.Errorf("--units %d: a unit id is 1 to 247", id)}
		}
		ids = append(ids, byte(id))
	}
	return ids, sim.Line{Baud: f.baud, Parity: parity}, nil
}

// checkListen refuses an address to listen on that has no port.
func checkListen(addr string) error {
	if addr == "" {
		return nil
	}
	_, _, err := net.SplitHostPort(addr)
	switch _, notPort := strconv.ParseUint(addr, 10, 16); {
	case err == nil:
		return nil
	case notPort == nil:
		return fmt.Errorf("--tcp %s: write :%[1]s for all addresses of this machine, or 127.0.0.1:%[1]s for itself alone", addr)
	}
	return fmt.Errorf("--tcp %s: %w: write it as 127.0.0.1:1502", addr, err)
}

func simulate(ctx context.Context, f simFlags, out io.Writer, log *slog.Logger) error {
	ids, line, err := f.check()
	if err != nil {
		return err
	}
	var run []func(context.Context) error
	if f.tcp != "" {
		l, err := net.Listen("tcp", f.tcp)
		if err != nil {
			return fmt.Errorf("listen for Modbus TCP: %w", err)
		}
		defer l.Close()
		server := sim.NewServer(l, sim.Units(nil, ids...), sim.ServerOptions{Log: log})
		fmt.Fprintf(out, "Modbus TCP on %s, unit ids %v\n", server.Addr(), ids)
		run = append(run, server.Run)
	}
	if f.rtu != "" {
		pty, err := sim.OpenPTY(f.rtu)
		if err != nil {
			return err
		}
		defer pty.Close()
		slave := sim.NewSlave(pty, sim.Units(nil, ids...), sim.SlaveOptions{Line: line, StrictGap: true, Log: log})
		fmt.Fprintf(out, "Modbus RTU on %s (%s), unit ids %v\n", pty.Port(), line, ids)
		run = append(run, slave.Run)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range run {
		g.Go(func() error { return r(ctx) })
	}
	return g.Wait()
}
