// Package privilege gives up root's privileges, for a program that was started as root
// by something that knows no users.
package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrRoot says that the program was started as root and was not told as whom to go on.
var ErrRoot = errors.New("this was started as root: set user to whom it is to run as, such as callseal, or to root if you really mean that")

// Drop sees that the program runs as a user. Started as root it becomes that user, with
// that user's groups and without any capability, and starts anew in the same process so
// that no thread keeps anything; then Drop does not return. Without a name, whoever
// started it will do, but not root.
func Drop(name string) error {
	who, err := wanted(name)
	if err != nil {
		return err
	}
	if os.Geteuid() == who.uid || name == "" {
		return nil
	}
	// What follows holds for this thread at first, and it is this one that starts anew.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := who.become(); err != nil {
		return fmt.Errorf("become the user %s: %w", name, err)
	}
	if err := syscall.Exec("/proc/self/exe", os.Args, os.Environ()); err != nil {
		return fmt.Errorf("start anew as the user %s: %w", name, err)
	}
	return nil
}

// account is a user as the kernel knows it.
type account struct {
	uid, gid int
	groups   []int
}

func wanted(name string) (*account, error) {
	root := os.Geteuid() == 0
	switch {
	case name == "" && root:
		return nil, ErrRoot
	case name == "":
		return &account{uid: os.Geteuid()}, nil
	}
	who, err := lookup(name)
	if err != nil {
		return nil, err
	}
	if !root && os.Geteuid() != who.uid {
		return nil, fmt.Errorf("user is %s, and this was started as another: start it as %s, or as root", name, name)
	}
	return who, nil
}

func lookup(name string) (*account, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user %s is not known here: make it with `useradd --system %s`: %w", name, name, err)
	}
	ids, err := found.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("find the groups of the user %s: %w", name, err)
	}
	who := &account{}
	for _, one := range []struct {
		text string
		to   *int
	}{{found.Uid, &who.uid}, {found.Gid, &who.gid}} {
		if *one.to, err = strconv.Atoi(one.text); err != nil {
			return nil, fmt.Errorf("the user %s: %w", name, err)
		}
	}
	for _, text := range ids {
		id, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("the groups of the user %s: %w", name, err)
		}
		who.groups = append(who.groups, id)
	}
	return who, nil
}

func (w *account) become() error {
	// Root's capabilities go with its uid; what could be regained goes with these two.
	for capability := range uintptr(unix.CAP_LAST_CAP + 1) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop a capability: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	if err := syscall.Setgroups(w.groups); err != nil {
		return fmt.Errorf("take the user's groups: %w", err)
	}
	if err := syscall.Setgid(w.gid); err != nil {
		return fmt.Errorf("take the user's group: %w", err)
	}
	if err := syscall.Setuid(w.uid); err != nil {
		return fmt.Errorf("take the user: %w", err)
	}
	return nil
}

// Folder makes a folder that is the user's alone, where it is not there yet.
func Folder(path, name string) error {
	if _, err := os.Stat(path); err == nil || name == "" || os.Geteuid() != 0 {
		return nil // it is made by whoever needs it
	}
	who, err := lookup(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make the user's folder: %w", err)
	}
	if err := os.Chown(path, who.uid, who.gid); err != nil {
		return fmt.Errorf("give the user its folder: %w", err)
	}
	return nil
}
