package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/tidegate/tidegate/drivers/bus/trace"
	"github.com/tidegate/tidegate/drivers/modbus"
	"github.com/tidegate/tidegate/gateway/config"
)

// Identity is what a device says of itself, or why it does not.
type Identity struct {
	Device string
	Says   []IdentityEntry
	Err    error
}

// IdentityEntry is one thing that a device says of itself, such as VendorName.
type IdentityEntry struct{ Name, Value string }

// IdentifyLevel is how much devices are asked to say.
type IdentifyLevel byte

// The levels of Modbus Application Protocol V1.1b3, 6.21: each has what the one before has, and devices tell as much as they know.
const (
	IdentifyBasic    IdentifyLevel = 1 // vendor, product code and revision
	IdentifyRegular  IdentifyLevel = 2 // and names for people
	IdentifyExtended IdentifyLevel = 3 // and what the maker likes
)

// Identify asks devices of a configuration what they are, all of them when none is named, and reports each as it ends. It opens the buses
// itself: the port of a gateway that runs is held by that one. The error wraps ErrNoDevice when it has no such device.
func Identify(ctx context.Context, cfg *config.Config, names []string, level IdentifyLevel, log *slog.Logger, report func(Identity)) error {
	wanted, err := namedDevices(cfg, names)
	if err != nil {
		return err
	}
	drivers, err := buses(cfg, log, func(string) func(trace.Exchange) { return nil })
	if err != nil {
		return err
	}
	var errs []error
	for _, b := range drivers {
		d := b.Driver.(driver)
		for i, info := range d.Driver.Devices() {
			if wanted[info.Name] && ctx.Err() == nil {
				report(d.identify(ctx, i, info.Name, level))
			}
		}
		errs = append(errs, d.Close())
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// ErrNoDevice is wrapped by the errors of Identify when it is asked for what is not in the configuration.
var ErrNoDevice = errors.New("no such device")

// namedDevices returns the set of the devices that are meant.
func namedDevices(cfg *config.Config, names []string) (map[string]bool, error) {
	all, wanted := map[string]bool{}, map[string]bool{}
	var list []string
	for _, d := range cfg.Devices {
		all[d.Name] = true
		list = append(list, d.Name)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: the configuration has no [[device]]", ErrNoDevice)
	}
	for _, name := range names {
		if !all[name] {
			return nil, fmt.Errorf("%w: %q is none of %s", ErrNoDevice, name, strings.Join(list, ", "))
		}
		wanted[name] = true
	}
	if len(names) == 0 {
		return all, nil
	}
	return wanted, nil
}

// identify asks one device.
func (d driver) identify(ctx context.Context, device int, name string, level IdentifyLevel) Identity {
	id, err := d.Driver.Identify(ctx, device, modbus.Level(level))
	out := Identity{Device: name, Err: err}
	for _, o := range id.Objects {
		out.Says = append(out.Says, IdentityEntry{Name: o.Name(), Value: o.Value})
	}
	return out
}
