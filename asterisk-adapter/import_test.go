package adapter

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/backfill"
	"github.com/callseal/callseal/asterisk-adapter/cdr/mariadbtest"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

// oldStart is when the first of the old calls began.
var oldStart = time.Date(2024, 3, 30, 22, 0, 0, 0, time.UTC)

// oldRow is the n-th call of a PBX in 2024, a line of Master.csv with times in the zone:
// one every ten seconds, over the night in which Lisbon's clocks go forward.
func oldRow(n int, zone *time.Location) string {
	start := oldStart.Add(time.Duration(n) * 10 * time.Second)
	at := func(after int) string {
		return start.Add(time.Duration(after) * time.Second).In(zone).Format("2006-01-02 15:04:05")
	}
	id := fmt.Sprintf("%d.%d", start.Unix(), n)
	return fmt.Sprintf(`"","351910%06d","2002","from-internal","""Ann"" <351910%06d>","PJSIP/1-%08d","PJSIP/2-%08d","Dial","PJSIP/2","%s","%s","%s",7,5,"ANSWERED","DOCUMENTATION","%s","","","%s",%d`,
		n, n, n, n, at(0), at(2), at(7), id, id, n) + "\n"
}

func oldRows(from, to int, zone *time.Location) string {
	var text strings.Builder
	for n := from; n < to; n++ {
		text.WriteString(oldRow(n, zone))
	}
	return text.String()
}

func oldID(n int) string {
	return fmt.Sprintf("%d.%d", oldStart.Add(time.Duration(n)*10*time.Second).Unix(), n)
}

// past is a network and what an operator imports with.
type past struct {
	*scene
	programs string
}

func newPast(t testing.TB) *past {
	t.Helper()
	s := &scene{network: networktest.Start(t, networktest.WithGateways())}
	s.owner = s.network.Consortium().Operators[0]
	s.org = s.network.Layout().Operator(s.owner.Name)
	return &past{scene: s, programs: networktest.Build(t, "callseal", "callseal-asterisk-adapter")}
}

// configured writes the configuration of an adapter with an empty CDR file.
func (p *past) configured(t testing.TB, state string, change func(*Config)) (*Config, string) {
	t.Helper()
	folder := t.TempDir()
	identity := p.org.Identity(p.owner.PBXs[0])
	config := &Config{
		MSP: p.owner.MSP, PBX: p.owner.PBXs[0], StateDir: state,
		Gateway:  GatewayConfig{Address: p.owner.Gateway.Address, CAFile: p.org.TLSCAFile()},
		Identity: IdentityConfig{CertFile: identity.CertFile(), KeyFile: identity.KeyFile()},
		CDR:      CDRConfig{CSV: filepath.Join(folder, "Master.csv")}, Timezone: "Europe/Lisbon",
		Contexts: map[string]string{"from-internal": "outbound"},
	}
	if change != nil {
		change(config)
	}
	require.NoError(t, config.check())
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	file := filepath.Join(folder, "adapter.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return config, file
}

// imported runs `callseal import` and answers its summary and exit code.
func (p *past) imported(t *testing.T, config string, arguments ...string) (*backfill.Summary, int) {
	t.Helper()
	var out, problems bytes.Buffer
	command := exec.CommandContext(t.Context(), filepath.Join(p.programs, "callseal"), append([]string{"import", "--config", config, "--json"}, arguments...)...)
	command.Stdout, command.Stderr = &out, &problems
	err := command.Run()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit)
	}
	summary := &backfill.Summary{}
	if command.ProcessState.ExitCode() < 2 {
		require.NoError(t, json.Unmarshal(out.Bytes(), summary), "%s%s", out.String(), problems.String())
	}
	if testing.Verbose() {
		t.Logf("%s%s", out.String(), problems.String())
	}
	return summary, command.ProcessState.ExitCode()
}

