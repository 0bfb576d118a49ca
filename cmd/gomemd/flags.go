package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/gomemd/gomemd/internal/admin"
	"github.com/gomemd/gomemd/server"
)

// config is a command line, understood.
type config struct {
	opts server.Options // Listen is filled in by addresses, when it is time to listen

	portGiven       bool
	protocolGiven   bool
	inter           []string // each -l
	user            string
	pidfile         string
	daemon, cores   bool
	drainTimeout    time.Duration
	memoryTotal     int64 // bytes; 0: no bound
	memoryGiven     bool
	spareMemory     int64 // what the system's limits leave beside -m; 0: there are none
	napiIDs         int
	lru             lru
	encryption      encryption
	admin           admin.Options // of no listener without Addr
	healthcheck     bool          // do that and no more …
	healthcheckAddr string        // … of this listener, "" being that of admin
	reading         bool          // a file of --config

	warnings []string // to be printed before anything else
	noops    []string // options that are accepted and change nothing
	page     string   // what -h, -i or -V show
}

func newConfig() *config {
	c := &config{lru: defaultLRU, drainTimeout: 5 * time.Second}
	c.opts.MaxConns = 1024
	c.opts.Loops = 4
	c.opts.MemoryLimit = 64 << 20
	c.opts.ItemMax = 1 << 20
	c.opts.Settings.Port = 11211
	return c
}

func (c *config) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// option is one row of the table: memcached's letter and long name, what -h says, what it does.
type option struct {
	letter string
	long   string
	arg    string // how -h calls the value; "" when there is none
	help   string // "" keeps it out of -h
	set    func(c *config, value string) error
}

