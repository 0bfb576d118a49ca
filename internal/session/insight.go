package session

import (
	"github.com/gomemd/gomemd/internal/insight"
	"github.com/gomemd/gomemd/internal/stats"
	"github.com/gomemd/gomemd/protocol"
)

// What is found out by looking at some of what is served (internal/insight).

// Look reads what the loops have looked at. It is called every now and then, at each tick.
func (e *Env) Look() {
	if e.Insight == nil {
		return
	}
	sums := e.Sums()
	all := insight.Totals{
		Limit: e.Store.Limit(),
		Gets:  sums[stats.CmdGet] + sums[stats.CmdTouch],
		Hits:  sums[stats.GetHits] + sums[stats.TouchHits],
	}
	e.Insight.Drain(e.Clock.Now(), all, func(key []byte, share float64) {
		e.Say(HotKey, "one key takes %.0f %% of what an event loop serves, and all on that loop wait for it: %s\n",
			100*share, protocol.AppendURI(nil, key))
	})
}

// addSampled adds what is known of a sample of keys.
func (e *Env) addSampled(all *stats.Insight) {
	if e.Insight != nil {
		all.Curve, all.TTLHits = e.Insight.Look()
	}
}

// HotKeys are the keys that are asked for most.
func (e *Env) HotKeys() stats.HotKeys {
	if e.Insight == nil {
		return stats.HotKeys{}
	}
	return e.Insight.HotKeys(e.Clock.Unix)
}

// hotKeys serves stats hotkeys, or tells why not.
func (s *Session) hotKeys() protocol.Refusal {
	w := s.w
	if w.env.Rules.DisableDump {
		return protocol.HotKeysNotAllowed
	}
	w.turn.spend(shardsWork)
	hot := w.env.HotKeys()
	w.Out.buf = stats.AppendHotKeys(w.Out.buf, &hot)
	return protocol.None
}
