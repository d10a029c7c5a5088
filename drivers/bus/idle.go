package bus

import "time"

// rest starts the time after which a connection that is not used is closed. Its caller holds the turn.
func (b *Bus) rest() {
	if b.opts.IdleClose == 0 || b.line || b.link == nil {
		return
	}
	b.used = time.Now()
	if b.idle == nil {
		b.idle = time.AfterFunc(b.opts.IdleClose, b.closeIdle)
		return
	}
	b.idle.Reset(b.opts.IdleClose)
}

// closeIdle closes a connection that was not used for so long, for devices that serve one client at a time. A conversation that
// takes place starts the time anew when it ends.
func (b *Bus) closeIdle() {
	select {
	case b.turn <- struct{}{}:
	default:
		return
	}
	var err error
	defer func() { <-b.turn }()
	defer b.contain(&err)
	if b.link == nil || time.Since(b.used) < b.opts.IdleClose {
		return
	}
	_ = b.drop() // what closing says does not matter
	b.opts.Log.Debug("idle connection closed", "where", b.where)
}
