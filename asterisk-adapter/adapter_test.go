package adapter

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/pbx"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

// TestAdapter runs adapters beside a real Asterisk, on a real network, one story
// after the other: each leaves the ledger as the file says.
func TestAdapter(t *testing.T) {
	s := newScene(t)
	for _, story := range []struct {
		name string
		tell func(*testing.T)
	}{
		{"csv only", func(t *testing.T) { t.Helper(); s.testSources(t, "csv") }},
		{"ami only", func(t *testing.T) { t.Helper(); s.testSources(t, "ami") }},
		{"table only", func(t *testing.T) { t.Helper(); s.testSources(t, "table") }},
		{"csv and ami", func(t *testing.T) { t.Helper(); s.testSources(t, "csv", "ami") }},
		{"csv, table, ami and ari", func(t *testing.T) { t.Helper(); s.testSources(t, "csv", "table", "ami", "ari") }},
		{"the database restarts", s.testDatabaseRestarts},
		{"examined", s.testExamined},
		{"away and back", s.testAwayAndBack},
		{"killed", s.testKilled},
		{"gateway stopped", s.testGatewayStopped},
		{"odd recordings", s.testOddRecordings},
		{"bad lines and rotation", s.testBadLinesAndRotation},
		{"local times", s.testLocalTimes},
		{"hostile names", s.testHostileNames},
		{"clock steps", s.testClockSteps},
		{"clock change", s.testClockChange},
		{"bridge recording", s.testBridgeRecording},
		{"recordings of every kind", s.testRecordings},
		{"thirty recorded calls at once", s.testConcurrentRecordings},
		{"the network to Asterisk is lost", s.testGap},
		{"devices", s.testDevices},
		{"progress", s.testProgress},
		{"settings that Asterisk lacks", s.testMissingSettings},
		{"sources that disagree", s.testSourcesDisagree},
	} {
		if !t.Run(story.name, story.tell) {
			return // the next would stumble over the same
		}
	}
}

// testSources follows one call of each kind by the given sources. Its journal is
// new: what earlier adapters anchored is recognised, not anchored again.
func (s *scene) testSources(t *testing.T, sources ...string) {
	t.Helper()
	earlier := len(s.truth(t))
	r := run(t, s.config(t, t.TempDir(), sources...))
	s.place(t, "ANSWERED", "BUSY", "NO ANSWER", "CANCEL")
	found := s.settled(t)
	if slices.Contains(sources, "csv") || slices.Contains(sources, "table") {
		require.Len(t, r.until(t, "the ledger has an old leg from an earlier epoch", earlier), earlier)
	}
	rows := s.truth(t)
	epochs := map[int64]bool{}
	for i := earlier; i < len(rows); i++ {
		id := ledger.LegID{LinkedID: rows[i].LinkedID, UniqueID: rows[i].UniqueID, Sequence: rows[i].Sequence}
		call := found.calls[id]
		epochs[call.GetPlace().GetEpoch()] = true
		s.requireObserved(t, call, slices.Contains(sources, "ari"))
		if rows[i].Disposition == "ANSWERED" {
			require.Equal(t, call.GetPlace().GetSegment(), found.recordings[id][0].GetPlace().GetSegment())
			s.proven(t, id, &rows[i])
		}
	}
	require.Len(t, epochs, 1)
	r.requireHealth(t)
	s.requireCounted(t, r, sources, len(rows)-earlier)
	for _, never := range []string{"two sources disagree", "call refused", "a recording was changed", "the ledger has other content", "a record is not fit"} {
		require.Empty(t, r.lines(never))
	}
	require.NoError(t, r.stop())
}

