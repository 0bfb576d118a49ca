package stats

import "github.com/gomemd/gomemd/protocol"

// Prefix is what is held under keys that begin alike, up to the first delimiter (-D).
type Prefix struct {
	Kind    PrefixKind
	Name    []byte // with the delimiter at its end
	Items   uint64
	Bytes   uint64 // of keys and values
	Fetched uint64 // of the items, those that were read since they were stored
}

// PrefixKind says which keys a Prefix is of.
type PrefixKind uint8

// The kinds.
const (
	Named       PrefixKind = iota // those that begin with Name
	Undelimited                   // those without a delimiter
	OtherNames                    // those of further prefixes, summed up
)

// AppendPrefixes is `stats prefixes`, without END.
func AppendPrefixes(out []byte, all []Prefix, delimiter byte) []byte {
	for i := range all {
		p := &all[i]
		out = protocol.AppendPrefixHeld(out, p.shown(delimiter), p.Items, p.Bytes, p.Fetched)
	}
	return out
}

// shown is a prefix as it can stand in a line. All names end with the delimiter, but for those of
// what has none.
func (p *Prefix) shown(delimiter byte) string {
	names := [...]string{Undelimited: "(none)", OtherNames: "(others)"}
	if delimiter == ')' {
		names = [...]string{Undelimited: "[none]", OtherNames: "[others]"}
	}
	switch {
	case p.Kind != Named:
		return names[p.Kind]
	case protocol.Nameable(p.Name):
		return string(p.Name)
	}
	return string(protocol.AppendURI(nil, p.Name))
}
