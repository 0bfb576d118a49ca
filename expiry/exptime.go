package expiry

// RelativeMax is the largest exptime, in seconds, that counts from now: 30 days. Anything above is a Unix time.
// Source: protocol.txt, "Expiration times".
const RelativeMax = 60 * 60 * 24 * 30

// Deadline turns an exptime as sent into the instant the item ends:
//
//	exptime               deadline
//	negative              Past     (not 0: that would mean never)
//	0                     Never
//	1 … RelativeMax       now + exptime
//	a Unix time           that second; Past when it was over before the server started
//
// The classic commands carry 32 bits, so the sum cannot leave an Instant's range.
func (c *Clock) Deadline(exptime int32) Instant {
	switch {
	case exptime < 0:
		return Past
	case exptime == 0:
		return Never
	case exptime <= RelativeMax:
		return c.Now() + Instant(exptime)
	case int64(exptime) <= c.zero:
		return Past
	default:
		return Instant(int64(exptime) - c.zero)
	}
}