// requireCounted reads the adapter's metrics: every source told of every leg, one was
// the first to, and nothing of a call is in them.
func (s *scene) requireCounted(t *testing.T, r *running, sources []string, legs int) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, page := r.get(t, "/metrics")
		first, by := toldBy(t, page)
		for _, source := range sources {
			if source != "ari" && by[source] < legs {
				return false
			}
		}
		return first >= legs && strings.Contains(page, "\ncallseal_adapter_journal_outbox_segments 0\n")
	}, patience, 20*time.Millisecond, "every source told of every leg, and all is settled")
	_, page := r.get(t, "/metrics")
	require.Regexp(t, `(?m)^callseal_adapter_recordings_total\{outcome="digested"\} [1-9]`, page)
	require.Regexp(t, `(?m)^callseal_adapter_connected\{to="gateway"\} 1$`, page)
	require.NotContains(t, page, "PJSIP")
	for _, number := range []string{lab.Caller, lab.Answers, lab.Busy, lab.Rings, lab.RingsLong} {
		require.NotRegexp(t, `"`+number+`"`, page)
	}
}

var legsTold = regexp.MustCompile(`(?m)^callseal_adapter_source_legs_total\{first="(yes|no)",source="([a-z]+)"\} (\d+)$`)

// toldBy reads in an adapter's metrics how many legs a source was the first to tell of,
// and how many each told of.
func toldBy(t *testing.T, page string) (first int, by map[string]int) {
	t.Helper()
	by = map[string]int{}
	for _, found := range legsTold.FindAllStringSubmatch(page, -1) {
		n, err := strconv.Atoi(found[3])
		require.NoError(t, err)
		if by[found[2]] += n; found[1] == "yes" {
			first += n
		}
	}
	return first, by
}

// testDatabaseRestarts stops the table's database, kills it, and starts it again:
// calls that Asterisk could not write there come from the file.
func (s *scene) testDatabaseRestarts(t *testing.T) {
	t.Helper()
	r := run(t, s.config(t, t.TempDir(), "csv", "table"))
	for n, end := range []func(){s.mariadb.Stop, s.mariadb.Kill} {
		end()
		r.until(t, "table of CDRs lost", n+1)
		r.requireHealth(t, "table")
		s.place(t, "BUSY")
		s.mariadb.Again()
		r.until(t, "table of CDRs connected", n+2)
		s.place(t, "ANSWERED")
	}
	s.settled(t)
	require.Empty(t, r.lines("two sources disagree"))
	var rows int
	require.NoError(t, s.root.QueryRow("SELECT COUNT(*) FROM "+s.database+".cdr").Scan(&rows))
	require.Less(t, rows, len(s.truth(t)), "Asterisk could not write all of them to the table")
	require.NoError(t, r.stop())
}

// requireObserved checks the times to the millisecond: with ARI, and only then.
func (s *scene) requireObserved(t *testing.T, call *pb.Call, ari bool) {
	t.Helper()
	var record ledger.Record
	require.NoError(t, ledger.DecodeStrict(call.GetRecordJson(), &record))
	require.Equal(t, ari, record.Call.Boot != 0, "ARI tells when Asterisk was started")
	if !ari {
		require.Nil(t, call.GetObserved())
		require.Empty(t, call.GetSoftware())
		return
	}
	require.Regexp(t, `^Asterisk 22\.`, call.GetSoftware())
	observed := call.GetObserved()
	require.WithinDuration(t, call.GetStart().AsTime(), observed.GetStart().AsTime(), 2*time.Second)
	require.WithinDuration(t, call.GetEnd().AsTime(), observed.GetEnd().AsTime(), 2*time.Second)
	require.Equal(t, call.GetDisposition() == ledger.Answered, observed.GetAnswer() != nil)
	if call.GetDisposition() == ledger.Answered {
		require.Equal(t, int64(16), call.GetHangupCause())
	}
}