// onLedger counts the PBX's legs, and fails where one is there twice.
func (p *past) onLedger(t testing.TB) map[string]*pb.Call {
	t.Helper()
	found := map[string]*pb.Call{}
	for token := ""; ; {
		page, err := pb.NewCallServiceClient(p.auditor).ListCalls(context.Background(), &pb.ListCallsRequest{Msp: p.owner.MSP, Pbx: p.owner.PBXs[0], PageSize: 1000, PageToken: token})
		require.NoError(t, err)
		for _, call := range page.GetCalls() {
			require.Nil(t, found[call.GetLeg().GetUniqueid()])
			found[call.GetLeg().GetUniqueid()] = call
		}
		if token = page.GetNextPageToken(); token == "" {
			return found
		}
	}
}

func (p *past) requireNoIncident(t *testing.T) {
	t.Helper()
	incidents, err := pb.NewLedgerServiceClient(p.auditor).ListIncidents(t.Context(), &pb.ListIncidentsRequest{Msp: p.owner.MSP, Pbx: p.owner.PBXs[0]})
	require.NoError(t, err)
	require.Empty(t, incidents.GetIncidents())
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func packed(t testing.TB, path, text string) string {
	t.Helper()
	var out bytes.Buffer
	to := gzip.NewWriter(&out)
	_, err := to.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, to.Close())
	return write(t, path, out.String())
}

