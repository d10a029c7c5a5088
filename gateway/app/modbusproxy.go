package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/drivers/modbus/server"
	"github.com/tidegate/tidegate/gateway/engine"
)

// proxy passes what masters ask on to the units of a bus. It is a server's Handler.
type proxy struct {
	app *App
	bus string
}

// Serve implements server.Handler. Masters share the bus by their addresses: one with more connections gets no more of it.
func (p proxy) Serve(ctx context.Context, unit byte, request []byte) []byte {
	answer, err := p.app.engine.Pass(ctx, p.bus, server.Peer(ctx).String(), unit, request)
	if err == nil {
		return answer // nil after a broadcast
	}
	return passException(err).Answer(request[0])
}

// passException says in the words of Modbus why there is no answer.
func passException(err error) server.Exception {
	switch {
	case errors.Is(err, engine.ErrBusy):
		return server.DeviceBusy
	case errors.Is(err, engine.ErrOffline):
		return server.PathUnavailable
	case errors.Is(err, engine.ErrNoAnswer):
		return server.TargetFailed
	}
	return server.DeviceFailure
}

// Pass implements engine.Passer.
func (d driver) Pass(ctx context.Context, unit byte, request []byte) ([]byte, []engine.Place, error) {
	answer, touched, err := d.Driver.Pass(ctx, unit, request)
	var changed []engine.Place
	for _, t := range touched {
		changed = append(changed, engine.Place(t))
	}
	if errors.Is(err, modbus.ErrOffline) {
		err = fmt.Errorf("%w: %w", engine.ErrOffline, err)
	}
	return answer, changed, noAnswer(err)
}
