package gomemd

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gomemd/gomemd"

// arrows are the imports the packages may have, of each other and of other modules: the drawing in server/doc.go. Packages
// that are not listed (compat_test, bench) are users, and may import what they like.
var arrows = map[string][]string{
	"expiry":                {},
	"protocol":              {},
	"internal/invariants":   {},
	"internal/conversation": {},
	"internal/sched":        {"golang.org/x/sys/unix"},
	"internal/certs":        {},
	"internal/insight":      {"internal/stats", "expiry"},
	"internal/session":      {"internal/events", "internal/insight", "internal/stats", "protocol", "storage", "expiry"},
	"internal/linear":       {"github.com/anishathalye/porcupine"},
	"internal/stats":        {"protocol", "storage"},
	"internal/events":       {"internal/stats", "protocol", "storage", "expiry", "golang.org/x/sys/unix"},
	"storage":               {"expiry", "internal/invariants", "github.com/cespare/xxhash/v2", "golang.org/x/sys/unix"},
	"internal/conn": {"internal/session", "internal/sched", "internal/stats", "protocol", "expiry", "golang.org/x/sys/unix",
		"github.com/panjf2000/gnet/v2", "github.com/panjf2000/gnet/v2/pkg/logging", "github.com/panjf2000/gnet/v2/pkg/pool/goroutine"},
	"server": {"internal/conn", "internal/session", "internal/events", "internal/insight", "internal/stats", "internal/sched", "internal/certs",
		"storage", "expiry",
		"internal/invariants"},
	"internal/admin": {"internal/stats",
		"github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/promhttp",
		"github.com/prometheus/client_model/go", "github.com/prometheus/procfs"},
	"internal/asks":     {"github.com/spf13/pflag"},
	"internal/estimate": {"internal/asks", "storage", "expiry", "github.com/spf13/pflag"},
	"internal/top":      {"internal/asks", "charm.land/bubbletea/v2", "github.com/spf13/pflag", "golang.org/x/sys/unix"},
	"cmd/gomemd":        {"server", "internal/admin", "internal/top", "internal/estimate", "github.com/KimMachineGun/automemlimit/memlimit", "github.com/google/shlex", "github.com/spf13/pflag", "golang.org/x/sys/unix"},
}

// gnetFile is the one file that knows gnet.
const gnetFile = "internal/conn/loop.go"

func TestImportsFollowTheDrawing(t *testing.T) {
	for pkg, allowed := range arrows {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "./"+pkg).Output()
		if err != nil {
			t.Fatalf("go list ./%s: %v", pkg, err)
		}
		for _, imported := range strings.Fields(string(out)) {
			ours, isOurs := strings.CutPrefix(imported, module+"/")
			first, _, _ := strings.Cut(imported, "/")
			if !isOurs && !strings.Contains(first, ".") {
				continue // the standard library
			}
			if !slices.Contains(allowed, ours) && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports %s: no such arrow in server/doc.go", pkg, imported)
			}
		}
	}
}

func TestOneFileKnowsGnet(t *testing.T) {
	out, err := exec.Command("grep", "-rl", "--include=*.go", `"github.com/panjf2000/gnet`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range strings.Fields(string(out)) {
		if file != "./"+gnetFile && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s imports gnet", file)
		}
	}
}

// walkLine is a line of the walk in server/doc.go: maybe a word, a file, and functions in it.
var walkLine = regexp.MustCompile(`(?m)^//\t.*?([a-z]+(?:/[a-z]+)*\.go) +((?:\w+, )*\w+)  ?`)

// Whoever follows the walk finds every file and function that it names.
func TestTheWalkLeadsSomewhere(t *testing.T) {
	doc, err := os.ReadFile("server/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	functions := 0
	for _, m := range walkLine.FindAllStringSubmatch(string(doc), -1) {
		file, names := m[1], strings.Split(m[2], ", ")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range names {
			functions++
			if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + name + `[(\[]`).Match(text) {
				t.Errorf("there is no %s in %s", name, file)
			}
		}
	}
	if functions < 40 {
		t.Errorf("only %d functions are found in the walk", functions)
	}
}
