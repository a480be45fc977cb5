package adapter

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/cdr/mariadbtest"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/chaincode/ledger"
)

// beside is an adapter of another operator beside an Asterisk of its own.
type beside struct {
	*running
	scene    *scene
	config   *Config
	asterisk *lab.Asterisk
	auditor  pb.CallServiceClient
	files    pb.RecordingServiceClient
}

// beside starts both; the adapter follows all sources that the Asterisk has.
func (s *scene) beside(t *testing.T, options lab.Options, change func(*Config)) *beside {
	t.Helper()
	asterisk, err := lab.Require(t).Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(asterisk.Stop)
	require.NoError(t, asterisk.RegisterPhones(t.Context()))
	other := s.network.Consortium().Operators[1]
	org := s.network.Layout().Operator(other.Name)
	identity := org.Identity(other.PBXs[0])
	config := s.config(t, t.TempDir(), "csv", "ami", "ari")
	config.MSP, config.PBX = other.MSP, other.PBXs[0]
	config.Gateway = GatewayConfig{Address: other.Gateway.Address, CAFile: org.TLSCAFile()}
	config.Identity = IdentityConfig{CertFile: identity.CertFile(), KeyFile: identity.KeyFile()}
	config.CDR.CSV = asterisk.CSV()
	config.AMI.Address, config.AMI.Secret = asterisk.AMI(), asterisk.Secret()
	config.ARI.URL, config.ARI.Password = asterisk.ARI(), asterisk.Secret()
	config.Recordings.Folder, config.Recordings.Closed = asterisk.RecordingDir(), asterisk.ClosedDir()
	if options.Table != nil {
		config.CDR.Table = &TableConfig{Address: s.mariadb.Address(), User: "callseal", Database: options.Table.Database, UTCTimes: options.Table.UTCTimes}
	}
	if change != nil {
		change(config)
	}
	require.NoError(t, config.check())
	return &beside{running: run(t, config), scene: s, config: config, asterisk: asterisk, auditor: pb.NewCallServiceClient(s.auditor), files: pb.NewRecordingServiceClient(s.auditor)}
}

// anchored waits for a row's leg, and for its recording if it was answered.
func (b *beside) anchored(t *testing.T, row *cdr.Row) *pb.Call {
	t.Helper()
	leg := &pb.LegId{Linkedid: row.LinkedID, Uniqueid: row.UniqueID, Sequence: row.Sequence}
	var call *pb.Call
	require.Eventually(t, func() bool {
		response, err := b.auditor.GetCall(t.Context(), &pb.GetCallRequest{Msp: b.config.MSP, Pbx: b.config.PBX, Leg: leg})
		call = response.GetCall()
		return err == nil
	}, patience, 20*time.Millisecond)
	if row.Disposition != ledger.Answered {
		return call
	}
	content, err := os.ReadFile(filepath.Join(b.asterisk.RecordingDir(), row.UniqueID+".wav"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		found, err := b.files.FindRecordings(t.Context(), &pb.FindRecordingsRequest{Sha256: ledger.Digest(content)})
		// The tones of two calls can come out the same.
		return err == nil && slices.ContainsFunc(found.GetRecordings(), func(one *pb.Recording) bool { return one.GetLeg().GetUniqueid() == row.UniqueID })
	}, patience, 20*time.Millisecond)
	return call
}

