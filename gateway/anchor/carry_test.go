package anchor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A segment that was sent again may share a transaction before the journal tells
// that it has settled long ago, and holds nothing of it any more.
func TestASettledSegmentHasNoPayload(t *testing.T) {
	p := &Pipeline{}
	for _, state := range []State{Rejected, Settled, Refused} {
		_, err := p.anchoring([]*item{{state: state, number: 7}})()
		require.ErrorIs(t, err, errDropped)
		require.Equal(t, verdictAtOnce, p.judge(t.Context(), nil, nil, err, time.Now()))
	}
}
