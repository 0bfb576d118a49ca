package session

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// A password file may be read while somebody writes it anew, in place and in pieces. Of "alice:"
// and "s3cret" the first piece alone is a line that memcached takes, with an empty password. So a
// file counts as whole when both are true:
//
//	it has not changed for a while      by its metadata, watched from read to read
//	its last line ends                  or the last file that was good did not end its own either
//
// The second rule holds however long a writer pauses, or if its disk is full. It cannot hold for
// files that never have a last line end, which memcached takes, and so does a start.
//
// A start has no accounts to stay with. It takes a file whose last line ends at once, whole lines
// though there may be more to come, and waits for another one longer than a reload.
const (
	fileLook     = 10 * time.Millisecond // between two looks at a file that may be being written
	fileStill    = 20                    // looks without a change that make it whole
	fileLooks    = 100                   // looks after which nobody waits any longer
	startLooks   = 500                   // the same of a start
	fileOldAfter = 10 * time.Second      // a change so long ago needs no second look; less could be two clocks that differ
)

var errBusy = errors.New("is being written at present")

// readWhole reads a file that has not changed for a while. What is no file, a pipe say, is read to
// its end, once. To a start a last line end is enough.
func readWhole(file string, sleep func(time.Duration), looks int, start bool) ([]byte, error) {
	var last fs.FileInfo
	still := 0
	for range looks {
		text, before, after, err := readFile(file)
		if err != nil {
			return nil, err
		}
		if !after.Mode().IsRegular() {
			return text, nil
		}
		switch {
		case !sameState(before, after):
			still = 0
		case start && int64(len(text)) == after.Size() && bytes.HasSuffix(text, []byte("\n")),
			time.Since(after.ModTime()) > fileOldAfter:
			return text, nil
		case last != nil && sameState(last, after):
			still++
		default:
			still = 0
		}
		if still == fileStill {
			return text, nil
		}
		last = after
		sleep(fileLook)
	}
	return nil, errBusy
}

// readFile reads a file, and tells its state before and after.
func readFile(file string) (text []byte, before, after fs.FileInfo, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, nil, err
	}
	defer f.Close()
	if before, err = f.Stat(); err != nil {
		return nil, nil, nil, err
	}
	if text, err = io.ReadAll(f); err != nil {
		return nil, nil, nil, err
	}
	if after, err = f.Stat(); err != nil {
		return nil, nil, nil, err
	}
	return text, before, after, nil
}

// sameState tells whether two looks have seen one file, and no change of it.
func sameState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