// TestImport brings old files, tables and recordings into a PBX's history: beside a
// running adapter and without one, again and again, cut off, and with a journal that was
// lost. Each leg is on the ledger once, as it was.
func TestImport(t *testing.T) {
	p := newPast(t)
	p.auditor = p.dial(t, "auditor")
	state := t.TempDir()
	config, file := p.configured(t, state, nil)
	folder := t.TempDir()
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	require.NoError(t, err)

	t.Run("without an adapter", func(t *testing.T) {
		csv := write(t, filepath.Join(folder, "Master.csv.1"), oldRows(0, 1200, time.UTC))
		_, code := p.imported(t, file, "--dry-run", csv)
		require.Equal(t, 2, code, "nothing is known yet")
		require.NoFileExists(t, filepath.Join(state, journalFile))
		summary, code := p.imported(t, file, csv)
		require.Zero(t, code)
		require.Equal(t, backfill.Count{Read: 1200, Imported: 1200}, summary.Records)
		found := p.onLedger(t)
		require.Len(t, found, 1200)
		call := found[oldID(7)]
		require.Equal(t, oldStart.Add(70*time.Second), call.GetStart().AsTime())
		require.Equal(t, "outbound", call.GetDirection())
		require.Empty(t, call.GetSoftware())
		require.False(t, call.GetRecordingDue())
		require.True(t, recordOf(t, call.GetRecordJson()).Call.Imported)
		summary, code = p.imported(t, file, csv)
		require.Zero(t, code)
		require.Equal(t, backfill.Count{Read: 1200, Known: 1200}, summary.Records)
		require.Len(t, p.onLedger(t), 1200)
	})

	t.Run("cut off", func(t *testing.T) {
		csv := packed(t, filepath.Join(folder, "Master.csv.2.gz"), oldRows(1200, 4200, time.UTC))
		for range 6 {
			command := exec.Command(filepath.Join(p.programs, "callseal"), "import", "--config", file, csv)
			require.NoError(t, command.Start())
			time.Sleep(rand.N(1200 * time.Millisecond))
			_ = command.Process.Kill()
			_ = command.Wait()
		}
		summary, code := p.imported(t, file, csv)
		require.Zero(t, code)
		require.Equal(t, int64(3000), summary.Records.Imported+summary.Records.Known)
		require.Len(t, p.onLedger(t), 4200)
		p.requireNoIncident(t)
	})

	t.Run("beside an adapter", func(t *testing.T) {
		r := run(t, config)
		bad := strings.Replace(oldRow(4201, time.UTC), `"ANSWERED"`, `"PERHAPS"`, 1)
		changed := strings.Replace(oldRow(3, time.UTC), `"2002"`, `"2003"`, 1)
		csv := packed(t, filepath.Join(folder, "Master.csv.3.gz"), oldRow(4200, time.UTC)+bad+"no record\nneither\n"+changed+oldRow(0, time.UTC)+strings.TrimSuffix(oldRow(4202, time.UTC), "\n"))
		local := write(t, filepath.Join(folder, "local.csv"), oldRows(4300, 4400, lisbon))
		dry, code := p.imported(t, file, "--dry-run", csv)
		require.Equal(t, 1, code)
		summary, code := p.imported(t, file, csv)
		require.Equal(t, 1, code)
		require.Equal(t, backfill.Count{Read: 7, Imported: 1, Known: 1, Differing: 1, LeftOut: 4}, summary.Records)
		require.Equal(t, summary.Records, dry.Records, "a dry run says what will be")
		require.Len(t, summary.LeftOut, 4)
		for n, want := range []struct {
			first, last int64
			says        string
		}{{2, 2, "disposition"}, {3, 4, "columns"}, {5, 5, "dst"}, {7, 7, "no end"}} {
			left := summary.LeftOut[n]
			require.Equal(t, csv, left.File)
			require.Equal(t, [2]int64{want.first, want.last}, [2]int64{left.First, left.Last}, "%v", left)
			require.Contains(t, left.Reason, want.says)
		}
		summary, code = p.imported(t, file, local)
		require.Equal(t, 1, code)
		require.Len(t, summary.LeftOut, 1)
		require.Contains(t, summary.LeftOut[0].Reason, "1h0m0s off the creation of the channels")
		summary, code = p.imported(t, file, "--times", "local", local)
		require.Zero(t, code)
		require.Equal(t, int64(100), summary.Records.Imported)
		require.Eventually(t, func() bool { return len(p.onLedger(t)) == 4301 }, patience, 50*time.Millisecond)
		require.Equal(t, oldStart.Add(4300*10*time.Second), p.onLedger(t)[oldID(4300)].GetStart().AsTime())
		require.Empty(t, r.lines("call refused"))
		require.NoError(t, r.stop())
		require.NoFileExists(t, filepath.Join(state, controlSocket))
		p.requireNoIncident(t)
	})

	t.Run("recordings", func(t *testing.T) { p.testOldRecordings(t, file) })
	t.Run("with a journal that was lost", func(t *testing.T) {
		_, other := p.configured(t, t.TempDir(), nil)
		changed := strings.Replace(oldRow(1, time.UTC), `,7,5,"ANSWERED"`, `,7,4,"ANSWERED"`, 1)
		csv := write(t, filepath.Join(folder, "again.csv"), oldRow(0, time.UTC)+changed+oldRows(2, 700, time.UTC)+oldRow(4500, time.UTC))
		summary, code := p.imported(t, other, csv)
		require.Equal(t, 1, code)
		require.Equal(t, backfill.Count{Read: 701, Imported: 1, Known: 699, Differing: 1}, summary.Records)
		require.Contains(t, summary.LeftOut[0].Reason, "billsec")
		require.Len(t, p.onLedger(t), 4302)
		p.requireNoIncident(t)
		state = filepath.Dir(other) // the history goes on there
	})
	t.Run("a table", func(t *testing.T) { p.testOldTable(t) })
	t.Run("what cannot be", func(t *testing.T) {
		for says, arguments := range map[string][]string{
			"say what to import":       nil,
			"is a folder":              {folder},
			"no such file":             {filepath.Join(folder, "none")},
			"must be utc or local":     {"--times", "maybe", filepath.Join(folder, "Master.csv.1")},
			"has no cdr.table":         {"--table"},
			"is not an IANA name":      {"--timezone", "Europe/Porto", filepath.Join(folder, "Master.csv.1")},
			"write a day such as":      {"--table", "--since", "yesterday"},
			"are about --table":        {"--since", "2024-01-01", filepath.Join(folder, "Master.csv.1")},
			"look for recordings":      {"--recordings", filepath.Join(folder, "none")},
			"no such file or director": {"--config", filepath.Join(folder, "none.yaml"), filepath.Join(folder, "Master.csv.1")},
		} {
			var problems bytes.Buffer
			command := exec.CommandContext(t.Context(), filepath.Join(p.programs, "callseal"), append([]string{"import", "--config", file}, arguments...)...)
			command.Stderr = &problems
			var exit *exec.ExitError
			require.ErrorAs(t, command.Run(), &exit, says)
			require.Equal(t, 2, exit.ExitCode(), says)
			require.Contains(t, problems.String(), says)
		}
	})
}

