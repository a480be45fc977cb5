package backfill

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
)

// keeper is an adapter that keeps what it is brought.
type keeper struct {
	rows  []cdr.Row
	files []File
	read  []Recording
	dry   bool
	fails error
}

func (k *keeper) Legs(_ context.Context, rows []cdr.Row, dry bool) ([]Result, error) {
	k.rows, k.dry = append(k.rows, rows...), dry
	results := make([]Result, len(rows))
	for i := range results {
		results[i] = Result{Outcome: Imported}
		if rows[i].Sequence == 13 {
			results[i] = Result{Outcome: Differing, Reason: "billsec"}
		}
	}
	return results, k.fails
}

func (k *keeper) Files(_ context.Context, files []File) ([]Result, error) {
	k.files = append(k.files, files...)
	results := make([]Result, len(files))
	for i := range results {
		results[i] = Result{Outcome: Wanted}
		if strings.HasPrefix(filepath.Base(files[i].Path), "watched") {
			results[i] = Result{Outcome: Watched}
		}
	}
	return results, k.fails
}

func (k *keeper) Recordings(_ context.Context, recordings []Recording) ([]Result, error) {
	k.read = append(k.read, recordings...)
	return make([]Result, len(recordings)), k.fails
}

type still struct{ parts []string }

func (s *still) Begin(what string, _ int64) { s.parts = append(s.parts, what) }
func (*still) Add(int64)                    {}
func (*still) End()                         {}

func rowText(n int, offset time.Duration) string {
	start := time.Unix(1711836000+int64(n), 0).UTC()
	at := start.Add(offset).Format("2006-01-02 15:04:05")
	return fmt.Sprintf(`"","1","2","x","""A, ""b"" <1>","PJSIP/1-1","","Dial","","%s",,"%s",0,0,"NO ANSWER","DOCUMENTATION","%d.%d","","","%d.%d",%d`+"\n", at, at, start.Unix(), n, start.Unix(), n, n)
}

func rowsText(from, to int, offset time.Duration) string {
	var text strings.Builder
	for n := from; n < to; n++ {
		text.WriteString(rowText(n, offset))
	}
	return text.String()
}

func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	to := gzip.NewWriter(&out)
	_, err := to.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, to.Close())
	return out.String()
}

func TestFiles(t *testing.T) {
	many := rowsText(0, 1234, 0)
	for name, c := range map[string]struct {
		text string
		want Count
		left []string
	}{
		"plain":         {many, Count{Read: 1234, Imported: 1233, Differing: 1}, []string{"line 14: the ledger has other content for it: billsec"}},
		"packed":        {gzipped(t, many), Count{Read: 1234, Imported: 1233, Differing: 1}, []string{"line 14"}},
		"cut":           {gzipped(t, many)[:3000], Count{Imported: -1}, []string{"it cannot be read to its end", "line 14"}},
		"empty":         {"", Count{}, nil},
		"xz":            {"\xfd7zXZ\x00and so on", Count{LeftOut: 1}, []string{"packed with xz: unpack it first"}},
		"no rows":       {"a\nb\nc\n", Count{Read: 3, LeftOut: 3}, []string{"lines 1 to 3"}},
		"unfinished":    {rowText(0, 0) + rowText(1, 0)[:100], Count{Read: 2, Imported: 1, LeftOut: 1}, []string{"line 2: the line has no end"}},
		"an hour ahead": {rowsText(0, 100, time.Hour), Count{Read: 100, LeftOut: 1}, []string{"its times, read as UTC, are 1h0m0s off"}},
		"Kathmandu":     {rowsText(0, 9, 5*time.Hour+45*time.Minute), Count{Read: 9, LeftOut: 1}, []string{"5h45m0s off"}},
		"late legs":     {rowsText(0, 9, 0) + rowText(20, time.Hour), Count{Read: 10, Imported: 10}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "Master.csv", c.text)
			summary, err := Run(t.Context(), Options{Files: []string{path}, Zone: time.UTC, Progress: &still{}}, &keeper{})
			require.NoError(t, err)
			if c.want.Imported >= 0 {
				require.Equal(t, c.want, summary.Records, "%v", summary.LeftOut)
			}
			require.Len(t, summary.LeftOut, max(len(c.left), 0), "%v", summary.LeftOut)
			for i, says := range c.left {
				require.Contains(t, summary.LeftOut[i].String(), path)
				require.Contains(t, summary.LeftOut[i].String(), says)
			}
			require.Equal(t, len(c.left) == 0, summary.Whole())
		})
	}
}

