package localbroker

import (
	"syscall"
	"testing"
	"time"
)

// paced gives the pace so many reads, each so long after the one before, and returns what the last one says.
func paced(p *pace, reads int, every time.Duration) (d time.Duration, ok bool) {
	now := time.Unix(0, 0)
	for range reads {
		d, ok = p.took(normalPacing().reads, now)
		now = now.Add(every)
	}
	return d, ok
}

// How long a number of reads took is told with the last of them, and counted anew from there.
func TestPaceTellsHowLongReadsTook(t *testing.T) {
	var p pace
	n := normalPacing().reads
	for round := range 3 {
		if _, ok := paced(&p, n, time.Millisecond); ok {
			t.Errorf("round %d: told after %d reads, which leave one time less between them", round, n)
		}
		p = pace{}
		if d, ok := paced(&p, n+1, time.Millisecond); !ok || d != time.Duration(n)*time.Millisecond {
			t.Errorf("round %d: %v, %v, want %v", round, d, ok, time.Duration(n)*time.Millisecond)
		}
	}
}

// Who becomes attended does not lose that at the same pace.
func TestPacingHasASpan(t *testing.T) {
	if p := normalPacing(); p.slow <= p.fast {
		t.Errorf("slow from %v on, and fast up to %v: a connection between them would come and go", p.slow, p.fast)
	}
}

// An attendant that is at work for more than a quarter of the time takes nobody for a while, and then it does.
func TestAnAttendantKnowsWhenItHasTooMuchToDo(t *testing.T) {
	var a attendant
	now := time.Unix(1000, 0)
	round := func(work, pause time.Duration) (tooMuch bool) {
		tooMuch = a.work.tooMuch(now)
		a.work.spent += work
		now = now.Add(work + pause)
		return tooMuch
	}
	for range 1000 {
		if round(time.Millisecond, 4*time.Millisecond) || a.busy(now) {
			t.Fatal("a fifth of the time is too much")
		}
	}
	rounds := 0
	for ; !round(2*time.Millisecond, 3*time.Millisecond); rounds++ {
		if rounds > 100 {
			t.Fatal("two fifths of the time are not too much")
		}
	}
	if !a.busy(now) {
		t.Error("it has too much to do, and still takes more")
	}
	now = now.Add(busyRest)
	if a.busy(now) || round(0, 0) {
		t.Error("it takes nobody when it has rested")
	}
}

// Whose time is over when it takes its seat, before it is attended, is looked at again.
func TestWhoIsAboutToBeAttendedIsNotForgotten(t *testing.T) {
	a := newAttendant(t.Context(), nil)
	if !a.open() {
		t.Fatal("there is no epoll instance")
	}
	defer a.close()
	now := time.Now()
	c := &conn{heard: now.Add(-time.Minute), idle: time.Second}
	a.sit(c)
	if got := a.silent(now); len(got) != 0 || !a.look.Equal(now.Add(lookTime)) {
		t.Errorf("%d are silent, and next looked at is at %v, want none, and after %v", len(got), a.look.Sub(now), lookTime)
	}
	c.reads.Store(readsAttended)
	if got := a.silent(now); len(got) != 1 || got[0].c != c {
		t.Errorf("%d are silent, want the one", len(got))
	}
}

// An event may be older than who has the seat now.
func TestAnOldEventIsNotOfWhoHasTheSeatNow(t *testing.T) {
	a := newAttendant(t.Context(), nil)
	if !a.open() {
		t.Fatal("there is no epoll instance")
	}
	defer a.close()
	before, _ := wired(t)
	after, _ := wired(t)
	old := *a.sit(before)
	a.leave(before)
	e := *a.sit(after)
	after.reads.Store(readsAttended)
	if old.Fd != e.Fd {
		t.Fatalf("the seats are %d and %d, want one that is used again", old.Fd, e.Fd)
	}
	if a.find([]syscall.EpollEvent{old}, time.Now()); len(a.round) != 0 {
		t.Error("somebody else's event is taken for that of who has the seat now")
	}
	if a.find([]syscall.EpollEvent{e}, time.Now()); len(a.round) != 1 || a.round[0].c != after {
		t.Errorf("%d have something, want the one", len(a.round))
	}
}