// options, in memcached's order of -h. Those without a letter are ours alone, and are not abbreviated: what begins like one of
// them means memcached's. A row is all there is to an option: parsing, abbreviating and -h read the table.
var options = []option{
	{"p", "port", "num", "TCP port to listen on (default: 11211)", setPort},
	{"U", "udp-port", "num", "UDP port to listen on (default: 0, off); anybody may write\nanybody's address on a datagram, so keep it off the internet", setUDPPort},
	{"s", "unix-socket", "file", "UNIX socket to listen on; alone it turns TCP off,\nwith -p or -l both are served",
		setUnixSocket},
	{"a", "unix-mask", "mask", "access mask for UNIX socket, in octal (default: 700)", setUnixMask},
	{"A", "enable-shutdown", "", "enable the \"shutdown\" command", on(func(c *config) *bool { return &c.opts.EnableShutdown })},
	{"l", "listen", "addr", "interface to listen on (default: all, IPv4 and IPv6);\n" +
		"may be repeated, or a list: 127.0.0.1,[::1]:11212,*\n" +
		"with -Z, in front: notls: not encrypted, btls: no client\ncertificates, mtls: client certificates needed", setListen},
	{"d", "daemon", "", "run as a daemon", on(func(c *config) *bool { return &c.daemon })},
	{"r", "enable-coredumps", "", "maximize core file limit", on(func(c *config) *bool { return &c.cores })},
	{"u", "user", "user", "assume identity of <user> (only when run as root)", text(func(c *config) *string { return &c.user })},
	{"m", "memory-limit", "num", "memory in megabytes, or with a suffix m or g (default: 64)", setMemory},
	{"M", "disable-evictions", "", "return error on memory exhausted instead of evicting",
		on(func(c *config) *bool { return &c.opts.DisableEviction })},
	{"c", "conn-limit", "num", "max simultaneous connections (default: 1024)",
		positive("Maximum connections must be greater than 0", func(c *config) *int { return &c.opts.MaxConns })},
	{"k", "lock-memory", "", "lock down the memory of items", on(func(c *config) *bool { return &c.opts.LockMemory })},
	{"v", "verbose", "", "verbose (print errors and warnings)\n-vv: also commands and keys, never values\n-vvv: also internal state",
		func(c *config, _ string) error { c.opts.Verbosity++; return nil }},
	{"h", "help", "", "print this help and exit", func(*config, string) error { return errHelp }},
	{"i", "license", "", "print the license and exit", show(licensePage)},
	{"V", "version", "", "print version and exit", func(*config, string) error { return errVersion }},
	{"P", "pidfile", "file", "save PID in <file>; removed again at the end only with -d", text(func(c *config) *string { return &c.pidfile })},
	{"f", "slab-growth-factor", "num", "accepted; there are no slabs to grow", setGrowthFactor},
	{"n", "slab-min-size", "bytes", "accepted; there are no slabs",
		positive("Chunk size must be greater than 0", ignored("-n"))},
	{"L", "enable-largepages", "", "use large memory pages: quicker from some 512 MB on", setLargePages},
	{"D", "D", "char", "delimiter between key prefixes and IDs, for statistics by\nprefix (default: \":\"); turns them on as well", setDelimiter},
	{"t", "threads", "num", "number of event loops (default: 4)", setThreads},
	{"R", "max-reqs-per-event", "num", "requests served on one connection before others have\ntheir turn (default: 20)",
		positive("Number of requests per event must be greater than 0", func(c *config) *int { return &c.opts.ReqsPerEvent })},
	{"C", "disable-cas", "", "disable use of CAS", on(func(c *config) *bool { return &c.opts.DisableCAS })},
	{"b", "listen-backlog", "num", "set the backlog queue limit (default: 1024)", setBacklog},
	{"B", "protocol", "name", "protocol - one of ascii, binary, or auto (default: auto)", setProtocol},
	{"I", "max-item-size", "num", "adjusts max item size; suffixes k, m, g\n(default: 1m, min: 1k, max: 1024m)", setItemMax},
	{"S", "enable-sasl", "", "log in by SASL, with the passwords of -Y, or of the file that\n" +
		"MEMCACHED_SASL_PWDB names; binary protocol only, unless -Y", on(func(c *config) *bool { return &c.opts.SASL })},
	{"F", "disable-flush-all", "", "disable flush_all and flush_prefix", on(func(c *config) *bool { return &c.opts.DisableFlush })},
	{"X", "disable-dumping", "", "disable what lists keys: lru_crawler metadump and mgdump,\nstats cachedump, detail, hotkeys and prefixes",
		on(func(c *config) *bool { return &c.opts.DisableDump })},
	{"W", "disable-watch", "", "disable watch commands", on(func(c *config) *bool { return &c.opts.DisableWatch })},
	{"Y", "auth-file", "file", "ask for a password: <file> has a line user:password for\neach of at most 8 users, and is read again on SIGHUP", setAuthFile},
	{"Z", "enable-ssl", "", "encrypt TCP connections with TLS 1.2 or 1.3, except where -l says notls:\n" +
		"files are PEM, and read again on SIGHUP and refresh_certs:\n" +
		"   -o ssl_chain_cert=<file>  certificate chain; needed\n" +
		"   -o ssl_key=<file>         its private key; needed\n" +
		"   -o ssl_ca_cert=<file>     who signs client certificates\n" +
		"   -o ssl_verify_mode=<num>  client certificates: 0 none (default),\n" +
		"                             1 optional, 2 or 3 required\n" +
		"   -o ssl_min_version=<num>  2 tlsv1.2 (default) or 3 tlsv1.3\n" +
		"   -o ssl_ciphers=<list>     for TLS 1.2, in OpenSSL's names\n" +
		"   -o ssl_keyformat=<num>    1 PEM (default) or 2 DER\n" +
		"   -o ssl_session_cache      sessions are counted in stats; clients\n" +
		"                             may resume theirs without it, too",
		on(func(c *config) *bool { return &c.encryption.on })},
	{"e", "memory-file", "file", "keep the items in a file (best in tmpfs), for the next\nstart with it, however this one ends",
		setMemoryFile},
	{"N", "napi-ids", "num", "accepted, changes nothing",
		positive("Maximum number of NAPI IDs must be greater than 0", func(c *config) *int { return &c.napiIDs })},
	{"o", "extended", "list", "comma separated list of memcached's extended options;\n" +
		"tuning of slabs, LRU and hash table is accepted and\nchanges nothing; see -v", setExtended},
	{"", "memory-total", "num", "memory of the whole process in megabytes, or with a suffix;\nauto: nine tenths of what there is; -m is what is left then", setMemoryTotal},
	{"", "pack-hex", "", "keep values that are lower-case hexadecimal digits in half\nthe room, if there are 24 to 256 of them, a multiple of 8",
		on(func(c *config) *bool { return &c.opts.PackHex })},
	{"", "hot-keys", "num", "percentage of requests that is looked at for \"stats hotkeys\"\n(default: 1; 0: none)", setHotKeys},
	{"", "no-curve", "", "do not find out which hit ratio other values of -m would have,\nby a sample of the keys", on(func(c *config) *bool { return &c.opts.NoCurve })},
	{"", "drain-timeout", "time", "how long SIGUSR1 and \"shutdown graceful\" wait for clients\nto finish what they began: 30s, 2m (default: 5s)", setDrainTimeout},
	{"", "admin", "addr", "HTTP for whoever runs the server (default: off): a live page,\n/metrics for Prometheus, /healthz, /readyz, /hotkeys;\n" +
		"a host and a port, and without a host 127.0.0.1", setAdmin},
	{"", "admin-hosts", "list", "names that requests to --admin may have for this host,\nbeside its own, localhost and addresses; * is any", setAdminHosts},
	{"", "admin-keys", "", "--admin tells names of items to everybody who reaches it;\nwithout this, to this machine only, and if it is on loopback",
		on(func(c *config) *bool { return &c.admin.Keys })},
	{"", "admin-pprof", "", "--admin serves Go's profiles at /debug/pprof/",
		on(func(c *config) *bool { return &c.admin.Pprof })},
	{"", "healthcheck", "addr", "ask --admin at an address (default: what --admin says, or\n" + adminAddr + ") whether the server is ready, and exit: 0 if it is", setHealthcheck},
	{"", configOption, "file", "read options from <file> as Debian's memcached.conf has them\n" +
		"(-d and -h are left out), or RHEL's sysconfig/memcached", nil},
}

