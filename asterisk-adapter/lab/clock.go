package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// prepareClock has Asterisk read its wall clock through libfaketime, from a file that
// SetClock writes. Only Asterisk loads the library: what starts it may be of another
// Debian.
func (a *Asterisk) prepareClock() error {
	triplet, _, err := multiarch()
	if err != nil {
		return err
	}
	library := filepath.Join("/usr/lib", triplet)
	if a.inst.tree != "" {
		library = a.inst.lib
	}
	library = filepath.Join(library, "faketime", "libfaketimeMT.so.1")
	if _, err := os.Stat(library); err != nil {
		return fmt.Errorf("Asterisk's clock cannot be set without Debian's package libfaketime: %w", err)
	}
	if a.inst.tree != "" {
		a.program = append([]string{a.inst.asterisk[0], "--preload", library}, a.inst.asterisk[1:]...)
	} else {
		a.program = append([]string{"env", "LD_PRELOAD=" + library}, a.inst.asterisk...)
	}
	a.env = append(a.env, "FAKETIME_TIMESTAMP_FILE="+a.clockFile(), "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")
	return a.SetClock(0)
}

func (a *Asterisk) clockFile() string { return a.path("run", "clock") }

// SetClock steps Asterisk's wall clock: from now on it is ahead of the machine's by so
// much, to the second.
func (a *Asterisk) SetClock(ahead time.Duration) error {
	file, err := os.CreateTemp(a.path("run"), "clock-*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%+d\n", int64(ahead/time.Second))
	return errors.Join(err, file.Close(), os.Rename(file.Name(), a.clockFile()))
}