// testAwayAndBack stops the adapter in the middle of a call, has calls placed
// while it is away, and starts it again.
func (s *scene) testAwayAndBack(t *testing.T) {
	t.Helper()
	config := s.config(t, t.TempDir(), "csv", "ami", "ari")
	first := run(t, config)
	s.place(t, "ANSWERED")
	s.settled(t)
	digested := len(first.lines("recording digested"))
	require.Positive(t, digested)
	talking := make(chan struct{})
	go func() {
		defer close(talking)
		s.place(t, "ANSWERED", "CANCEL")
	}()
	require.NoError(t, first.stop(), "the end of the context is no error")
	<-talking
	s.place(t, "ANSWERED", "BUSY")
	again := run(t, config)
	s.settled(t)
	require.Len(t, again.lines("recording digested"), 2, "only what was made meanwhile is read")
	require.Empty(t, again.lines("the ledger has an old leg"), "the journal knows them")
	require.NoError(t, again.stop())

	idle := run(t, config)
	s.place(t, "BUSY")
	s.settled(t)
	require.Empty(t, idle.lines("recording digested"))
	require.NoError(t, idle.stop())
}

// testKilled kills the real program again and again between the end of a call and
// its commit.
func (s *scene) testKilled(t *testing.T) {
	t.Helper()
	config := s.config(t, t.TempDir(), "csv", "ami")
	config.Recordings.PairWait, config.User = "2s", me(t)
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "adapter.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	program := filepath.Join(networktest.Build(t, "callseal-asterisk-adapter"), "callseal-asterisk-adapter")
	start := func() (*exec.Cmd, *logbook) {
		log := &logbook{}
		command := exec.Command(program, "--config", file)
		command.Stderr = log
		require.NoError(t, command.Start())
		log.until(t, "adapter ready", 1)
		return command, log
	}
	const kills = 6
	for range kills {
		command, _ := start()
		s.place(t, "ANSWERED", "BUSY")
		time.Sleep(rand.N(60 * time.Millisecond)) // anywhere from the CDR to the commit
		require.NoError(t, command.Process.Kill())
		_ = command.Wait()
	}
	command, log := start()
	s.settled(t)
	require.Empty(t, log.lines("call refused"))
	require.NoError(t, command.Process.Signal(os.Interrupt))
	require.NoError(t, command.Wait(), "%s", log)
}

// testGatewayStopped places calls while the gateway is down: they wait, and their
// numbers are in the order in which they ended.
func (s *scene) testGatewayStopped(t *testing.T) {
	t.Helper()
	r := run(t, s.config(t, t.TempDir(), "csv"))
	earlier := len(s.truth(t))
	r.until(t, "the ledger has an old leg", earlier)
	// A call that ends in the second in which the journal began may be from before
	// it: that one has to wait for the gateway's word.
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
	s.network.Stop("atlas-gateway")
	for range 6 { // more than travel at once
		s.place(t, "ANSWERED")
	}
	r.until(t, "the segment is not on the ledger yet and is sent again", 1)
	s.network.StartNode("atlas-gateway")
	found := s.settled(t)
	rows := s.truth(t)[earlier:]
	require.Len(t, rows, 6)
	last := int64(0)
	for i := range rows {
		place := found.calls[ledger.LegID{LinkedID: rows[i].LinkedID, UniqueID: rows[i].UniqueID, Sequence: rows[i].Sequence}].GetPlace()
		require.Greater(t, place.GetSeq(), last)
		last = place.GetSeq()
	}
	require.NoError(t, r.stop())
}

