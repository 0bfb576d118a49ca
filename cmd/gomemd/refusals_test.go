package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// openSSL is why texts about certificates differ.
const openSSL = "says OpenSSL's reason, and where in OpenSSL it arose"

// refusals are command lines that end at once. The text is all of standard error, without the last newline; NAME stands for
// how the program was called.
var refusals = []struct {
	args   string // ' ' separates; _ is a blank inside a word, "" an empty word
	code   int
	stderr string
	unlike string // how and why memcached does otherwise; "" when its exit code and text are the same
}{
	{"-q", 1, "NAME: invalid option -- 'q'\nIllegal argument \"?\"", ""},
	{"-vq", 1, "NAME: invalid option -- 'q'\nIllegal argument \"?\"", ""},
	{"--foo", 1, "NAME: unrecognized option '--foo'\nIllegal argument \"?\"", ""},
	{"--foo=1", 1, "NAME: unrecognized option '--foo'\nIllegal argument \"?\"", "shows the value, too"},
	{"--ma", 1, "NAME: option '--ma' is ambiguous; possibilities: '--max-reqs-per-event' '--max-item-size'\nIllegal argument \"?\"", ""},
	{"--port", 1, "NAME: option '--port' requires an argument\nIllegal argument \"?\"", ""},
	{"--por", 1, "NAME: option '--port' requires an argument\nIllegal argument \"?\"", ""},
	{"-p", 1, "NAME: option requires an argument -- 'p'\nIllegal argument \"?\"", ""},
	{"--daemon=1", 1, "NAME: option '--daemon' doesn't allow an argument\nIllegal argument \"?\"", ""},

	{"-p 70000", 64, "ERROR: Invalid port number 70000.", ""},
	{"-p 1121l", 64, "ERROR: Invalid port number 1121l.", "takes the digits, or 0"},
	{"-U 70000", 64, "ERROR: Invalid port number 70000.", ""},
	{"-U 70000 -p 1", 64, "ERROR: Invalid UDP port number 70000.", "takes it modulo 65536"},
	{"-U -2 -p 0", 71, "failed to listen on UDP port -2: there is no such port", "says it in two lines"},
	{"-U -2 -p 0 -l 127.0.0.1", 71, "failed to listen on one of interface(s) 127.0.0.1: there is no such port", "says it in two lines"},
	{"-U x", 64, "ERROR: Invalid UDP port number x.", "takes the digits, or 0"},
	{"-c 0", 1, "Maximum connections must be greater than 0", ""},
	{"-c -1", 1, "Maximum connections must be greater than 0", ""},
	{"-c abc", 1, "Maximum connections must be greater than 0", ""},
	{"-c 0 -V", 1, "Maximum connections must be greater than 0", ""},
	{"-t 0", 1, "Number of threads must be greater than 0", ""},
	{"-t -1", 1, "Number of threads must be greater than 0", ""},
	{"-R 0", 1, "Number of requests per event must be greater than 0", ""},
	{"-f 1", 1, "Factor must be greater than 1", ""},
	{"-f abc", 1, "Factor must be greater than 1", ""},
	{"-n 0", 1, "Chunk size must be greater than 0", ""},
	{"-N 0", 1, "Maximum number of NAPI IDs must be greater than 0", ""},
	{"-N 5", 64, "Number of napi_ids(5) cannot be greater than number of threads(4)", ""},
	{`-D ""`, 1, "No delimiter specified", ""},
	{"-b x", 64, "ERROR: Invalid backlog x.", "takes the digits, or 0"},
	{"-a 999", 64, "ERROR: Invalid access mask 999: it is octal, like 700.", "takes the octal digits: nobody could connect"},
	{"-B http", 64, "Invalid value for binding protocol: http\n -- should be one of auto, binary, or ascii", ""},
	{"-Z", 64, "Error loading the certificate chain: (null) : there is no -o ssl_chain_cert", openSSL},
	{"-Z -o ssl_key=/dev/null", 64, "Error loading the certificate chain: (null) : there is no -o ssl_chain_cert", openSSL},
	{"-Z -o ssl_chain_cert=/dev/null", 64, "Error loading the key: (null) : there is no -o ssl_key", openSSL},
	{"-Z -o ssl_chain_cert=/nonexistent,ssl_key=x", 64, "Error loading the certificate chain: /nonexistent : No such file or directory", openSSL},
	{"-Z -o ssl_chain_cert=/dev/null,ssl_key=x", 64, "Error loading the certificate chain: /dev/null : there is no certificate in it", openSSL},
	{"-Z -o ssl_chain_cert=/etc,ssl_key=x", 64, "Error loading the certificate chain: /etc : Is a directory", openSSL},
	{"-Z -o ssl_chain_cert=x,ssl_key=x,ssl_ca_cert=", 64, "Error loading the CA certificate:  : No such file or directory", openSSL},
	{"-Z -o ssl_chain_cert=x,ssl_key=x,ssl_ciphers=HIGH:TOO", 64,
		"Error setting the provided cipher(s): HIGH:TOO: TOO is not supported", "leaves it out"},
	{"-Z -o ssl_chain_cert=x,ssl_key=x,ssl_ciphers=", 64, "Error setting the provided cipher(s): ", "says it after the certificates are read"},
	{"-Z -p 0", 64, "ERROR: You cannot enable SSL without a TCP port.", ""},
	{"-Z -p 0 -s f", 64, "ERROR: You cannot enable SSL without a TCP port.", ""},
	{"-Z -p 70000", 64, "ERROR: Invalid port number 70000.", ""},
	{"-o ssl_chain_cert", 1, "Missing ssl_chain_cert argument", ""},
	{"-o ssl_key", 1, "Missing ssl_key argument", ""},
	{"-o ssl_keyformat", 1, "Missing ssl_keyformat argument", ""},
	{"-o ssl_keyformat=PEM", 1, "could not parse argument to ssl_keyformat", ""},
	{"-o ssl_ca_cert", 1, "Missing ssl_ca_cert argument", ""},
	{"-o ssl_ciphers", 1, "Missing ssl_ciphers argument", ""},
	{"-o ssl_verify_mode", 1, "Missing ssl_verify_mode argument", ""},
	{"-o ssl_verify_mode=", 1, "could not parse argument to ssl_verify_mode", ""},
	{"-o ssl_verify_mode=x", 1, "could not parse argument to ssl_verify_mode", ""},
	{"-o ssl_verify_mode=4", 1, "Invalid ssl_verify_mode. Use help to see valid options.", ""},
	{"-o ssl_verify_mode=-1", 1, "Invalid ssl_verify_mode. Use help to see valid options.", ""},
	{"-o ssl_min_version", 1, "Missing ssl_min_version argument", ""},
	{"-o ssl_min_version=3x", 1, "could not parse argument to ssl_min_version", ""},
	{"-o ssl_min_version=4", 1, "Invalid ssl_min_version. Use help to see valid options.", ""},
	{"-o ssl_wbuf_size", 1, "Missing ssl_wbuf_size argument", ""},
	{"-o ssl_wbuf_size=x", 1, "could not parse argument to ssl_wbuf_size", ""},
	{"-o ssl_wbuf_size=-1", 1, "could not parse argument to ssl_wbuf_size", ""},

	{"-S", 64, "ERROR: -S needs passwords: of -Y, or of the file that MEMCACHED_SASL_PWDB names. Cyrus' sasldb and saslauthd are not supported.",
		"asks Cyrus"},
	{"-S -B ascii", 64, "ERROR: You cannot allow the ASCII protocol while using SASL.", ""},
	{"-S -B auto", 64, "ERROR: You cannot allow the ASCII protocol while using SASL.", ""},
	{"-S -U 1", 64, "ERROR: Cannot enable UDP while using binary SASL authentication.", ""},
	{"-S -Y f -B ascii", 64, "ERROR: You cannot allow the ASCII protocol while using SASL.", ""},
	{"-S -Y f -B binary", 64, "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.", ""},
	{"-Y /nonexistent", 1, "Could not open authfile [/nonexistent] for reading, error no such file or directory", "gives the reason twice"},
	{`-Y ""`, 1, "Could not open authfile [] for reading", "gives a reason: Success"},
	{"-Y /dev/null", 1, "Authfile [/dev/null] has a malformed entry. Should be 'user:password'", "1.6.18 takes it: nobody can log in"},
	{"-Y f -B auto", 64, "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.", ""},
	{"-Y f -B binary", 64, "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.", ""},
	{"-Y f -U 1", 64, "Cannot use UDP with ascii authentication enabled (-U 0 to disable)", ""},
	{"--memory-total lots", 64, "ERROR: Invalid memory total lots: megabytes, a number with m or g, or auto.", "has no such option"},
	{"--memory-total 64m -m 64", 64, "ERROR: --memory-total has no room for -m 64 -c 1024: it would have to be 94m.", "has no such option"},
	{"--memory-total 24m", 64, "ERROR: --memory-total has no room for -m 2 -c 1024: it would have to be 27m.", "has no such option"},
	{"--drain-timeout soon", 64, "ERROR: Invalid drain timeout soon: a time, like 500ms, 30s or 2m.", "has no such option"},
	{"--drain-timeout=-1", 64, "ERROR: Invalid drain timeout -1: a time, like 500ms, 30s or 2m.", "has no such option"},
	{"--drain=1s", 1, "NAME: unrecognized option '--drain'\nIllegal argument \"?\"", "shows the value, too"},
	{`-e ""`, 71, "failed to open memory file: : No such file or directory", "aborts"},
	{"--config /nonexistent", 1, "Could not read the options in /nonexistent: No such file or directory", "has no such option"},

	{"-m 1", 64, "Cannot set item size limit higher than 1/2 of memory max.", ""},
	{"-m 0", 64, "Cannot set item size limit higher than 1/2 of memory max.", ""},
	{"-m abc", 64, "ERROR: Invalid memory limit abc: megabytes, or a number with m or g, like 200m or 1g.", "says what it says for 0"},
	{"-m -1", 64, "ERROR: Invalid memory limit -1: megabytes, or a number with m or g, like 200m or 1g.", "takes it as no limit"},
	{"-I 1000", 64, "Item max size cannot be less than 1024 bytes.", ""},
	{"-I abc", 64, "Item max size cannot be less than 1024 bytes.", ""},
	{`-I ""`, 64, "Item max size cannot be less than 1024 bytes.", ""},
	{"-I 33m", 64, "Cannot set item size limit higher than 1/2 of memory max.", ""},
	{"-I 256m", 64, "Cannot set item size limit higher than 1/2 of memory max.", ""},
	{"-I 1025m -m 4096", 64, "Cannot set item size limit higher than a gigabyte.", ""},
	{"-I 2g -m 8g", 64, "Cannot set item size limit higher than a gigabyte.", "knows no g"},

	{"-l 127.0.0.1:x", 71, "failed to listen on one of interface(s) 127.0.0.1:x: Invalid port number: \"x\"", "says it in two lines"},
	{"-l 127.0.0.1:70000", 71, "failed to listen on one of interface(s) 127.0.0.1:70000: Invalid port number: \"70000\"", "takes it modulo 65536"},
	{"-l [::1", 71, "failed to listen on one of interface(s) [::1: Invalid IPV6 address: \"[::1\"", "says it in two lines"},
	{"-l notls:127.0.0.1", 71, "failed to listen on one of interface(s) notls:127.0.0.1: 'notls' option is valid only when SSL is enabled", "says it in two lines"},
	{"-l 127.0.0.1 -p -5", 71, "failed to listen on one of interface(s) 127.0.0.1: there is no such port", "says it in two lines"},
	{`-s ""`, 71, "failed to listen on UNIX socket: : No such file or directory", "listens somewhere that has no name"},
	{"-s /nonexistent/socket", 71, "failed to listen on UNIX socket: /nonexistent/socket: No such file or directory", "says it in two lines"},

	{"-o foo", 1, "Illegal suboption \"foo\"", ""},
	{"-o foo=1", 1, "Illegal suboption \"foo=1\"", ""},
	{"-o modern,foo", 1, "Illegal suboption \"foo\"", ""},
	{"-o modern -o foo", 1, "Illegal suboption \"foo\"", ""},
	{"-o ,", 1, "Illegal suboption \"\"", ""},
	{"-o ext_path=/x:1G", 1, "-o ext_path: this server has no external storage; all items are kept in memory", "has it"},
	{"-o proxy_config=/x", 1, "-o proxy_config: this server has no proxy", "says Illegal suboption"},
	{"-o hashpower", 1, "Missing numeric argument for hashpower", ""},
	{"-o hashpower=11", 1, "Initial hashtable multiplier of 11 is too low", ""},
	{"-o hashpower=33", 1, "Initial hashtable multiplier of 33 is too high\nChoose a value based on \"STAT hash_power_level\" from a running instance", ""},
	{"-o slab_automove=3", 1, "slab_automove must be between 0 and 2", ""},
	{"-o slab_automove_ratio", 1, "Missing slab_automove_ratio argument", ""},
	{"-o slab_automove_ratio=0", 1, "slab_automove_ratio must be > 0 and < 1", ""},
	{"-o slab_automove_freeratio=x", 1, "could not parse argument to slab_automove_freeratio", ""},
	{"-o slab_automove_window=2", 1, "slab_automove_window must be > 2 and < 1800", "1.6.18 names no upper bound"},
	{"-o tail_repair_time=9", 1, "Cannot set tail_repair_time to less than 10 seconds", ""},
	{"-o hash_algorithm", 1, "Missing hash_algorithm argument", ""},
	{"-o hash_algorithm=md5", 1, "Unknown hash_algorithm option (jenkins, murmur3, xxh3)", ""},
	{"-o lru_crawler_sleep", 1, "Missing lru_crawler_sleep value", ""},
	{"-o lru_crawler_sleep=1000001", 1, "LRU crawler sleep must be between 0 and 1 second", ""},
	{"-o lru_crawler_tocrawl=x", 1, "lru_crawler_tocrawl takes a numeric 32bit value", ""},
	{"-o hot_lru_pct=80", 1, "hot_lru_pct must be > 1 and < 80", ""},
	{"-o warm_lru_pct=0", 1, "warm_lru_pct must be > 1 and < 80", ""},
	{"-o hot_lru_pct=50,warm_lru_pct=40", 64, "hot_lru_pct + warm_lru_pct cannot be more than 80% combined", ""},
	{"-o hot_max_factor=0", 1, "hot_max_factor must be > 0", ""},
	{"-o warm_max_factor=x", 1, "warm_max_factor must be > 0", ""},
	{"-o no_modern,temporary_ttl=10", 64, "temporary_ttl requires lru_maintainer to be enabled", ""},
	{"-o idle_timeout", 1, "Missing numeric argument for idle_timeout", ""},
	{"-o watcher_logbuf_size=x", 1, "could not parse argument to watcher_logbuf_size", ""},
	{"-o worker_logbuf_size", 1, "Missing worker_logbuf_size argument", ""},
	{"-o slab_chunk_max", 1, "Missing slab_chunk_max argument", "1.6.18 crashes on its way out"},
	{"-o slab_chunk_max=2000", 1, "slab_chunk_max must be specified in kilobytes.", "1.6.18 took bytes"},
	{"-o read_buf_mem_limit=x", 1, "could not parse argument to read_buf_mem_limit", ""},

	{"-u no.such.user", 67, "can't find the user no.such.user to switch to", ""},
}

