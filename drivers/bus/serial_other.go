//go:build !linux

package bus

import (
	"context"
	"errors"
)

// newSerialOpener refuses: serial ports are served on Linux, where the gateway runs.
func newSerialOpener(path string, _ Mode, _ RS485) func(context.Context) (link, error) {
	return func(context.Context) (link, error) {
		return nil, errors.New("open " + path + ": serial ports need Linux")
	}
}

// sharpen has nothing to do where no serial line is served.
func sharpen() (restore func()) { return func() {} }
