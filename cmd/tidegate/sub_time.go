package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/localbroker/packet"
)

// parseAt reads what follows an @: a conversion of strftime(3), in the C locale, or @ itself.
func parseAt(format string) (piece, string, error) {
	convert := conversion(format[0])
	if convert == nil {
		return nil, "", fmt.Errorf("@%c is unknown; there are the conversions of strftime, @N for nanoseconds, and @@", format[0])
	}
	return func(dst []byte, _ *packet.Publish, at time.Time) []byte { return append(dst, convert(at)...) }, format[1:], nil
}

// conversion returns what a letter stands for, nil if for nothing.
func conversion(letter byte) func(time.Time) string {
	if layout := layoutOf(letter); layout != "" {
		return func(t time.Time) string { return t.Format(layout) }
	}
	switch letter {
	case '@':
		return func(time.Time) string { return "@" }
	case 'n':
		return func(time.Time) string { return "\n" }
	case 't':
		return func(time.Time) string { return "\t" }
	case 'N':
		return func(t time.Time) string { return fmt.Sprintf("%09d", t.Nanosecond()) }
	case 's':
		return func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	case 'C':
		return func(t time.Time) string { return fmt.Sprintf("%02d", t.Year()/100) }
	case 'k':
		return func(t time.Time) string { return fmt.Sprintf("%2d", t.Hour()) }
	case 'l':
		return func(t time.Time) string { return fmt.Sprintf("%2d", (t.Hour()+11)%12+1) }
	case 'u':
		return func(t time.Time) string { return strconv.Itoa((int(t.Weekday())+6)%7 + 1) }
	case 'w':
		return func(t time.Time) string { return strconv.Itoa(int(t.Weekday())) }
	case 'G':
		return func(t time.Time) string { year, _ := t.ISOWeek(); return strconv.Itoa(year) }
	case 'V':
		return func(t time.Time) string { _, week := t.ISOWeek(); return fmt.Sprintf("%02d", week) }
	}
	return nil
}

// layoutOf returns the layout of package time that says the same as a conversion, "" if none does.
func layoutOf(letter byte) string {
	switch letter {
	case 'A':
		return "Monday"
	case 'a':
		return "Mon"
	case 'B':
		return "January"
	case 'b', 'h':
		return "Jan"
	case 'c':
		return "Mon Jan _2 15:04:05 2006"
	case 'D', 'x':
		return "01/02/06"
	case 'd':
		return "02"
	case 'e':
		return "_2"
	case 'F':
		return "2006-01-02"
	case 'H':
		return "15"
	case 'I':
		return "03"
	case 'j':
		return "002"
	case 'M':
		return "04"
	case 'm':
		return "01"
	case 'p':
		return "PM"
	case 'R':
		return "15:04"
	case 'r':
		return "03:04:05 PM"
	case 'S':
		return "05"
	case 'T', 'X':
		return "15:04:05"
	case 'Y':
		return "2006"
	case 'y':
		return "06"
	case 'Z':
		return "MST"
	case 'z':
		return "-0700"
	}
	return ""
}
