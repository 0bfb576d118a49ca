package conn

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gomemd/gomemd/storage"
)

// Large values are read from the socket to where they will lie, past gnet's buffer. However they
// are cut on their way, and whatever comes before and behind them, each is what was sent.
func TestLargeValuesAreStreamed(t *testing.T) {
	h := start(t, options{loops: 2, store: storage.Options{MemoryLimit: 64 << 20, ItemMax: 8 << 20}})
	draw := rand.New(rand.NewPCG(1, 2))
	letters := make([]byte, 6<<20)
	for i := range letters {
		letters[i] = byte('a' + draw.IntN(26))
	}
	source := string(letters)
	for _, pause := range []time.Duration{0, 200 * time.Microsecond} {
		t.Run(fmt.Sprint(pause), func(t *testing.T) {
			c := dial(t, h)
			for range 20 {
				var says, hears, gets, values strings.Builder
				for i := range 1 + draw.IntN(3) {
					n := 60_000 + draw.IntN(300_000)
					if draw.IntN(8) == 0 {
						n = 1<<20 + draw.IntN(4<<20) // more than one turn
					}
					value := source[draw.IntN(len(source)-n):][:n]
					fmt.Fprintf(&says, "set k%d 7 0 %d\r\n%s\r\n", i, n, value)
					hears.WriteString("STORED\r\n")
					fmt.Fprintf(&gets, "get k%d\r\n", i)
					fmt.Fprintf(&values, "VALUE k%d 7 %d\r\n%s\r\nEND\r\n", i, n, value)
					if draw.IntN(3) == 0 {
						fmt.Fprintf(&says, "add n%d 7 0 %d\r\n%s..mn\r\n", i, n, value)
						hears.WriteString("CLIENT_ERROR bad data chunk\r\nMN\r\n")
					}
				}
				go func() {
					for rest := says.String(); len(rest) > 0; {
						n := min(len(rest), 1+rand.IntN(100_000))
						_, _ = c.Write([]byte(rest[:n])) // hear tells if it failed
						rest = rest[n:]
						time.Sleep(pause)
					}
				}()
				c.hear(hears.String())
				c.say(gets.String())
				c.hear(values.String())
			}
		})
	}
}
