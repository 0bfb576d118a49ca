package top

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// style is how a piece of text looks. Bubbletea leaves out what the terminal cannot do, and colours
// where NO_COLOR says so.
type style string

const (
	normal  style = ""
	bold    style = "1"
	reverse style = "7"
	good    style = "32"
	warning style = "33"
	bad     style = "31"
)

// A piece of a line is printable ASCII: what servers say has been through asks.Printable, so a byte
// is a column, and no byte is an order to the terminal.
type piece struct {
	text  string
	style style
}

type line []piece

func text(format string, args ...any) line { return styled(normal, format, args...) }

func styled(s style, format string, args ...any) line { return line{{fmt.Sprintf(format, args...), s}} }

func (l line) plus(more ...line) line {
	for _, m := range more {
		l = append(l, m...)
	}
	return l
}

// plain is the line without styles, and blanks at its end.
func (l line) plain() string {
	var b strings.Builder
	for _, p := range l {
		b.WriteString(p.text)
	}
	return strings.TrimRight(b.String(), " ")
}

// cut is the line as a terminal takes it, in at most so many columns.
func (l line) cut(width int) string {
	var b strings.Builder
	for _, p := range l {
		if width <= 0 {
			break
		}
		s := p.text[:min(len(p.text), width)]
		width -= len(s)
		if p.style == normal {
			b.WriteString(s)
		} else {
			b.WriteString("\x1b[" + string(p.style) + "m" + s + "\x1b[m")
		}
	}
	return b.String()
}

// unknown is printed for what is not known.
const unknown = "-"

// as prints a number, or that it is not known.
func (n number) as(format func(float64) string) string {
	if !n.known {
		return unknown
	}
	return format(n.value)
}

// short prints a count with up to four digits: 9.5, 123, 9,999, 12.3k, 4.56M.
func short(v float64) string {
	switch {
	case v < 9.95 && v != math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v < 9999.5:
		return grouped(v)
	}
	for _, unit := range []string{"k", "M", "G", "T", "P"} {
		if v /= 1000; v < 999.5 {
			return digits(v) + unit
		}
	}
	return digits(v) + "P"
}

// digits prints three of them.
func digits(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// grouped prints a whole number with commas.
func grouped(v float64) string {
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size prints bytes.
func size(v float64) string {
	if v < 999.5 {
		return strconv.FormatFloat(v, 'f', 0, 64) + " B"
	}
	for _, unit := range []string{" KiB", " MiB", " GiB", " TiB"} {
		if v /= 1024; v < 999.5 {
			return digits(v) + unit
		}
	}
	return digits(v/1024) + " PiB"
}

func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) + " %" }

// span prints seconds by their two largest units.
func span(seconds float64) string {
	d := time.Duration(seconds) * time.Second
	switch day := 24 * time.Hour; {
	case d >= day:
		return fmt.Sprintf("%dd %dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// bar draws a part of 1.
func bar(part float64, width int) line {
	part = min(max(part, 0), 1)
	full := int(math.Round(part * float64(width)))
	s := good
	if part > 0.98 {
		s = warning
	}
	return text("[").plus(styled(s, "%s", strings.Repeat("|", full)), text("%s]", strings.Repeat(".", width-full)))
}
