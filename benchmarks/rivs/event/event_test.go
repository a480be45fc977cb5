package event

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/cdr/mariadbtest"
)

func TestCallsAreTheSameForTheSameSeed(t *testing.T) {
	calls, err := Calls(1, 500)
	require.NoError(t, err)
	again, err := Calls(1, 500)
	require.NoError(t, err)
	require.Equal(t, calls, again)
	other, err := Calls(2, 500)
	require.NoError(t, err)
	require.NotEqual(t, calls, other)
	ids, positive := map[string]bool{}, 0
	for _, call := range calls {
		found, err := Judge(call.Line)
		require.NoError(t, err)
		require.Equal(t, call.Event, found)
		ids[call.ID] = true
		if found.Positive {
			positive++
		}
	}
	require.Len(t, ids, 500)
	require.InDelta(t, 375, positive, 60)
}

func TestWhatIsNoEvent(t *testing.T) {
	_, err := Judge([]byte("x"))
	require.ErrorContains(t, err, "read a CDR")
	_, err = judged("+351910000000", 30)
	require.ErrorIs(t, err, ErrNothing)
}

// Against a real MariaDB.
func TestScores(t *testing.T) {
	_, db := mariadbtest.Start(t).Database(Table)
	score := func() (value float64) {
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT score FROM score WHERE subject = 'a'").Scan(&value))
		return value
	}
	for _, step := range []struct {
		positive bool
		want     float64
	}{{true, 6}, {false, 5}, {false, 10.0 * 3 / 7}} {
		require.NoError(t, Update(t.Context(), db, Event{Subject: "a", Positive: step.positive}))
		require.InDelta(t, step.want, score(), 1e-9)
	}
	_, err := Row(t.Context(), db, "1.0")
	require.ErrorContains(t, err, "read the row of call 1.0")
	_, err = db.ExecContext(t.Context(), "INSERT INTO cdr (uniqueid, src, billsec) VALUES ('1.0', '+351910000000', 31)")
	require.NoError(t, err)
	found, err := Row(t.Context(), db, "1.0")
	require.NoError(t, err)
	require.Equal(t, Event{Subject: "+351910000000", Positive: true}, found)
}
