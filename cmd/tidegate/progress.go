package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress shows how far long work is: a bar on a terminal, a line now and then elsewhere. What is quick shows nothing.
type progress struct {
	w        io.Writer
	work     string
	terminal bool
	next     time.Time
	drawn    bool
}

// How often it shows something.
const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 30
)

func newProgress(w io.Writer, work string) *progress {
	p := &progress{w: w, work: work, terminal: isTerminal(w)}
	p.next = time.Now().Add(p.every())
	return p
}

func (p *progress) every() time.Duration {
	if p.terminal {
		return barEvery
	}
	return lineEvery
}

// tell shows that done of total is done, unless it has just shown something.
func (p *progress) tell(done, total int64) {
	now := time.Now()
	if now.Before(p.next) || total <= 0 {
		return
	}
	p.next = now.Add(p.every())
	text := fmt.Sprintf("%s: %d of %d (%d %%)", p.work, done, total, done*100/total)
	if !p.terminal {
		fmt.Fprintln(p.w, text)
		return
	}
	full := int(done * barWidth / total)
	fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), text)
	p.drawn = true
}

// end removes the bar.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