// configOption is treated apart: it brings more options.
const configOption = "config"

var (
	errShown   = errors.New("shown")        // -h, -i, -V: there is a page to print, and no more to do
	errHelp    = errors.New("show help")    // -h; not a page yet, because the help is made from the table it stands in
	errVersion = errors.New("show version") // -V; not a page yet, because it depends on what we are called
)

// parse understands a command line, name being how the program was called. The config is never nil: its warnings are
// to be printed even when there is an error.
//
// Options take effect in the order given and the first mistake ends it, as with getopt; then come the rules that
// concern several options. Words that are no options are ignored.
func parse(name string, args []string) (*config, error) {
	c := newConfig()
	switch rest, err := c.parse(name, args); {
	case errors.Is(err, errHelp):
		c.page = helpPage(name)
		return c, errShown
	case errors.Is(err, errVersion):
		c.page = introduction(name) + "\n"
		return c, errShown
	case err != nil:
		return c, err
	case c.healthcheck:
		if c.healthcheckAddr == "" && len(rest) > 0 {
			c.healthcheckAddr = rest[0]
		}
		return c, nil
	}
	return c, c.check()
}

// parse lets a list of words take effect, and gives those that are no options.
func (c *config) parse(name string, args []string) (rest []string, err error) {
	set := pflag.NewFlagSet(name, pflag.ContinueOnError)
	set.Usage = func() {}
	set.SetNormalizeFunc(unabbreviate)
	for i := range options {
		f := set.VarPF(&value{name, &options[i], c}, options[i].long, options[i].letter, "")
		if options[i].arg == "" || options[i].long == "healthcheck" {
			f.NoOptDefVal = noValue
		}
	}
	err = explain(name, set.Parse(args))
	return set.Args(), err
}

// noValue is what pflag hands to an option that has no value, and no user can type.
const noValue = "\x00"

// blanks are what C's isspace takes for some.
const blanks = " \t\r\n\v\f"

// value is a row of the table as pflag wants it.
type value struct {
	name   string // of the program
	option *option
	config *config
}

// Set trims leading blanks as memcached does: charts write "-m 64" as a single word, and then the value is " 64".
func (v *value) Set(s string) error {
	if v.option.arg == "" && v.option.letter != "v" && s != noValue {
		return getoptError{"option '--" + v.option.long + "' doesn't allow an argument"}
	}
	s = strings.TrimLeft(s, blanks)
	if v.option.long == configOption {
		return v.config.read(v.name, s)
	}
	return v.option.set(v.config, s)
}

func (v *value) String() string { return "" }
func (v *value) Type() string   { return v.option.arg }

// unabbreviate completes a long name that can mean only one option, as getopt_long does.
func unabbreviate(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if found := namesFrom(name); len(found) == 1 {
		return pflag.NormalizedName(found[0])
	}
	return pflag.NormalizedName(name)
}

