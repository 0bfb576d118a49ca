package top

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

// model is the state of the screen. Bubbletea calls Update and View from one goroutine.
type model struct {
	servers       []*history
	interval      time.Duration
	chosen        int // shown alone; -1: all are shown
	cursor        int // in the list of all
	scroll        int // lines of what does not fit
	paused        bool
	turn          int // of asking: ticks of another one are over
	width, height int
}

// sampled is what a server answered, in a turn.
type sampled struct {
	server, turn int
	sample       Sample
}

// due says that it is time to ask a server again.
type due struct{ server, turn int }

// Init asks all servers.
func (m *model) Init() tea.Cmd { return m.askAll() }

// askAll begins a turn.
func (m *model) askAll() tea.Cmd {
	m.turn++
	var all []tea.Cmd
	for i := range m.servers {
		if !m.servers[i].asking {
			all = append(all, m.ask(i))
		}
	}
	return tea.Batch(all...)
}

func (m *model) ask(server int) tea.Cmd {
	h, turn := m.servers[server], m.turn
	h.asking = true
	return func() tea.Msg { return sampled{server, turn, h.watch.ask(context.Background())} }
}

// wait asks a server again when the interval is over.
func (m *model) wait(server int) tea.Cmd {
	turn := m.turn
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return due{server, turn} })
}

// Update takes a key, an answer or the time.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case sampled:
		h := m.servers[msg.server]
		h.asking = false
		if !m.paused {
			h.take(msg.sample)
			return m, m.wait(msg.server)
		}
	case due:
		if h := m.servers[msg.server]; msg.turn == m.turn && !m.paused && !h.asking {
			return m, m.ask(msg.server)
		}
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

func (m *model) key(key string) tea.Cmd {
	switch key {
	case "q", "ctrl+c":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "p", "space":
		if m.paused = !m.paused; !m.paused {
			for _, h := range m.servers {
				h.gap = true // rates are not of all the time of the pause
			}
			return m.askAll()
		}
	case "+", "=", "-":
		return m.setInterval(key != "-")
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "enter":
		if m.chosen < 0 {
			m.chosen, m.scroll = m.cursor, 0
		}
	case "esc", "left", "backspace":
		if len(m.servers) > 1 {
			m.chosen, m.scroll = -1, 0
		}
	}
	return nil
}

// setInterval chooses the next longer or shorter one, and asks at once.
func (m *model) setInterval(longer bool) tea.Cmd {
	i, found := slices.BinarySearch(intervals, m.interval)
	switch {
	case longer && found:
		i++
	case !longer:
		i--
	}
	m.interval = intervals[min(max(i, 0), len(intervals)-1)]
	if m.paused {
		return nil
	}
	return m.askAll()
}

// move moves the cursor in the list, or scrolls.
func (m *model) move(by int) {
	if m.chosen < 0 {
		m.cursor = min(max(m.cursor+by, 0), len(m.servers)-1)
		return
	}
	m.scroll = max(m.scroll+by, 0)
}

// View draws the screen.
func (m *model) View() tea.View {
	var rows []string
	for _, l := range m.lines(m.width, m.height) {
		rows = append(rows, l.cut(m.width))
	}
	v := tea.NewView(strings.Join(rows, "\n"))
	v.AltScreen = true
	v.WindowTitle = "gomemd top"
	return v
}