func TestRefusals(t *testing.T) {
	theirs, err := exec.LookPath("memcached")
	if err != nil {
		t.Log("memcached is not installed: only gomemd is asked")
	}
	for _, row := range refusals {
		t.Run(row.args, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(row.args, "-u ") {
				needRoot(t)
			}
			args := asUser(strings.Fields(strings.ReplaceAll(row.args, `""`, "")))
			if strings.HasSuffix(row.args, `""`) {
				args = append(args, "")
			}
			ask := func(program string) (int, string) {
				code, stdout, stderr := tryFor(t, 20*time.Second, program, args...)
				if stdout != "" {
					t.Errorf("%s: on standard output: %q", program, stdout)
				}
				return code, strings.TrimSuffix(strings.ReplaceAll(stderr, program, "NAME"), "\n")
			}
			if code, stderr := ask(gomemd(t)); code != row.code || stderr != row.stderr {
				t.Errorf("exit %d, %q; want %d, %q", code, stderr, row.code, row.stderr)
			}
			if theirs == "" || row.unlike != "" {
				return
			}
			if code, stderr := ask(theirs); code != row.code || stderr != row.stderr {
				t.Errorf("memcached differs: exit %d, %q", code, stderr)
			}
		})
	}
}

// TestAccepted starts what must start, one process for each line.
func TestAccepted(t *testing.T) {
	for args, said := range map[string]string{
		"":                             "",
		"junk and more":                "",
		"-U 0":                         "",
		"-U -1":                        "",
		"-U -1 -l 127.0.0.1,::1":       "*", // where there is no IPv6, that is said
		"-A -C -F -M -X -W -L -k":      "*", // whether memory may be locked depends on where we are
		"-D : -f 1.5 -n 64 -b 16 -N 2": "",
		"-B auto -B ascii -R 5 -r":     "*", // so do core files
		"--config /dev/null":           "",
		"-m 1g -I 5m":                  "",
		"-I 1k":                        "",
		"-o modern -o no_modern,slab_chunk_max=16,relaxed_privileges,":         "",
		"--ext tail_repair_time=10,idle_timeout=30 --memory-l 128 --verbose=3": "accepted, and without meaning here: -o tail_repair_time=10\n",
		"-o drop_privileges": "warning: -o drop_privileges: there is no system call filter in this server\n",
		"-t 65": "WARNING: Setting a high number of worker threads is not recommended.\n" +
			" Set this value to the number of cores in your machine or less.\n",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := launch(t, with(strings.Fields(args)...))
			stat(t, "tcp", p.tcp(), "pid")
			if got := p.said(); said != "*" && got != said {
				t.Errorf("said %q, want %q", got, said)
			}
		})
	}
}
