package cdr

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// FuzzRowOnTheWire reads any line, writes its row for another program and reads that.
func FuzzRowOnTheWire(f *testing.F) {
	f.Add([]byte(`"acc","+351910000001","600","from-trunk","""Ana"" <1>","PJSIP/a-1","PJSIP/b-2","Dial","x","2026-03-01 09:30:00","2026-03-01 09:30:02","2026-03-01 09:30:07",7,5,"ANSWERED","DOCUMENTATION","1772357400.1","note","peer","1772357400.0",4`))
	f.Add([]byte(`"","600","601","e","601","Local","","","","2026-03-01 09:30:00",,"2026-03-01 09:30:07",7,0,"NO ANSWER","","1772357400.1","","1772357400.0",0`))
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := ParseCSV(line, time.UTC)
		if err != nil {
			return
		}
		text, err := json.Marshal(&row)
		require.NoError(t, err)
		var read Row
		require.NoError(t, json.Unmarshal(text, &read), "%s", text)
		require.Equal(t, row, read)
	})
}

func TestRowsThatAreNone(t *testing.T) {
	for _, text := range []string{`{}`, `{"columns":{"start":"yesterday"}}`, `{"rows":1}`, `[]`, `{"columns":{"uniqueid":"1.1","linkedid":"1.1","channel":"x"}}`} {
		var row Row
		require.Error(t, json.Unmarshal([]byte(text), &row), text)
	}
}

// BenchmarkWire writes a row as it travels to another program, and reads it there.
func BenchmarkWire(b *testing.B) {
	row, err := ParseCSV([]byte(written), time.UTC)
	require.NoError(b, err)
	text, err := row.MarshalJSON()
	require.NoError(b, err)
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := row.MarshalJSON(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var read Row
			if err := read.UnmarshalJSON(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
