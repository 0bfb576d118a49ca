package conn

import (
	"testing"
	"unsafe"
)

// Every request asks whether memory is short; it does not wait for the cache line on which somebody
// counts it.
func TestWhatEveryRequestReadsIsNotBesideWhatIsCounted(t *testing.T) {
	var cs Conns
	tight := unsafe.Offsetof(cs.budget) + unsafe.Offsetof(cs.budget.tight)
	for name, at := range map[string]uintptr{
		"budget.mu":   unsafe.Offsetof(cs.budget) + unsafe.Offsetof(cs.budget.mu),
		"budget.peak": unsafe.Offsetof(cs.budget) + unsafe.Offsetof(cs.budget.peak),
		"current":     unsafe.Offsetof(cs.current),
		"sending":     unsafe.Offsetof(cs.sending),
		"mu":          unsafe.Offsetof(cs.mu),
		"calling":     unsafe.Offsetof(cs.calling),
	} {
		if at < tight+128 {
			t.Errorf("Conns.%s is at byte %d, less than two cache lines behind budget.tight at %d", name, at, tight)
		}
	}
}
