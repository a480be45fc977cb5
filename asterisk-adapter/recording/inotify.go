package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fsnotify does not tell when a file is closed after writing, and that is the
// very thing to know here: hence inotify(7) itself.
type inotify struct {
	file *os.File
	buf  [64 << 10]byte

	mu   sync.Mutex     // watch adds while read waits
	dirs map[int]string // by watch descriptor
}

// change is something that happened to a name in a watched folder.
type change struct {
	dir, name string
	mask      uint32
}

func newInotify() (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w (raise fs.inotify.max_user_instances if there are too many)", err)
	}
	// Non-blocking, so that Close ends a Read that waits.
	return &inotify{file: os.NewFile(uintptr(fd), "inotify"), dirs: make(map[int]string)}, nil
}

func (i *inotify) watch(dir string, mask uint32) error {
	// Not by Fd, which would make the file's reads block for good.
	conn, err := i.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	var wd int
	i.mu.Lock() // no event of it is looked up before it is entered
	defer i.mu.Unlock()
	if controlErr := conn.Control(func(fd uintptr) {
		wd, err = unix.InotifyAddWatch(int(fd), dir, mask|unix.IN_ONLYDIR)
	}); controlErr != nil {
		return fmt.Errorf("watch %s: %w", dir, controlErr)
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	i.dirs[wd] = dir
	return nil
}

// read waits for changes. overflow says that some were lost.
func (i *inotify) read() (changes []change, overflow bool, err error) {
	n, err := i.file.Read(i.buf[:])
	if err != nil {
		return nil, false, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for at := 0; at+unix.SizeofInotifyEvent <= n; {
		event := i.buf[at:]
		wd := int(binary.NativeEndian.Uint32(event)) // never negative but for an overflow
		mask := binary.NativeEndian.Uint32(event[4:])
		length := int(binary.NativeEndian.Uint32(event[unsafe.Offsetof(unix.InotifyEvent{}.Len):]))
		at += unix.SizeofInotifyEvent + length
		if at > n {
			return changes, overflow, errors.New("inotify: an event is cut short")
		}
		if mask&unix.IN_Q_OVERFLOW != 0 {
			overflow = true
			continue
		}
		dir, known := i.dirs[wd]
		if mask&unix.IN_IGNORED != 0 {
			delete(i.dirs, wd)
			continue
		}
		if known {
			name := string(event[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+length])
			changes = append(changes, change{dir, strings.TrimRight(name, "\x00"), mask})
		}
	}
	return changes, overflow, nil
}

func (c change) path() string { return filepath.Join(c.dir, c.name) }

func (i *inotify) close() error { return i.file.Close() }
