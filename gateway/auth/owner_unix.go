//go:build unix

package auth

import (
	"io/fs"
	"syscall"
)

// owner returns the user and group that a file belongs to.
func owner(info fs.FileInfo) (uid, gid int, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
