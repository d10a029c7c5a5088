package buffer

import (
	"log/slog"
	"time"
)

// Options say where the buffer lives and what it may take. Zero values get the defaults that are named here.
type Options struct {
	Path           string        // of the database file; its folder must exist
	CommitInterval time.Duration // how long a record that nobody waits for stays in memory alone; 1 s
	AckHold        time.Duration // how long a publisher waits for consumers that keep up, before the disk is asked; 50 ms
	MaxSize        int64         // bytes of the database and its log; 1 GiB

	// GroupRecords and GroupBytes bound what waits for its commit: beyond them the commit is due at once. 4096 records, 1 MiB. They
	// are well above what publishers with full windows have under way, so that consumers who keep up still spare the disk.
	GroupRecords int
	GroupBytes   int

	// PendingRecords and PendingBytes bound what waits in memory while the disk fails; beyond them the oldest records that nobody
	// waits for are dropped. 65536 records, 32 MiB.
	PendingRecords int
	PendingBytes   int

	// SessionLimits and UpstreamLimits hold for the queues of sessions and of upstreams, unless SetLimits says otherwise. None.
	SessionLimits  Limits
	UpstreamLimits Limits
	BlockHold      time.Duration // how long a publisher whose queue is full is left without an answer, with Block; 30 s

	// MinFree is how much of its disk the buffer leaves free: with less it grows no further. 64 MiB, or 5 % of the disk if that is less.
	MinFree   int64
	OrphanAge time.Duration // how long an upstream's queue is kept that the configuration no longer has; 168 h

	// ClockSynced reports whether the wall clock is known to be right; nil: always. It is asked about once a second at most, from within
	// the store's methods, so it must not call them. Nothing is dropped for its age while it says no.
	ClockSynced func() bool

	CacheBytes int // committed records kept in memory for the consumers that are online, all together; 8 MiB

	RefuseDamaged bool // Open fails with ErrDamaged where it would set a damaged file aside

	Logger *slog.Logger     // where to say what an operator should know; nowhere
	Now    func() time.Time // the clock; time.Now

	wall     func() time.Time                               // in tests, a wall clock apart from Now
	space    func(path string) (free, total int64, _ error) // in tests, another disk
	pageSize int64                                          // of a new file; in tests, that of an old one
}

func (o Options) withDefaults() Options {
	o.CommitInterval = orDefault(o.CommitInterval, time.Second)
	o.AckHold = orDefault(o.AckHold, 50*time.Millisecond)
	o.MaxSize = orDefault(o.MaxSize, 1<<30)
	o.GroupRecords = orDefault(o.GroupRecords, 4096)
	o.GroupBytes = orDefault(o.GroupBytes, 1<<20)
	o.PendingRecords = orDefault(o.PendingRecords, 65536)
	o.PendingBytes = orDefault(o.PendingBytes, 32<<20)
	o.CacheBytes = orDefault(o.CacheBytes, 8<<20)
	o.BlockHold = orDefault(o.BlockHold, 30*time.Second)
	o.OrphanAge = orDefault(o.OrphanAge, 168*time.Hour)
	o.pageSize = orDefault(o.pageSize, newPageSize)
	if o.ClockSynced == nil {
		o.ClockSynced = func() bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.space == nil {
		o.space = diskSpace
	}
	return o
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
