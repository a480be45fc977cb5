package clock

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAhead(t *testing.T) {
	for name, c := range map[string]struct {
		state int
		timex unix.Timex
		ahead time.Duration
		err   error
	}{
		"behind, in µs":   {unix.TIME_OK, unix.Timex{Offset: 2500}, -2500 * time.Microsecond, nil},
		"ahead, in ns":    {unix.TIME_OK, unix.Timex{Offset: -7_000_000, Status: unix.STA_NANO | unix.STA_PLL}, 7 * time.Millisecond, nil},
		"right":           {unix.TIME_OK, unix.Timex{}, 0, nil},
		"nobody knows":    {unix.TIME_OK, unix.Timex{Offset: 5, Status: unix.STA_UNSYNC}, 0, ErrUnsynchronised},
		"the kernel says": {unix.TIME_ERROR, unix.Timex{}, 0, ErrUnsynchronised},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ahead(c.state, &c.timex)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.ahead, got)
		})
	}
	if _, err := Ahead(); err != nil && !errors.Is(err, ErrUnsynchronised) {
		require.ErrorIs(t, err, unix.EPERM)
	}
}