// namesFrom are the long names that begin like that; one alone if it is that name.
func namesFrom(prefix string) (found []string) {
	for _, o := range options {
		switch {
		case o.long == prefix:
			return []string{prefix}
		case strings.HasPrefix(o.long, prefix) && o.letter != "":
			found = append(found, o.long)
		}
	}
	return found
}

// getoptError is a complaint of the parser, rather than of an option.
type getoptError struct{ text string }

func (e getoptError) Error() string { return e.text }

// explain words the parser's errors as getopt and memcached do, two lines and exit 1. What an option's set returned passes
// through.
func explain(name string, err error) error {
	var (
		own      exit
		getopt   getoptError
		notExist *pflag.NotExistError
		required *pflag.ValueRequiredError
		syntax   *pflag.InvalidSyntaxError
		what     string
	)
	switch {
	case err == nil, errors.Is(err, errHelp), errors.Is(err, errVersion), errors.Is(err, errShown):
		return err
	case errors.As(err, &own):
		return own
	case errors.As(err, &getopt):
		what = getopt.text
	case errors.As(err, &notExist) && notExist.GetSpecifiedShortnames() != "":
		what = fmt.Sprintf("invalid option -- '%s'", notExist.GetSpecifiedName())
	case errors.As(err, &notExist):
		what = unknownName(notExist.GetSpecifiedName())
	case errors.As(err, &required) && required.GetSpecifiedShortnames() != "":
		what = fmt.Sprintf("option requires an argument -- '%s'", required.GetSpecifiedName())
	case errors.As(err, &required):
		what = fmt.Sprintf("option '--%s' requires an argument", required.GetFlag().Name)
	case errors.As(err, &syntax):
		what = fmt.Sprintf("unrecognized option '%s'", syntax.GetSpecifiedFlag())
	default:
		what = err.Error()
	}
	return quit(exFailure, "%s: %s\nIllegal argument \"?\"", name, what)
}

func unknownName(name string) string {
	found := namesFrom(name)
	if len(found) == 0 {
		return fmt.Sprintf("unrecognized option '--%s'", name)
	}
	return fmt.Sprintf("option '--%s' is ambiguous; possibilities: '--%s'", name, strings.Join(found, "' '--"))
}

