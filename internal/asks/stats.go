package asks

import (
	"strconv"
	"strings"
)

// Stats are the STAT lines of one reply.
type Stats map[string]string

// Number is a whole number, 0 where there is none of that name, or it is no number.
func (s Stats) Number(name string) uint64 {
	n, _ := s.Find(name)
	return n
}

// Find is Number, and whether there is one.
func (s Stats) Find(name string) (uint64, bool) {
	n, err := strconv.ParseUint(s[name], 10, 64)
	return n, err == nil
}

// Float is a number with a point, and whether there is one.
func (s Stats) Float(name string) (float64, bool) {
	f, err := strconv.ParseFloat(s[name], 64)
	return f, err == nil
}

// Has tells whether there is a line of that name.
func (s Stats) Has(name string) bool {
	_, ok := s[name]
	return ok
}

// Classes are the lines of each slab class: those of `stats items`, whose names begin with
// "items:N:" (pass "items:"), or of `stats slabs`, where they begin with "N:" (pass "").
func (s Stats) Classes(prefix string) map[int]Stats {
	classes := make(map[int]Stats)
	for name, value := range s {
		rest, ok := strings.CutPrefix(name, prefix)
		number, field, cut := strings.Cut(rest, ":")
		n, err := strconv.Atoi(number)
		if !ok || !cut || err != nil || n < 0 {
			continue
		}
		if classes[n] == nil {
			classes[n] = make(Stats)
		}
		classes[n][field] = value
	}
	return classes
}

// Printable is text with all that is not printable ASCII escaped as Go and C do, so that a terminal
// takes no byte of it for an order. A backslash is doubled.
func Printable(text string) string {
	quoted := strconv.QuoteToASCII(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