// testOddRecordings changes a recording after it was anchored, and lays files into
// the folder that are no recordings.
func (s *scene) testOddRecordings(t *testing.T) {
	t.Helper()
	config := s.config(t, t.TempDir(), "csv")
	r := run(t, config)
	s.place(t, "ANSWERED")
	s.settled(t)
	rows := s.truth(t)
	path := s.wav(rows[len(rows)-1].UniqueID)
	original, err := os.ReadFile(path)
	require.NoError(t, err)
	changed := slices.Clone(original)
	changed[len(changed)-1] ^= 1
	require.NoError(t, os.WriteFile(path, changed, 0o600))
	alarm := "a recording was changed after it was anchored"
	require.Equal(t, "ERROR", r.until(t, alarm, 1)[0]["level"])

	folder := s.asterisk.RecordingDir()
	zeroed := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00"), make([]byte, 1600)...)
	for name, content := range map[string][]byte{"1795000001.1.wav": nil, "1795000002.2.wav": zeroed} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), content, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(s.asterisk.ClosedDir(), "1795000003.3"), nil, 0o600))
	require.Eventually(t, func() bool { return strings.Contains(r.String(), "it has 0 bytes; was the disk full") }, patience, 5*time.Millisecond)
	require.Contains(t, r.until(t, "a recording cannot be anchored", 1)[0]["error"], "was it moved or removed before it could be read?")
	require.Equal(t, "1795000002.2", r.until(t, "a recording that Asterisk did not finish is repaired", 1)[0]["uniqueid"])
	s.place(t, "ANSWERED")
	require.Eventually(t, func() bool {
		found, err := s.read(t.Context())
		return err == nil && s.complete(s.truth(t), found)
	}, patience, 50*time.Millisecond, "the adapter goes on")
	require.NoError(t, r.stop())

	// Neither a new start nor a lost journal makes the changed file a recording.
	again := run(t, config)
	again.until(t, alarm, 1)
	require.NoError(t, again.stop())
	lost := run(t, s.config(t, t.TempDir(), "csv"))
	lost.until(t, alarm, 1)
	require.NoError(t, lost.stop())

	require.NoError(t, os.WriteFile(path, original, 0o600))
	for _, name := range []string{"1795000001.1.wav", "1795000002.2.wav"} {
		require.NoError(t, os.Remove(filepath.Join(folder, name)))
	}
	require.NoError(t, os.Remove(filepath.Join(s.asterisk.ClosedDir(), "1795000003.3")))
	s.settled(t)
}

