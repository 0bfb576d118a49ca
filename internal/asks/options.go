package asks

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Options are those of every command that asks servers. A password is never on a command line,
// where everybody on the machine can read it.
type Options struct {
	tls      bool
	ca       string
	user     string
	password string // a file
	timeout  time.Duration
}

// PasswordVariable of the environment has the password, unless --password-file is given.
const PasswordVariable = "GOMEMD_PASSWORD"

// Add makes a set of flags know them.
func (o *Options) Add(set *pflag.FlagSet) {
	set.BoolVar(&o.tls, "tls", false, "encrypt the connection")
	set.StringVar(&o.ca, "ca", "", "`file` (PEM) with who signed the server's certificate (default: the system's)")
	set.StringVar(&o.user, "user", "", "log in as `name` (-Y); the password is in "+PasswordVariable+" or a file")
	set.StringVar(&o.password, "password-file", "", "`file` whose first line is the password")
	set.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait for each answer")
}

// Where makes of them how to reach a server.
func (o *Options) Where(addr string) (Where, error) {
	w := Where{Addr: addr, User: o.user, Patience: o.timeout}
	if o.timeout <= 0 {
		return w, errors.New("--timeout must be more than 0")
	}
	if o.tls || o.ca != "" {
		config, err := TLSConfig(o.ca)
		if err != nil {
			return w, err
		}
		w.TLS = config
	}
	if o.user == "" {
		return w, nil
	}
	w.Password = os.Getenv(PasswordVariable)
	if o.password != "" {
		text, err := os.ReadFile(o.password)
		if err != nil {
			return w, err
		}
		w.Password, _, _ = strings.Cut(string(text), "\n")
		w.Password = strings.TrimSuffix(w.Password, "\r")
	}
	if w.Password == "" || strings.ContainsAny(o.user, " \r\n") {
		return w, errors.New("--user needs a name without blanks, and a password in " + PasswordVariable + " or --password-file")
	}
	return w, nil
}