// check applies the rules that concern several options, in memcached's order: the first broken one is the one reported.
func (c *config) check() error {
	if c.napiIDs > c.opts.Loops {
		return quit(exUsage, "Number of napi_ids(%d) cannot be greater than number of threads(%d)", c.napiIDs, c.opts.Loops)
	}
	if err := c.shareOut(); err != nil {
		return err
	}
	if c.opts.ItemMax < 1<<10 {
		return quit(exUsage, "Item max size cannot be less than 1024 bytes.")
	}
	if int64(c.opts.ItemMax) > c.opts.MemoryLimit/2 {
		return quit(exUsage, "Cannot set item size limit higher than 1/2 of memory max.")
	}
	if c.opts.ItemMax > 1<<30 {
		return quit(exUsage, "Cannot set item size limit higher than a gigabyte.")
	}
	if err := c.lru.check(); err != nil {
		return err
	}
	if err := c.checkLogin(); err != nil {
		return err
	}
	settings := &c.opts.Settings
	if settings.UDPPort != 0 && !c.portGiven {
		settings.Port = settings.UDPPort // memcached's rule: -U alone moves TCP along
	}
	if settings.Port > math.MaxUint16 {
		return quit(exUsage, "ERROR: Invalid port number %d.", settings.Port)
	}
	if settings.UDPPort > math.MaxUint16 {
		return quit(exUsage, "ERROR: Invalid UDP port number %d.", settings.UDPPort)
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	settings.Inter = strings.Join(c.inter, ",")
	return nil
}

// checkLogin is about passwords:
//
//	-S    -Y    passwords from        protocol, and logging in
//	no    no    none                  as -B says
//	no    yes   -Y                    ascii, with its first command
//	yes   no    MEMCACHED_SASL_PWDB   binary, by SASL
//	yes   yes   -Y                    both, each in its way
//
// Nobody can log in over UDP.
func (c *config) checkLogin() error {
	o := &c.opts
	if o.SASL {
		if c.protocolGiven && o.Protocol != server.Binary {
			return quit(exUsage, "ERROR: You cannot allow the ASCII protocol while using SASL.")
		}
		if o.Settings.UDPPort != 0 {
			return quit(exUsage, "ERROR: Cannot enable UDP while using binary SASL authentication.")
		}
		if o.AuthFile == "" {
			o.SASLFile, o.Protocol = os.Getenv("MEMCACHED_SASL_PWDB"), server.Binary
		}
		if o.AuthFile != "" && os.Getenv("MEMCACHED_SASL_PWDB") != "" {
			c.warn("warning: the passwords are those of -Y; the file that MEMCACHED_SASL_PWDB names is not read")
		}
		if o.AuthFile == "" && o.SASLFile == "" {
			return quit(exUsage, "ERROR: -S needs passwords: of -Y, or of the file that MEMCACHED_SASL_PWDB names. Cyrus' sasldb and saslauthd are not supported.")
		}
	}
	if o.AuthFile != "" {
		if c.protocolGiven && o.Protocol != server.ASCII {
			return quit(exUsage, "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.")
		}
		if o.Settings.UDPPort != 0 {
			return quit(exUsage, "Cannot use UDP with ascii authentication enabled (-U 0 to disable)")
		}
	}
	return nil
}

// What follows makes the set functions of the table: first the kinds that several options share, then the single ones.

// setHotKeys reads a percentage, which the server has as one request of so many.
func setHotKeys(c *config, v string) error {
	percent, err := strconv.ParseFloat(v, 64)
	if err != nil || !(percent == 0 || percent >= 0.001 && percent <= 100) {
		return quit(exUsage, "ERROR: Invalid percentage %s: 0, or from 0.001 to 100.", v)
	}
	c.opts.HotKeys = -1
	if percent > 0 {
		c.opts.HotKeys = int(math.Round(100 / percent))
	}
	return nil
}

func on(field func(*config) *bool) func(*config, string) error {
	return func(c *config, _ string) error {
		*field(c) = true
		return nil
	}
}

func text(field func(*config) *string) func(*config, string) error {
	return func(c *config, v string) error {
		*field(c) = v
		return nil
	}
}

// positive is a number above zero; anything else gets memcached's text and exit 1.
func positive(complaint string, field func(*config) *int) func(*config, string) error {
	return func(c *config, v string) error {
		n, err := number(v)
		if err != nil || n <= 0 {
			return quit(exFailure, "%s", complaint)
		}
		*field(c) = n
		return nil
	}
}

func noop(name string) func(*config, string) error {
	return func(c *config, _ string) error {
		c.noops = append(c.noops, name)
		return nil
	}
}

// ignored is a field for a number that is checked and then forgotten.
func ignored(name string) func(*config) *int {
	return func(c *config) *int {
		c.noops = append(c.noops, name)
		return new(int)
	}
}

// refused is an option that would promise what we do not keep. The text is memcached's for a server built without it.
func refused(what string) func(*config, string) error {
	return func(*config, string) error { return quit(exUsage, "This server is not built with %s support.", what) }
}

func show(page string) func(*config, string) error {
	return func(c *config, _ string) error {
		c.page = page
		return errShown
	}
}

// number reads a whole number. Unlike memcached's atoi it wants nothing else there: "-p 1121l" is a mistake to tell, not
// port 1121.
func number(v string) (int, error) { return strconv.Atoi(strings.TrimSpace(v)) }

func setPort(c *config, v string) (err error) {
	c.portGiven = true
	if c.opts.Settings.Port, err = number(v); err != nil {
		return quit(exUsage, "ERROR: Invalid port number %s.", v)
	}
	return nil
}

func setUDPPort(c *config, v string) (err error) {
	if c.opts.Settings.UDPPort, err = number(v); err != nil {
		return quit(exUsage, "ERROR: Invalid UDP port number %s.", v)
	}
	return nil
}

// setUnixSocket refuses an empty name: it would mean TCP, and open to the network what was to be kept from it.
func setUnixSocket(c *config, v string) error {
	if v == "" {
		return quit(exOSErr, "failed to listen on UNIX socket: : No such file or directory")
	}
	c.opts.UnixSocket = v
	return nil
}

func setUnixMask(c *config, v string) error {
	mask, err := strconv.ParseUint(strings.TrimSpace(v), 8, 32)
	if err != nil {
		return quit(exUsage, "ERROR: Invalid access mask %s: it is octal, like 700.", v)
	}
	c.opts.UnixMask = os.FileMode(mask) & os.ModePerm
	return nil
}

// setListen keeps lists as they are given; addresses takes them apart.
func setListen(c *config, v string) error {
	for _, known := range c.inter {
		if known == v {
			return nil
		}
	}
	c.inter = append(c.inter, v)
	return nil
}

// setMemory reads megabytes. memcached stops reading at the suffix and so takes 200m as 200 but 1g as 1; here a suffix
// means what it says.
func setMemory(c *config, v string) error {
	n, err := size(v, "mg", 1<<20)
	if err != nil || n < 0 {
		return quit(exUsage, "ERROR: Invalid memory limit %s: megabytes, or a number with m or g, like 200m or 1g.", v)
	}
	c.opts.MemoryLimit, c.memoryGiven = n, true
	return nil
}

// setItemMax reads bytes. What is no number is 0 to memcached, and then less than 1024.
func setItemMax(c *config, v string) error {
	n, err := size(v, "kmg", 1)
	if err != nil {
		n = 0
	}
	c.opts.ItemMax = int(n)
	return nil
}

// size reads a number with one of these suffixes, or in this unit without one.
func size(v, suffixes string, unit int64) (int64, error) {
	v = strings.ToLower(strings.TrimSpace(v))
	if v != "" && strings.Contains(suffixes, v[len(v)-1:]) {
		unit = map[byte]int64{'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30}[v[len(v)-1]]
		v = v[:len(v)-1]
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err == nil && (n > math.MaxInt64/unit || n < math.MinInt64/unit) {
		err = strconv.ErrRange
	}
	return n * unit, err
}

// setDrainTimeout reads a time; a number alone is seconds.
func setDrainTimeout(c *config, v string) error {
	n, err := number(v)
	c.drainTimeout = time.Duration(n) * time.Second
	if err != nil {
		c.drainTimeout, err = time.ParseDuration(v)
	}
	if err != nil || c.drainTimeout < 0 {
		return quit(exUsage, "ERROR: Invalid drain timeout %s: a time, like 500ms, 30s or 2m.", v)
	}
	return nil
}

func setThreads(c *config, v string) error {
	const complaint = "Number of threads must be greater than 0"
	if err := positive(complaint, func(c *config) *int { return &c.opts.Loops })(c, v); err != nil {
		return err
	}
	if c.opts.Loops > 64 {
		c.warn("WARNING: Setting a high number of worker threads is not recommended.\n" +
			" Set this value to the number of cores in your machine or less.")
	}
	return nil
}

func setBacklog(c *config, v string) (err error) {
	if c.opts.Backlog, err = number(v); err != nil {
		return quit(exUsage, "ERROR: Invalid backlog %s.", v)
	}
	return nil
}

// setLargePages refuses, as memcached does, where the system gives none: who asks for them should not find out by measuring.
func setLargePages(c *config, _ string) error {
	text, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(text), "[never]") {
		return quit(exFailure, "Cannot enable large pages on this system")
	}
	c.opts.LargePages = true
	return nil
}

func setGrowthFactor(c *config, v string) error {
	factor, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || !(factor > 1) { // not factor <= 1: NaN is refused too
		return quit(exFailure, "Factor must be greater than 1")
	}
	return noop("-f")(c, v)
}

func setDelimiter(c *config, v string) error {
	if v == "" {
		return quit(exFailure, "No delimiter specified")
	}
	c.opts.PrefixDelimiter, c.opts.StatsDetail = v[0], true
	return nil
}

// setMemoryFile refuses an empty name, which would mean that the items are not kept.
func setMemoryFile(c *config, v string) error {
	if v == "" {
		return quit(exOSErr, "failed to open memory file: : No such file or directory")
	}
	c.opts.MemoryFile = v
	return nil
}

// setAuthFile refuses an empty name: it would mean that everybody is served, which nobody asks for by this option.
func setAuthFile(c *config, v string) error {
	if v == "" {
		return quit(exFailure, "Could not open authfile [] for reading")
	}
	c.opts.AuthFile = v
	return nil
}

func setProtocol(c *config, v string) error {
	switch v {
	case "auto":
		c.protocolGiven, c.opts.Protocol = true, server.Negotiated
		return nil
	case "ascii":
		c.protocolGiven, c.opts.Protocol = true, server.ASCII
		return nil
	case "binary":
		c.protocolGiven, c.opts.Protocol = true, server.Binary
		return nil
	}
	return quit(exUsage, "Invalid value for binding protocol: %s\n -- should be one of auto, binary, or ascii", v)
}
