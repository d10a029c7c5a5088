package buffer_test

import (
	"github.com/tidegate/tidegate/bridge"
	"github.com/tidegate/tidegate/buffer"
	"github.com/tidegate/tidegate/localbroker"
)

// The buffer is what its consumers ask for, without knowing them.
var (
	_ localbroker.Store = (*buffer.Store)(nil)
	_ bridge.Queue      = (*buffer.Upstream)(nil)
)