// testBadLinesAndRotation puts lines into the CDR file that Asterisk did not
// write, and rotates it between calls.
func (s *scene) testBadLinesAndRotation(t *testing.T) {
	t.Helper()
	config := s.config(t, t.TempDir(), "csv")
	r := run(t, config)
	lines := len(s.truth(t))
	file, err := os.OpenFile(s.asterisk.CSV(), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString("not a record\n" + strings.Replace(wholeRow, `"ANSWERED"`, `"PERHAPS"`, 1) + "\n")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	s.place(t, "ANSWERED")
	bad := r.until(t, "a line of the CDR file cannot be taken", 2)
	require.Len(t, bad, 2)
	require.Contains(t, bad[0]["error"], fmt.Sprintf("line %d", lines+1))
	require.Contains(t, bad[1]["error"], fmt.Sprintf("line %d", lines+2))
	require.Contains(t, bad[1]["error"], "disposition")
	require.NotContains(t, r.String(), "351910000001", "nothing of the line is logged")
	s.settled(t)

	s.rotated = append(s.rotated, s.asterisk.CSV()+".1")
	require.NoError(t, os.Rename(s.asterisk.CSV(), s.rotated[0]))
	s.place(t, "ANSWERED", "BUSY")
	s.settled(t)
	// And once more while the adapter is away.
	require.NoError(t, r.stop())
	s.place(t, "BUSY")
	s.rotated = append(s.rotated, s.asterisk.CSV()+".2")
	require.NoError(t, os.Rename(s.asterisk.CSV(), s.rotated[1]))
	s.place(t, "BUSY")
	again := run(t, config)
	s.settled(t)
	require.Empty(t, again.lines("a line of the CDR file cannot be taken"))
	require.NoError(t, again.stop())
}

// testLocalTimes follows a file in New York's time, for another operator: on the
// ledger its times are UTC. A zone that cannot be right is refused.
func (s *scene) testLocalTimes(t *testing.T) {
	t.Helper()
	const name = "America/New_York"
	zone, err := time.LoadLocation(name)
	require.NoError(t, err)
	config := s.config(t, t.TempDir(), "csv")
	config.Timezone, config.CDR.LocalTimes = name, true
	require.ErrorContains(t, Run(t.Context(), config, (&logbook{}).logger()), "set timezone, cdr.local_times and cdr.table.utc_times to what Asterisk uses")

	content, err := os.ReadFile(s.asterisk.CSV())
	require.NoError(t, err)
	local := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`).ReplaceAllStringFunc(string(content), func(text string) string {
		moment, err := time.Parse(time.DateTime, text)
		require.NoError(t, err)
		return moment.In(zone).Format(time.DateTime)
	})
	other := s.network.Consortium().Operators[1]
	org := s.network.Layout().Operator(other.Name)
	identity := org.Identity(other.PBXs[0])
	config = s.config(t, t.TempDir(), "csv")
	config.MSP, config.PBX, config.Timezone, config.Recordings = other.MSP, other.PBXs[0], name, RecordingsConfig{Due: dueNone}
	config.Gateway = GatewayConfig{Address: other.Gateway.Address, CAFile: org.TLSCAFile()}
	config.Identity = IdentityConfig{CertFile: identity.CertFile(), KeyFile: identity.KeyFile()}
	config.CDR = CDRConfig{CSV: filepath.Join(t.TempDir(), "Master.csv"), LocalTimes: true}
	require.NoError(t, os.WriteFile(config.CDR.CSV, []byte(local), 0o600))
	r := run(t, config)
	rows := s.rowsOf(t, s.asterisk.CSV())
	require.NotEmpty(t, rows)
	r.until(t, "call anchored", len(rows))
	for i := range rows {
		var response *pb.GetCallResponse
		// Every operator's gateway can say, once its own peer has the block too.
		require.Eventually(t, func() bool {
			var err error
			response, err = pb.NewCallServiceClient(s.auditor).GetCall(t.Context(), &pb.GetCallRequest{
				Msp: other.MSP, Pbx: other.PBXs[0], Leg: &pb.LegId{Linkedid: rows[i].LinkedID, Uniqueid: rows[i].UniqueID, Sequence: rows[i].Sequence},
			})
			return err == nil
		}, patience, 20*time.Millisecond)
		require.Equal(t, rows[i].Start, response.GetCall().GetStart().AsTime())
		require.Equal(t, rows[i].End, response.GetCall().GetEnd().AsTime())
	}
	require.NoError(t, r.stop())
}

// testMissingSettings has another Asterisk write too little: the adapter ends with
// a sentence that names the setting.
func (s *scene) testMissingSettings(t *testing.T) {
	t.Helper()
	without := func(name, line string) string {
		content, err := pbx.Files.ReadFile(name)
		require.NoError(t, err)
		require.Contains(t, string(content), line)
		return strings.Replace(string(content), line, "", 1)
	}
	asterisk, err := lab.Require(t).Start(t.Context(), lab.Options{Files: map[string]string{
		pbx.CDR: without(pbx.CDR, "newcdrcolumns = yes"), pbx.CDRManager: without(pbx.CDRManager, "linkedid => LinkedID"),
	}})
	require.NoError(t, err)
	t.Cleanup(asterisk.Stop)
	require.NoError(t, asterisk.RegisterPhones(t.Context()))
	for _, test := range []struct{ source, says string }{
		{"csv", "set newcdrcolumns = yes in the [csv] section of cdr.conf"},
		{"ami", "set linkedid => LinkedID in the [mappings] section of cdr_manager.conf"},
	} {
		config := s.config(t, t.TempDir(), test.source)
		config.Recordings = RecordingsConfig{Due: dueNone}
		if config.AMI != nil {
			config.AMI.Address, config.AMI.Secret = asterisk.AMI(), asterisk.Secret()
		} else {
			config.CDR.CSV = asterisk.CSV()
		}
		log := &logbook{}
		ended := make(chan error, 1)
		go func() { ended <- Run(t.Context(), config, log.logger()) }()
		log.until(t, "adapter ready", 1)
		if config.AMI != nil {
			log.until(t, "AMI connected", 1)
		}
		_, err := asterisk.PlaceCall(t.Context(), lab.Call{To: lab.Busy})
		require.NoError(t, err)
		select {
		case err := <-ended:
			require.ErrorContains(t, err, test.says)
		case <-time.After(patience):
			t.Fatalf("the adapter goes on without what it needs:\n%s", log)
		}
	}
}
