package session

import (
	"fmt"
	"strings"
	"testing"
)

// A set that finds no room takes the old value along, as in memcached: the client believes that it
// is replaced. Whatever else is refused leaves what there is.
func TestWhatIsRefusedStays(t *testing.T) {
	for line, stays := range map[string]bool{
		"set k 0 0 N":     false,
		"ms k N":          false,
		"append k 0 0 N":  true,
		"prepend k 0 0 N": true,
		"replace k 0 0 N": true,
		"ms k N MA":       true,
		"ms k N MP":       true,
		"ms k N MR":       true,
		"ms k N CU":       true,
		"cas k 0 0 N U":   true,
	} {
		t.Run(line, func(t *testing.T) {
			v := newFixture(t, options{MemoryLimit: 1 << 20, DisableEviction: true}).client()
			v.say("set k 0 0 5\r\nvalue\r\n")
			var unique int
			if _, err := fmt.Sscanf(v.say("gets k\r\n"), "VALUE k 0 5 %d", &unique); err != nil {
				t.Fatal(err)
			}
			for i := 0; ; i++ {
				said := v.say(fmt.Sprintf("set fill%d 0 0 1000\r\n%01000d\r\n", i, i))
				if strings.HasPrefix(said, "SERVER_ERROR") {
					break
				}
			}
			command := strings.NewReplacer("N", "40000", "U", fmt.Sprint(unique)).Replace(line)
			said := v.say(command + "\r\n" + strings.Repeat("y", 40_000) + "\r\n")
			if !strings.HasPrefix(said, "SERVER_ERROR out of memory") {
				t.Fatalf("%.80q", said)
			}
			want := "END\r\n"
			if stays {
				want = "VALUE k 0 5\r\nvalue\r\n" + want
			}
			if said := v.say("get k\r\n"); said != want {
				t.Errorf("%q instead of %q", said, want)
			}
		})
	}
}