// testOldRecordings imports a tree as FreePBX leaves it.
func (p *past) testOldRecordings(t *testing.T, file string) {
	t.Helper()
	tree := t.TempDir()
	audio := func(n int) string {
		return string(silence8k(100 + n))
	}
	name := func(n int) string {
		return filepath.Join(tree, "2024", "03", "30", fmt.Sprintf("out-2002-351910%06d-20240330-220000-%s.wav", n, oldID(n)))
	}
	for n := range 20 {
		write(t, name(n), audio(n))
		require.NoError(t, os.Chtimes(name(n), time.Time{}, oldStart.Add(time.Duration(n)*10*time.Second+8*time.Second)))
	}
	write(t, filepath.Join(tree, "notes.txt"), "x")
	write(t, filepath.Join(tree, "1700000000.9.wav"), audio(0))
	write(t, filepath.Join(tree, oldID(30)+".wav"), "")
	require.NoError(t, os.Symlink(name(0), filepath.Join(tree, oldID(31)+".wav")))
	dry, code := p.imported(t, file, "--dry-run", "--recordings", tree)
	require.Equal(t, 1, code)
	require.Equal(t, int64(21), dry.Recordings.Imported, "what is in the files is not read")
	summary, code := p.imported(t, file, "--recordings", tree)
	require.Equal(t, 1, code)
	require.Equal(t, backfill.Count{Read: 24, Imported: 20, LeftOut: 4}, summary.Recordings)
	reasons := fmt.Sprint(summary.LeftOut)
	for _, says := range []string{"does not tell the uniqueid", "no record of its call is known", "has 0 bytes", "no regular file"} {
		require.Contains(t, reasons, says)
	}
	for n := range 20 {
		listed, err := pb.NewRecordingServiceClient(p.auditor).ListRecordings(t.Context(), &pb.ListRecordingsRequest{Msp: p.owner.MSP, Pbx: p.owner.PBXs[0], Linkedid: oldID(n)})
		require.NoError(t, err)
		require.Len(t, listed.GetRecordings(), 1)
		require.Equal(t, int64(len(audio(n))), listed.GetRecordings()[0].GetBytes())
		require.True(t, recordOf(t, listed.GetRecordings()[0].GetRecordJson()).Recording.Imported)
		require.Equal(t, oldStart.Add(time.Duration(n)*10*time.Second+8*time.Second), listed.GetRecordings()[0].GetClosedAt().AsTime())
	}
	summary, _ = p.imported(t, file, "--recordings", tree)
	require.Equal(t, backfill.Count{Read: 24, Known: 20, LeftOut: 4}, summary.Recordings)
	// A changed file, and a changed copy, are not anchored anew; a true copy is known.
	write(t, name(0), strings.TrimSuffix(audio(0), "\x00")+"\x01")
	copies := t.TempDir()
	write(t, filepath.Join(copies, oldID(1)+".wav"), string(silence8k(99)))
	write(t, filepath.Join(copies, oldID(2)+".wav"), audio(2))
	summary, code = p.imported(t, file, "--recordings", tree, "--recordings", copies)
	require.Equal(t, 1, code)
	require.Equal(t, int64(2), summary.Recordings.Differing, "%v", summary.LeftOut)
	require.Equal(t, int64(20), summary.Recordings.Known)
	p.requireNoIncident(t)
}