// testClockSteps sets Asterisk's clock forward and back by an hour in the middle of
// calls: each is on the ledger as every source tells it.
func (s *scene) testClockSteps(t *testing.T) {
	t.Helper()
	database, _ := s.mariadb.Database(mariadbtest.Times)
	b := s.beside(t, lab.Options{Clock: true, Table: &lab.Table{Address: s.mariadb.Address(), Database: database, User: "asterisk", UTCTimes: true}}, nil)
	const calls = 4
	for n, ahead := range [calls]time.Duration{time.Hour, 0, -time.Hour, 0} {
		ended := make(chan error, 1)
		go func() {
			_, err := b.asterisk.PlaceCall(t.Context(), lab.Call{Duration: 2500 * time.Millisecond})
			ended <- err
		}()
		talking(t, b.asterisk)
		require.NoError(t, b.asterisk.SetClock(ahead))
		require.NoError(t, <-ended)
		b.until(t, "leg received", n+1)
	}
	rows := s.rowsOf(t, b.asterisk.CSV())
	require.Len(t, rows, calls)
	for n := range rows {
		row := &rows[n]
		back := n == 1 || n == 2
		require.Equal(t, back, row.End.Before(row.Start), "row %d: %+v", n, row)
		call := b.anchored(t, row)
		require.Equal(t, row.Start, call.GetStart().AsTime())
		require.Equal(t, row.End, call.GetEnd().AsTime())
		require.Equal(t, row.Duration*1000, call.GetDurationMs())
		var record ledger.Record
		require.NoError(t, ledger.DecodeStrict(call.GetRecordJson(), &record))
		require.Equal(t, back, record.Call.ClockSetBack)
	}
	b.requireToldByAll(t, calls, sourceCSV, sourceTable, sourceAMI)
	require.NotEmpty(t, b.lines("Asterisk's clock runs ahead"))
	require.NoError(t, b.stop())
}

// requireToldByAll waits until every source told of every leg, and none otherwise than
// the others.
func (b *beside) requireToldByAll(t *testing.T, legs int, sources ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, page := b.get(t, "/metrics")
		_, told := toldBy(t, page)
		for _, source := range sources {
			if told[source] < legs {
				return false
			}
		}
		return true
	}, 2*time.Minute, 50*time.Millisecond, "every source tells of every leg")
	require.Empty(t, b.lines("two sources disagree"))
	require.Empty(t, b.lines("call refused"))
}

// testClockChange has summer time end and begin during calls on a PBX in New York,
// which writes local times.
func (s *scene) testClockChange(t *testing.T) {
	t.Helper()
	const name = "America/New_York"
	b := s.beside(t, lab.Options{Clock: true, Timezone: name, LocalTimes: true}, func(config *Config) {
		config.Timezone, config.CDR.LocalTimes = name, true
	})
	zone, err := time.LoadLocation(name)
	require.NoError(t, err)
	autumn, spring := time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC), time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC)
	known := 0
	for n, begins := range []time.Time{
		spring.Add(-2 * time.Second),  // over the hour that is skipped
		autumn.Add(-30 * time.Minute), // within the hour that comes twice, the first time
		autumn.Add(-2 * time.Second),  // from the first into the second
		autumn.Add(30 * time.Minute),  // the second time
		autumn.Add(time.Hour - 2e9),   // out of it
	} {
		ahead := time.Until(begins)
		require.NoError(t, b.asterisk.SetClock(ahead))
		report, err := b.asterisk.PlaceCall(t.Context(), lab.Call{Duration: 4 * time.Second})
		require.NoError(t, err)
		b.until(t, "leg received", n+1)
		var row cdr.Row
		require.Eventually(t, func() bool {
			content, err := os.ReadFile(b.asterisk.CSV())
			require.NoError(t, err)
			lines := bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))
			if len(lines) <= known {
				return false
			}
			row, err = cdr.ParseCSV(lines[known], zone)
			require.NoError(t, err)
			return true
		}, patience, 10*time.Millisecond)
		known++
		call := b.anchored(t, &row)
		require.WithinDuration(t, report.Invited.Add(ahead), call.GetStart().AsTime(), 3*time.Second, "call %d, in %s", n, call.GetStart().AsTime().In(zone))
		require.WithinDuration(t, report.HungUp.Add(ahead), call.GetEnd().AsTime(), 3*time.Second)
		require.WithinDuration(t, call.GetStart().AsTime().Add(time.Duration(call.GetDurationMs())*time.Millisecond), call.GetEnd().AsTime(), 2*time.Second)
	}
	b.requireToldByAll(t, known, sourceCSV, sourceAMI)
	require.NoError(t, b.stop())
}