func TestFolders(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"2024/03/30/out-1-2-20240330-220000-1711836000.0.gsm": "audio", "1711836001.1.wav": "", ".1711836002.2.wav": "hidden", "notes.txt": "x",
		"watched-20240330-220000-1711836003.3.gsm": "audio",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	k := &keeper{}
	summary, err := Run(t.Context(), Options{Folders: []string{folder}, Progress: &still{}}, k)
	require.NoError(t, err)
	require.Equal(t, int64(4), summary.Recordings.Read)
	require.Equal(t, int64(1), summary.Recordings.Watched)
	require.Len(t, k.read, 1)
	require.Equal(t, "1711836000.0", k.read[0].UniqueID)
	require.Len(t, k.read[0].SHA512, 128)
	dry := &keeper{}
	_, err = Run(t.Context(), Options{Folders: []string{folder}, Progress: &still{}, DryRun: true}, dry)
	require.NoError(t, err)
	require.Empty(t, dry.read, "a dry run reads none")
}

func TestFailures(t *testing.T) {
	path := file(t, "Master.csv", rowText(0, 0))
	_, err := Run(t.Context(), Options{Files: []string{path}, Zone: time.UTC, Progress: &still{}}, &keeper{fails: errors.New("no space")})
	require.ErrorContains(t, err, "the adapter: no space")
	_, err = Run(t.Context(), Options{Files: []string{filepath.Dir(path)}, Zone: time.UTC, Progress: &still{}}, &keeper{})
	require.ErrorContains(t, err, "--recordings")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Run(ctx, Options{Files: []string{path}, Zone: time.UTC, Progress: &still{}}, &keeper{})
	require.ErrorIs(t, err, context.Canceled)
}

// What is brought over the socket is what was read.
func TestWire(t *testing.T) {
	k := &keeper{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: Handle(k)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	client := NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	})
	direct := &keeper{}
	path := file(t, "Master.csv", rowsText(0, 700, 0))
	for _, adapter := range []Adapter{client, direct} {
		_, err := Run(t.Context(), Options{Files: []string{path}, Zone: time.UTC, Progress: &still{}, DryRun: true}, adapter)
		require.NoError(t, err)
	}
	require.True(t, k.dry)
	require.Equal(t, direct.rows, k.rows)
	k.fails = errors.New("the gateway is away")
	_, err = client.Files(t.Context(), []File{{Path: "/x", Modified: time.Unix(1, 2)}})
	require.EqualError(t, err, "the gateway is away")
	k.fails = nil
	_, err = client.Files(t.Context(), make([]File, MaxBatch+1))
	require.ErrorContains(t, err, "a batch has at most 500")
	_, err = post(t.Context(), client, pathLegs, []string{"no row"})
	require.Error(t, err)
}

// FuzzFile reads whatever bytes as a file of CDRs: each line is a row or is told of.
func FuzzFile(f *testing.F) {
	f.Add([]byte(rowsText(0, 3, 0)))
	f.Add([]byte(gzipped(f, rowsText(0, 3, 0))))
	f.Add([]byte("BZh91AY&SY"))
	f.Add([]byte("\"open\n\n\"\n"))
	path := filepath.Join(f.TempDir(), "fuzzed")
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(path, text, 0o600))
		k := &keeper{}
		summary, err := Run(t.Context(), Options{Files: []string{path}, Zone: time.UTC, Progress: &still{}}, k)
		if err == nil {
			require.Equal(t, int64(len(k.rows)), summary.Records.Imported+summary.Records.Differing)
		}
	})
}
