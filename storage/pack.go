package storage

import "encoding/binary"

// Values of lower-case hexadecimal digits, such as hashes, tokens and the passwords that SIP servers keep as ha1, are kept in half
// their room with Options.PackHex: two digits a byte. Nobody outside can tell, for other values are left as they are.
//
// Only lengths in whole eights are looked at, for eight digits are packed at once, and only some: a shorter value may be a number,
// which incr changes where it is, and of longer ones there are few.
const (
	packStep = 8
	packMin  = 24
	packMax  = 256

	eachByte = 0x0101010101010101
)

// pack packs a value into buf, if it is one that can be.
func pack(buf *[packMax / 2]byte, value []byte) (packed []byte, ok bool) {
	if len(value)%packStep != 0 || len(value) < packMin || len(value) > packMax {
		return nil, false
	}
	packed = buf[:len(value)/2]
	for i := 0; i < len(value); i += packStep {
		text := binary.LittleEndian.Uint64(value[i:])
		// The low half of a digit's byte, and 9 more for a letter. Whatever else comes out is not printed as it was.
		n := text&(0x0f*eachByte) + text>>6&eachByte*9
		if n&(0xf0*eachByte) != 0 || printed(n) != text {
			return nil, false
		}
		n = (n<<4 | n>>8) & 0x00ff00ff00ff00ff // a pair of digits in every other byte …
		n = (n | n>>8) & 0x0000ffff0000ffff
		n |= n >> 16 // … and now in the lower half
		binary.LittleEndian.PutUint32(packed[i/2:], uint32(n))
	}
	return packed, true
}

// unpack appends what was packed to dst.
func unpack(dst, packed []byte) []byte {
	for ; len(packed) > 0; packed = packed[packStep/2:] {
		n := uint64(binary.LittleEndian.Uint32(packed))
		n = (n | n<<16) & 0x0000ffff0000ffff
		n = (n | n<<8) & 0x00ff00ff00ff00ff
		dst = binary.LittleEndian.AppendUint64(dst, printed((n>>4|n<<8)&(0x0f*eachByte)))
	}
	return dst
}

// printed gives the eight digits whose values are the bytes of n.
func printed(n uint64) uint64 {
	letters := (n + 6*eachByte) >> 4 & eachByte // 1 where there is one
	return n + '0'*eachByte + letters*('a'-'0'-10)
}
