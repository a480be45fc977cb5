package anchor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whoever sends lately shares; whoever has not sent for long does not.
func TestShares(t *testing.T) {
	now, all := time.Now(), newShares()
	for i := range 10 {
		require.Equal(t, i+1, all.among(fmt.Sprint(i), now))
	}
	require.Equal(t, 10, all.among("3", now.Add(activeFor/2)))
	require.Equal(t, 2, all.among("new", now.Add(activeFor+2*time.Second)), "the third sent since")
}

func TestExceeded(t *testing.T) {
	for name, test := range map[string]struct {
		holds, taken, bound, among int
		want                       bool
	}{
		"one alone may have all":           {holds: 99, taken: 99, bound: 100, among: 1},
		"no more than all":                 {holds: 100, taken: 100, bound: 100, among: 1, want: true},
		"who is alone in it may have half": {holds: 49, taken: 49, bound: 100, among: 10},
		"its part":                         {holds: 10, taken: 60, bound: 100, among: 10, want: true},
		"less than its part":               {holds: 9, taken: 95, bound: 100, among: 10},
		"one, however many there are":      {holds: 0, taken: 80, bound: 100, among: 1000},
		"and no second":                    {holds: 1, taken: 80, bound: 100, among: 1000, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, exceeded(test.holds, test.taken, test.bound, test.among))
		})
	}
}
