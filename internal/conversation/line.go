package conversation

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A line is what one side says in one go, with its line end: literal texts, and holes between them.
type line struct {
	number int // in the file
	pieces []piece
	goesOn bool // said: the line has no end, and is sent before the next one
}

// A piece is a text or a hole.
type piece struct {
	text []byte
	hole string // its name, when there is no text
}

const crlf = "\r\n"

// runMax bounds a run, so that a slip of the finger does not eat the machine's memory.
const runMax = 64 << 20

// parseLine reads the text of a said or heard line.
func parseLine(number int, text string) (line, error) {
	l := line{number: number}
	if text != strings.TrimRight(text, " \t") {
		return l, errors.New(`a blank at the end cannot be seen: write \x20`)
	}
	if body, ok := cutLoneBackslash(text); ok {
		l.goesOn = true
		text = body
	}
	var err error
	if l.pieces, err = parsePieces(text); err != nil {
		return l, err
	}
	if !l.goesOn {
		l.append(piece{text: []byte(crlf)})
	}
	return l, nil
}

// cutLoneBackslash removes a final backslash that escapes nothing. Two of them are the escape of one.
func cutLoneBackslash(text string) (string, bool) {
	trimmed := strings.TrimRight(text, `\`)
	if (len(text)-len(trimmed))%2 == 0 {
		return text, false
	}
	return text[:len(text)-1], true
}

// append adds a piece, and joins texts that touch, so that a mismatch shows all of the text it is in.
func (l *line) append(p piece) { l.pieces = appendPiece(l.pieces, p) }

func appendPiece(pieces []piece, p piece) []piece {
	if last := len(pieces) - 1; last >= 0 && p.hole == "" && pieces[last].hole == "" {
		pieces[last].text = append(pieces[last].text, p.text...)
		return pieces
	}
	return append(pieces, p)
}

func parsePieces(text string) ([]piece, error) {
	var pieces []piece
	for text != "" {
		p, rest, err := parsePiece(text)
		if err != nil {
			return nil, err
		}
		pieces = appendPiece(pieces, p)
		text = rest
	}
	return pieces, nil
}

// parsePiece reads what text begins with: a byte, an escape, a run or a hole.
func parsePiece(text string) (p piece, rest string, err error) {
	switch text[0] {
	case '\\':
		b, rest, err := unescape(text)
		return piece{text: []byte{b}}, rest, err
	case '{':
		end := closingBrace(text)
		if end < 0 {
			return p, "", fmt.Errorf(`{ without }: write \{ for the brace itself`)
		}
		p, err = parseBraces(text[1:end])
		return p, text[end+1:], err
	case '}':
		return p, "", fmt.Errorf(`} without {: write \} for the brace itself`)
	}
	return piece{text: []byte{text[0]}}, text[1:], nil
}

func closingBrace(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '}':
			return i
		}
	}
	return -1
}

// parseBraces reads what stands between braces. A star makes it a run.
func parseBraces(body string) (piece, error) {
	star := strings.LastIndexByte(body, '*')
	if star < 0 {
		if !isName(body) {
			return piece{}, fmt.Errorf("{%s} is neither a hole nor a run", body)
		}
		return piece{hole: body}, nil
	}
	times, err := strconv.Atoi(body[star+1:])
	if err != nil || times < 1 {
		return piece{}, fmt.Errorf("{%s}: how many times?", body)
	}
	text, err := repeat(body[:star], times)
	return piece{text: text}, err
}

// repeat writes a run out. Its text may hold escapes, and # for the number of the repetition.
func repeat(body string, times int) ([]byte, error) {
	if times > runMax/max(1, len(body)) {
		return nil, fmt.Errorf("a run of more than %d bytes", runMax)
	}
	var parts [][]byte // the texts between the #s
	part := []byte{}
	for body != "" {
		switch body[0] {
		case '#':
			parts, part = append(parts, part), []byte{}
			body = body[1:]
		case '\\':
			b, rest, err := unescape(body)
			if err != nil {
				return nil, err
			}
			part, body = append(part, b), rest
		default:
			part, body = append(part, body[0]), body[1:]
		}
	}
	if len(parts) == 0 {
		return bytes.Repeat(part, times), nil
	}
	parts = append(parts, part)

	var out []byte
	for i := 1; i <= times; i++ {
		out = append(out, bytes.Join(parts, strconv.AppendInt(nil, int64(i), 10))...)
	}
	return out, nil
}

// unescape reads the escape that text begins with.
func unescape(text string) (b byte, rest string, err error) {
	if len(text) < 2 {
		return 0, "", errors.New(`\ at the end of a run`)
	}
	switch text[1] {
	case 'r':
		return '\r', text[2:], nil
	case 'n':
		return '\n', text[2:], nil
	case 't':
		return '\t', text[2:], nil
	case '\\', '{', '}':
		return text[1], text[2:], nil
	case 'x':
		if len(text) >= 4 {
			if n, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
				return byte(n), text[4:], nil
			}
		}
		return 0, "", fmt.Errorf(`\x wants two hex digits`)
	}
	return 0, "", fmt.Errorf(`\%c is no escape`, text[1])
}

// isName tells names of clients and holes: letters and digits, a letter first.
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		letter := s[i] >= 'a' && s[i] <= 'z'
		digit := s[i] >= '0' && s[i] <= '9'
		if !letter && (!digit || i == 0) {
			return false
		}
	}
	return s != ""
}

// writeOut is the inverse of parseLine, for bytes that were heard: the lines that, read again, stand for them.
func writeOut(heard []byte) []string {
	var lines []string
	for len(heard) > 0 {
		end := bytes.Index(heard, []byte(crlf))
		if end < 0 {
			return append(lines, escape(heard)+`\`)
		}
		text := escape(heard[:end])
		if text == "?" {
			text = `\x3f` // or it would be taken for a draft
		}
		lines = append(lines, text)
		heard = heard[end+len(crlf):]
	}
	return lines
}

// runWorthIt is the length from which equal bytes are easier to read as a run.
const runWorthIt = 24

func escape(text []byte) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		n := 1
		for i+n < len(text) && text[i+n] == text[i] {
			n++
		}
		if n >= runWorthIt {
			fmt.Fprintf(&out, "{%s*%d}", escapeByte(text[i], true), n)
		} else {
			out.WriteString(strings.Repeat(escapeByte(text[i], false), n))
		}
		i += n
	}
	if s := out.String(); strings.HasSuffix(s, " ") {
		return s[:len(s)-1] + `\x20`
	}
	return out.String()
}

func escapeByte(b byte, inRun bool) string {
	switch {
	case b == '\r':
		return `\r`
	case b == '\n':
		return `\n`
	case b == '\t':
		return `\t`
	case b == '\\' || b == '{' || b == '}':
		return `\` + string(rune(b))
	case b < ' ' || b > '~' || inRun && b == '#':
		return fmt.Sprintf(`\x%02x`, b)
	}
	return string(rune(b))
}
