package main

import (
	"os"
	"os/user"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// allowCores is -r: the limit on core files goes as high as it may, and a crash is made to leave one, which a Go
// program does only when told.
func allowCores() error {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &limit) == nil {
		unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
		if unix.Setrlimit(unix.RLIMIT_CORE, &unlimited) != nil {
			limit.Cur = limit.Max
			_ = unix.Setrlimit(unix.RLIMIT_CORE, &limit) // what came of it is read next
		}
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur == 0 {
		return quit(exOSErr, "failed to ensure corefile creation")
	}
	debug.SetTraceback("crash")
	return nil
}

// assumeUser gives root up. Package syscall, unlike the bare system calls, changes all threads of the process. Who is not
// root stays who he is, whatever -u says: charts pass odd things there.
func assumeUser(name string) error {
	if os.Getuid() != 0 && os.Geteuid() != 0 {
		return nil
	}
	if name == "" {
		return quit(exUsage, "must add '-u root' to start as root")
	}
	account, err := user.Lookup(name)
	if err != nil {
		return quit(exNoUser, "can't find the user %s to switch to", name)
	}
	uid, errUID := strconv.Atoi(account.Uid)
	gid, errGID := strconv.Atoi(account.Gid)
	if errUID != nil || errGID != nil {
		return quit(exOSErr, "failed to assume identity of user %s", name)
	}
	if err := syscall.Setgroups([]int{}); err != nil {
		warn("failed to drop supplementary groups: %s", reasonOf(err))
		if err != syscall.EPERM { // not permitted means that there is little left to give up
			return exit{exOSErr, "failed to assume identity of user " + name}
		}
	}
	if syscall.Setgid(gid) != nil || syscall.Setuid(uid) != nil {
		return quit(exOSErr, "failed to assume identity of user %s", name)
	}
	return nil
}
