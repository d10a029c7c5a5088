package app

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram removes the pages of the program's own code and constants from the process (madvise(2), MADV_DONTNEED). They stay in the
// kernel's cache, and those that are used come back from there one by one, as they came at first: about a fifth. The rest belonged to the
// start, and would otherwise count as used by this process for as long as it runs. It returns how much was mapped.
func unmapProgram() (bytes uint64, err error) {
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	areas, err := programAreas(f, name)
	if err != nil {
		return 0, fmt.Errorf("read smaps: %w", err)
	}
	for _, a := range areas {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(a.start), uintptr(a.end-a.start), unix.MADV_DONTNEED); errno != 0 {
			return bytes, os.NewSyscallError("madvise", errno)
		}
		bytes += a.resident
	}
	return bytes, nil
}

// area is a part of the address space that shows a file.
type area struct {
	start, end uint64
	resident   uint64 // bytes
	name       string
	constant   bool // nobody may write to it, and nobody has
}

// programAreas finds the parts of a process's memory that show the program's file as it is: nothing in them can be lost. smaps is described
// in proc_pid_smaps(5).
func programAreas(smaps io.Reader, program string) (areas []area, err error) {
	var a area
	keep := func() {
		if a.constant && a.name == program {
			areas = append(areas, a)
		}
	}
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 0:
		case !strings.HasSuffix(fields[0], ":"):
			keep()
			if a, err = parseArea(fields); err != nil {
				return nil, err
			}
		case fields[0] == "Rss:":
			a.resident = kilobytes(fields)
		case fields[0] == "Anonymous:":
			a.constant = a.constant && kilobytes(fields) == 0
		}
	}
	keep()
	return areas, lines.Err()
}

// parseArea reads the first line of an area: "start-end perms offset dev inode name".
func parseArea(fields []string) (a area, err error) {
	if _, err := fmt.Sscanf(fields[0], "%x-%x", &a.start, &a.end); err != nil {
		return area{}, fmt.Errorf("area %q: %w", fields[0], err)
	}
	if len(fields) == 6 {
		a.name = fields[5]
		a.constant = fields[1] == "r-xp" || fields[1] == "r--p"
	}
	return a, nil
}

// kilobytes returns the number of "Name: n kB" in bytes.
func kilobytes(fields []string) uint64 {
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(fields[1], 10, 64)
	return n << 10
}
