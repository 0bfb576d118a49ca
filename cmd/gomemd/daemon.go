package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Go program cannot fork and go on: its threads would stay behind. So -d starts the program a second time, in its own
// session, and the first process waits until the second listens: when it returns 0, clients can connect and the pid file is
// there; when the second gives up, its message has been seen and its exit code is passed on. (memcached's parent leaves at
// once, and what its child complains of is lost.)
//
//	parent                                  child
//	starts the child, with a pipe           limits, user, listen, pid file
//	waits                                   stdio to /dev/null, one byte into the pipe
//	exits 0; or with the child's code       serves

// readyFD names, in the child's environment, the pipe's end to write to.
const readyFD = "GOMEMD_READY_FD"

func inBackground() bool { return os.Getenv(readyFD) != "" }

// startInBackground is the parent. It returns the exit code. The child begins where we are, and soon goes to /, where it keeps
// no file system busy.
func startInBackground(argv []string) int {
	failed := func(err error) int {
		warn("failed to daemon() in order to daemonize: %s", reasonOf(err))
		return exFailure
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return failed(err)
	}
	program, err := ownProgram(argv[0])
	if err != nil {
		return failed(err)
	}
	child := exec.Command(program)
	child.Args = argv
	child.Env = append(os.Environ(), readyFD+"=3")
	child.ExtraFiles = []*os.File{theirs}
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return failed(err)
	}
	_ = theirs.Close() // else the read below would not end with the child
	if n, _ := ready.Read(make([]byte, 1)); n == 1 {
		return 0
	}
	var ended *exec.ExitError
	switch err := child.Wait(); {
	case err == nil: // stopped by a signal before it was ready
		return 0
	case errors.As(err, &ended) && ended.ExitCode() > 0:
		return ended.ExitCode()
	default:
		return failed(err)
	}
}

// ownProgram is the file to start again: the name we were called by if that is what runs, because ps and pgrep show it
// and scripts look for memcached there; else what runs, by whatever name it has.
func ownProgram(name string) (string, error) {
	running, err := os.Executable()
	if err != nil {
		return "", err
	}
	called, err := exec.LookPath(name)
	if err == nil {
		called, err = filepath.Abs(called)
	}
	if err != nil || !sameFile(called, running) {
		return running, nil
	}
	return called, nil
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// leaveParent is the child's last step: let go of the terminal (with -v it is the log) and of the parent.
func leaveParent(keepStdio bool) {
	log.Flush(logPatience) // where who started us sees it
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil && !keepStdio {
		for fd := range 3 {
			if err := unix.Dup2(int(null.Fd()), fd); err != nil {
				warn("dup2: %s", err)
			}
		}
		_ = null.Close()
	}
	fd, err := strconv.Atoi(os.Getenv(readyFD))
	if err != nil {
		return
	}
	_ = os.Unsetenv(readyFD)
	pipe := os.NewFile(uintptr(fd), "ready")
	_, _ = pipe.Write([]byte{1}) // a parent that was killed meanwhile is not missed
	_ = pipe.Close()
}