func recordOf(t *testing.T, canonical []byte) *ledger.Record {
	t.Helper()
	record := &ledger.Record{}
	require.NoError(t, ledger.DecodeStrict(canonical, record))
	return record
}

// silence8k is a WAV of so many samples.
func silence8k(samples int) []byte {
	size := 2 * samples
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00")
	for at, value := range map[int]int{4: 36 + size, 40: size} {
		for n := range 4 {
			head[at+n] = byte(value >> (8 * n))
		}
	}
	return append(head, make([]byte, size)...)
}

// testOldTable imports FreePBX's table, also what is older than a day.
func (p *past) testOldTable(t *testing.T) {
	t.Helper()
	server := mariadbtest.Start(t)
	database, root := server.Database(mariadbtest.Times)
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	require.NoError(t, err)
	for n := 5000; n < 5600; n++ {
		start := oldStart.Add(time.Duration(n) * 10 * time.Second)
		at := func(after int) string {
			return start.Add(time.Duration(after) * time.Second).In(lisbon).Format("2006-01-02 15:04:05")
		}
		answer := any(at(2))
		if n == 5001 {
			answer = nil
		}
		_, err := root.ExecContext(t.Context(), "INSERT INTO cdr (calldate, clid, src, dst, dcontext, channel, duration, billsec, disposition, amaflags, uniqueid, linkedid, sequence, answer, `end`) VALUES (?, '', '1', '2', 'x', 'PJSIP/1-1', 7, 5, 'ANSWERED', 3, ?, ?, ?, ?, ?)",
			at(0), oldID(n), oldID(n), n, answer, map[bool]any{true: nil, false: at(7)}[n == 5002])
		require.NoError(t, err)
	}
	_, file := p.configured(t, t.TempDir(), func(c *Config) {
		c.CDR.Table = &TableConfig{Address: server.Address(), User: "callseal", Database: database}
	})
	before := len(p.onLedger(t))
	summary, code := p.imported(t, file, "--table", "--before", "2024-03-31")
	require.Zero(t, code)
	require.Zero(t, summary.Records.Read)
	summary, code = p.imported(t, file, "--table", "--since", "2024-03-31")
	require.Equal(t, 1, code)
	require.Equal(t, backfill.Count{Read: 600, Imported: 599, LeftOut: 1}, summary.Records, "%v", summary.LeftOut)
	require.Contains(t, summary.LeftOut[0].Reason, "end")
	require.Len(t, p.onLedger(t), before+599)
	require.Equal(t, oldStart.Add(5000*10*time.Second), p.onLedger(t)[oldID(5000)].GetStart().AsTime())
	p.requireNoIncident(t)
}

// BenchmarkImport is the rate at which 20,000 records are brought onto the ledger of a
// whole network on this machine, and at which they are found to be known.
func BenchmarkImport(b *testing.B) {
	const rows = 20_000
	p := newPast(b)
	config, _ := p.configured(b, b.TempDir(), nil)
	csv := write(b, filepath.Join(b.TempDir(), "Master.csv"), oldRows(0, rows, time.UTC))
	for b.Loop() {
		for _, what := range []string{"imported", "known"} {
			summary, err := Import(context.Background(), config, ImportOptions{Options: backfill.Options{Files: []string{csv}, Zone: time.UTC, Progress: silent{}}}, slog.New(slog.DiscardHandler))
			if err != nil || !summary.Whole() {
				b.Fatal(errors.Join(err, fmt.Errorf("%+v", summary)))
			}
			b.ReportMetric(rows/summary.Seconds, what+"/s")
		}
	}
}

// silent is progress that nobody looks at.
type silent struct{}

func (silent) Begin(string, int64) {}
func (silent) Add(int64)           {}
func (silent) End()                {}
