package session

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/gomemd/gomemd/storage"
)

// Whatever is sent when, what Keep has kept is the rest of the replies, to the last byte, and
// nothing stays pinned after it.
func TestUnsentIsTheRest(t *testing.T) {
	p := newFixture(t, options{})
	draw := rand.New(rand.NewPCG(1, 1))
	store, out := p.env.Store, &p.w.Out
	out.Pins = true
	for i := range 40 {
		value := bytes.Repeat([]byte{byte('a' + i%26)}, []int{10, pinMin, 70_000, 300_000}[i%4])
		key := []byte{byte('A' + i)}
		if got := store.Put(store.Hash(key), storage.Set, &storage.Item{Key: key, Value: value}); got != storage.Stored {
			t.Fatal(got)
		}
	}
	for round := range 200 {
		for range 1 + draw.IntN(8) {
			key := []byte{byte('A' + draw.IntN(40))}
			store.View(store.Hash(key), key, p.w.appendValue)
		}
		all := bytes.Join(out.Parts(), nil)
		sent := draw.IntN(len(all))
		if round%10 == 0 {
			sent = 0
		}
		u := out.Keep(sent)
		if out.Pending() != 0 {
			t.Fatal("Keep has left something")
		}
		for sent < len(all) {
			if got := bytes.Join(u.Parts(), nil); !bytes.Equal(got, all[sent:]) || u.Bytes() != len(got) {
				t.Fatalf("round %d, after %d of %d: %d bytes, it says %d", round, sent, len(all), len(got), u.Bytes())
			}
			if draw.IntN(20) == 0 {
				if u.Copy(); u.Pinned() != 0 {
					t.Fatal("pinned after Copy")
				}
			}
			n := min(1+draw.IntN(200_000), len(all)-sent)
			u.Sent(n)
			sent += n
		}
		u.Release()
		if u.Bytes() != 0 || u.Pinned() != 0 {
			t.Fatalf("left: %d bytes, %d pinned", u.Bytes(), u.Pinned())
		}
	}
}
