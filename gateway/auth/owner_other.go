//go:build !unix

package auth

import "io/fs"

// owner knows no owners here; files then belong to who writes them.
func owner(fs.FileInfo) (uid, gid int, known bool) { return 0, 0, false }
