package cdr

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// hostile is what a caller may send as a name.
var hostile = []string{
	`a "quoted" name`, "two\nlines", "Event: Cdr\r\nUniqueID: 1.1\r\n\r\n", "$(reboot) `id` ; rm -rf /", "'; DROP TABLE cdr; --", `back\slash\"`, "Jos\xe9", "\xff\xfe\x80",
	strings.Repeat("é", 127) + "\xc3", "\U0010fe80 and \U0010feff", "%s%n ${EXTEN}", "tab\tbell\a", strings.Repeat("x", 4096),
}

func TestText(t *testing.T) {
	for _, plain := range []string{"", "José", "Zé \U0010fe7f \U0010ff00 \ufffd"} {
		require.Equal(t, plain, Text(plain), "what is UTF-8 stays as it is")
	}
	require.Equal(t, "Jos\U0010fee9", Text("Jos\xe9"))
	require.Equal(t, "\U0010fef4\U0010fe8f\U0010feba\U0010fe80", Text("\U0010fe80"), "what would look like an escape is escaped")
	seen := map[string]string{}
	for _, name := range append(hostile, "Jos\U0010fee9") {
		text := Text(name)
		require.True(t, utf8.ValidString(text))
		require.Equal(t, name, string(Bytes(text)))
		require.Empty(t, seen[text], "no two become the same")
		seen[text] = name
	}
}

// TestHostileNames reads the same record from every source: all make the same row of it.
func TestHostileNames(t *testing.T) {
	l := layoutOfFreePBX(t)
	for _, name := range hostile {
		line := strings.Replace(written, "boss", strings.ReplaceAll(name, `"`, `""`), 1)
		if strings.Contains(name, "x"+strings.Repeat("x", 4000)) {
			_, err := ParseCSV([]byte(line), time.UTC)
			require.ErrorIs(t, err, ErrBadField, "a refusal, and never half a record")
			continue
		}
		row, err := ParseCSV([]byte(line), time.UTC)
		require.NoError(t, err)
		require.Contains(t, string(Bytes(row.CLID)), name)
		event, err := ParseEvent(func(header string) (string, bool) {
			switch header {
			case "CallerID":
				return string(Bytes(row.CLID)), true
			case "StartTime", "AnswerTime":
				return "2026-11-21 07:04:10", true
			case "EndTime":
				return "2026-11-21 07:04:12", true
			case "Duration", "BillableSeconds":
				return "2", true
			}
			for _, field := range row.Fields() {
				if headerOf[field.Name] == header {
					return field.Value, true
				}
			}
			return "", false
		}, time.UTC)
		require.NoError(t, err)
		require.Empty(t, row.Diff(&event))
		stored, err := l.parse(valuesOf(l, map[string]string{"clid": string(Bytes(row.CLID))}), time.UTC)
		require.NoError(t, err)
		if len(stored.Cut()) == 0 {
			require.Equal(t, row.CLID, stored.CLID)
		}
	}
}

// headerOf are the headers of a Cdr event by column.
var headerOf = map[string]string{
	"accountcode": "AccountCode", "src": "Source", "dst": "Destination", "dcontext": "DestinationContext", "channel": "Channel", "dstchannel": "DestinationChannel",
	"lastapp": "LastApplication", "lastdata": "LastData", "disposition": "Disposition", "amaflags": "AMAFlags", "uniqueid": "UniqueID", "userfield": "UserField",
	"peeraccount": "PeerAccount", "linkedid": "LinkedID", "sequence": "Sequence",
}

// FuzzText holds the form that records have against what it stands for.
func FuzzText(f *testing.F) {
	for _, name := range hostile {
		f.Add([]byte(name))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text := Text(string(raw))
		require.True(t, utf8.ValidString(text))
		require.Equal(t, string(raw), string(Bytes(text)))
	})
}
