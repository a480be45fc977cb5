package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestTimeIsWrittenOneWay(t *testing.T) {
	for text, ok := range map[string]bool{
		"2026-03-01T09:30:00.000Z":       true,
		"1970-01-01T00:00:00.000Z":       true,
		"9999-12-31T23:59:59.999Z":       true,
		"2024-02-29T00:00:00.001Z":       true,
		"":                               false,
		"2026-03-01T09:30:00Z":           false, // no milliseconds
		"2026-03-01T09:30:00.0Z":         false,
		"2026-03-01T09:30:00.0000Z":      false,
		"2026-03-01T09:30:00,000Z":       false,
		"2026-03-01T10:30:00.000+01:00":  false,
		"2026-03-01T09:30:00.000+00:00":  false,
		"2026-03-01T09:30:00.000-00:00":  false,
		"2026-03-01T09:30:00.000z":       false,
		"2026-03-01t09:30:00.000Z":       false,
		"2026-03-01 09:30:00.000Z":       false,
		"2016-12-31T23:59:60.000Z":       false, // a leap second has no Unix time
		"2026-02-29T00:00:00.000Z":       false,
		"2026-03-01T24:00:00.000Z":       false,
		"2026-3-01T09:30:00.000Z":        false,
		"1969-12-31T23:59:59.999Z":       false,
		"0001-01-01T00:00:00.000Z":       false,
		"10000-01-01T00:00:00.000Z":      false,
		"2026-03-01T09:30:00.000Z ":      false,
		"2026-03-01T09:30:00.000Z\x00":   false,
		"２０２６-03-01T09:30:00.000Z":       false,
		"2026-03-01T09:30:00.000000001Z": false,
	} {
		var moment ledger.Time
		err := moment.UnmarshalText([]byte(text))
		if !ok {
			require.Error(t, err, text)
			require.True(t, moment.IsZero(), text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, text, moment.String())
	}
}

func TestTimeKeepsMilliseconds(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	moment := ledger.TimeOf(time.Date(2026, 3, 1, 10, 30, 0, 999_999_999, berlin))
	require.Equal(t, "2026-03-01T09:30:00.999Z", moment.String())
	require.Equal(t, time.UTC, moment.Std().Location())
	require.Equal(t, moment.UnixMilli(), moment.Std().UnixMilli())
	later := ledger.TimeOf(moment.Std().Add(1500 * time.Millisecond))
	require.True(t, moment.Before(later))
	require.False(t, later.Before(moment))
	require.False(t, moment.Before(moment))
	require.EqualValues(t, 1500, later.Sub(moment))
	require.EqualValues(t, -1500, moment.Sub(later))
}

func TestTimeThatIsNotSet(t *testing.T) {
	var unset ledger.Time
	require.True(t, unset.IsZero())
	require.Empty(t, unset.String())
	require.True(t, unset.Std().IsZero())
	require.Equal(t, unset, ledger.TimeOf(time.Time{}))
	_, err := unset.MarshalText()
	require.Error(t, err)
	require.False(t, ledger.TimeOf(time.UnixMilli(0)).IsZero(), "1970 is a time")
}

func TestTimeOutsideItsYearsHasNoText(t *testing.T) {
	for _, moment := range []time.Time{time.UnixMilli(-1), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		_, err := ledger.TimeOf(moment).MarshalText()
		require.Error(t, err)
	}
}

func TestTimeRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyTime.Draw(t, "time")
		text, err := want.MarshalText()
		require.NoError(t, err)
		require.Len(t, text, len("2026-03-01T09:30:00.000Z"))
		var got ledger.Time
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, want, got)
		require.Equal(t, want, ledger.TimeOf(want.Std()))
	})
}

func FuzzTime(f *testing.F) {
	f.Add("2026-03-01T09:30:00.000Z")
	f.Add("2016-12-31T23:59:60.000Z")
	f.Add("2026-03-01T09:30:00.000+00:00")
	f.Fuzz(func(t *testing.T, text string) {
		var moment ledger.Time
		if moment.UnmarshalText([]byte(text)) != nil {
			require.True(t, moment.IsZero(), "a refused text leaves nothing")
			return
		}
		require.Equal(t, text, moment.String(), "one instant, one text")
		parsed, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err, "it is RFC 3339")
		require.Equal(t, parsed.UnixMilli(), moment.UnixMilli())
	})
}
