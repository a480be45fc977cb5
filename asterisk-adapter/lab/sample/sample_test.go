package sample_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/lab/sample"
	"github.com/callseal/callseal/asterisk-adapter/recording"
)

var remake = flag.Bool("remake", false, "record the sample anew with the lab's Asterisk")

func TestSample(t *testing.T) {
	if *remake {
		record(t)
		return // what is embedded is still the old one
	}
	calls, err := sample.Calls()
	require.NoError(t, err)
	require.Len(t, calls, 2)
	dir := t.TempDir()
	require.NoError(t, sample.Extract(dir))
	require.FileExists(t, filepath.Join(dir, sample.CSV))
	seen := make(map[[32]byte]bool)
	for _, call := range calls {
		row, err := cdr.ParseCSV([]byte(call.Line), time.UTC)
		require.NoError(t, err)
		require.Equal(t, call.UniqueID, row.UniqueID)
		require.Equal(t, "ANSWERED", row.Disposition)
		digests, err := recording.Digest(t.Context(), filepath.Join(dir, call.Recording))
		require.NoError(t, err)
		require.Less(t, digests.Bytes, int64(60_000))
		seen[digests.SHA256] = true
	}
	require.Len(t, seen, 2)
}

func record(t *testing.T) {
	t.Helper()
	ast, err := lab.Require(t).Start(t.Context(), lab.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer ast.Stop()
	require.NoError(t, ast.RegisterPhones(t.Context()))
	for _, call := range []lab.Call{
		{Duration: 2 * time.Second, DisplayName: "Ana Prado"},
		{Duration: 3 * time.Second, DisplayName: "Rui, oficina", ToneHz: 620},
	} {
		_, err := ast.PlaceCall(t.Context(), call)
		require.NoError(t, err)
	}
	ast.Stop()
	old, err := filepath.Glob("*.wav")
	require.NoError(t, err)
	for _, file := range old {
		require.NoError(t, os.Remove(file))
	}
	recordings, err := filepath.Glob(filepath.Join(ast.RecordingDir(), "*.wav"))
	require.NoError(t, err)
	require.Len(t, recordings, 2)
	for _, file := range append(recordings, ast.CSV()) {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Base(file), content, 0o644))
	}
}
