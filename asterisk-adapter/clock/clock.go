// Package clock asks the kernel how far this machine's clock is from its time source.
package clock

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnsynchronised says that nobody keeps the clock right, as far as the kernel knows.
var ErrUnsynchronised = errors.New("the clock is not synchronised")

// Ahead is by how much the clock is ahead of its time source, as whoever keeps it right
// told the kernel last (adjtimex(2)). Daemons that correct the clock themselves, such as
// chrony, leave it at 0. The error is ErrUnsynchronised, or says why the kernel does not
// tell.
func Ahead() (time.Duration, error) {
	var timex unix.Timex
	state, err := unix.Adjtimex(&timex)
	if err != nil {
		return 0, fmt.Errorf("ask the kernel about the clock: %w", err)
	}
	return ahead(state, &timex)
}

func ahead(state int, timex *unix.Timex) (time.Duration, error) {
	if state == unix.TIME_ERROR || timex.Status&unix.STA_UNSYNC != 0 {
		return 0, ErrUnsynchronised
	}
	unit := time.Microsecond
	if timex.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	// The kernel's offset is what is still to be added to the clock.
	return -time.Duration(timex.Offset) * unit, nil
}
