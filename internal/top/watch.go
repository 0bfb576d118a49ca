package top

import (
	"context"
	"errors"
	"time"

	"github.com/gomemd/gomemd/internal/asks"
)

// Sample is what a server told at one moment, or why it did not. Answers that it has none of are nil.
type Sample struct {
	At      time.Time
	Err     error
	General asks.Stats // stats
	Items   asks.Stats // stats items
	Slabs   asks.Stats // stats slabs
	Own     asks.Stats // stats gomemd
	Hot     asks.Stats // stats hotkeys
}

// ours tells whether the server is gomemd.
func (s *Sample) ours() bool { return s.Own.Has("memory_items") }

// Pauses before a server that is gone is tried again: doubled each time.
const (
	pauseLeast = time.Second
	pauseMost  = 15 * time.Second
)

// watch asks one server. It is used by one goroutine at a time.
type watch struct {
	where   asks.Where
	client  *asks.Client
	refused map[string]bool // questions that this connection's server does not answer
	err     error           // why there is no client
	pause   time.Duration
	retryAt time.Time
}

// ask gets a sample. While a server is gone and it is not time to try again, it gives the reason
// once more.
func (w *watch) ask(ctx context.Context) Sample {
	if w.client == nil {
		if time.Now().Before(w.retryAt) {
			return Sample{At: time.Now(), Err: w.err}
		}
		client, err := asks.Dial(ctx, w.where)
		if err != nil {
			return w.gone(err)
		}
		w.client, w.refused = client, make(map[string]bool)
	}
	s := Sample{}
	var err error
	if s.General, err = w.client.Stats(""); err != nil {
		return w.gone(err)
	}
	s.At = time.Now()
	w.pause = 0
	for _, q := range []struct {
		words string
		to    *asks.Stats
	}{{"items", &s.Items}, {"slabs", &s.Slabs}, {"gomemd", &s.Own}, {"hotkeys", &s.Hot}} {
		if w.refused[q.words] || q.words == "hotkeys" && !s.ours() {
			continue
		}
		switch *q.to, err = w.client.Stats(q.words); {
		case errors.Is(err, asks.ErrRefused):
			w.refused[q.words] = true
		case err != nil:
			w.refused[q.words] = true // it hangs up on the question: what it told before is still a sample
			w.client.Close()
			w.client = nil
			if client, err := asks.Dial(ctx, w.where); err == nil {
				w.client = client
				continue
			}
			return s
		}
	}
	return s
}

// gone notes that the server cannot be asked, and when to try again.
func (w *watch) gone(err error) Sample {
	if w.client != nil {
		w.client.Close()
		w.client = nil
	}
	w.pause = min(max(pauseLeast, 2*w.pause), pauseMost)
	w.err, w.retryAt = err, time.Now().Add(w.pause)
	return Sample{At: time.Now(), Err: err}
}
