package adapter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/cdr/mariadbtest"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/audit"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/mirror"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/verify"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// scene is a real network with gateways and a real Asterisk.
type scene struct {
	network  *networktest.Network
	owner    network.Member
	org      network.Organisation
	asterisk *lab.Asterisk
	mariadb  *mariadbtest.Server
	database string
	root     *sql.DB
	// placed says what each phone call came to, by SIP Call-ID.
	mu     sync.Mutex
	placed map[string]placed
	// rotated are files that Master.csv was renamed to.
	rotated             []string
	auditor, compliance *grpc.ClientConn
}

// placed is a call as the calling phone saw it.
type placed struct {
	lab.CallReport
	disposition string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return newSceneOf(t, lab.Options{}, network.Development())
}

// newSceneOf is a scene with another PBX or consortium.
func newSceneOf(t *testing.T, options lab.Options, consortium *network.Consortium) *scene {
	t.Helper()
	installation := lab.Require(t)
	s := &scene{placed: map[string]placed{}, mariadb: mariadbtest.Start(t)}
	s.database, s.root = s.mariadb.Database(mariadbtest.Times)
	var err error
	var group sync.WaitGroup
	group.Go(func() {
		options.Table = &lab.Table{Address: s.mariadb.Address(), Database: s.database, User: "asterisk"}
		if s.asterisk, err = installation.Start(t.Context(), options); err == nil {
			err = s.asterisk.RegisterPhones(t.Context())
		}
	})
	s.network = networktest.Start(t, networktest.WithGateways(), networktest.WithConsortium(consortium))
	group.Wait()
	require.NoError(t, err)
	t.Cleanup(s.asterisk.Stop)
	s.owner = s.network.Consortium().Operators[0]
	s.org = s.network.Layout().Operator(s.owner.Name)
	s.auditor, s.compliance = s.dial(t, "auditor"), s.dial(t, "compliance")
	return s
}

func (s *scene) dial(t testing.TB, name string) *grpc.ClientConn {
	t.Helper()
	identity := s.org.Identity(name)
	connection, err := connect.Dial(connect.Config{
		Address: s.owner.Gateway.Address, CAFile: s.org.TLSCAFile(), CertFile: identity.CertFile(), KeyFile: identity.KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// config is an adapter's that uses the named sources: csv, table, ami, ari.
func (s *scene) config(t *testing.T, state string, sources ...string) *Config {
	t.Helper()
	identity := s.org.Identity(s.owner.PBXs[0])
	config := &Config{
		MSP: s.owner.MSP, PBX: s.owner.PBXs[0], StateDir: state,
		Gateway:    GatewayConfig{Address: s.owner.Gateway.Address, CAFile: s.org.TLSCAFile()},
		Identity:   IdentityConfig{CertFile: identity.CertFile(), KeyFile: identity.KeyFile()},
		Recordings: RecordingsConfig{Folder: s.asterisk.RecordingDir(), Closed: s.asterisk.ClosedDir(), Due: dueAnswered, PairWait: "20s"},
		Contexts:   map[string]string{"lab": "internal"}, LogLevel: "debug", Metrics: MetricsConfig{Listen: "127.0.0.1:0"},
	}
	if slices.Contains(sources, "csv") {
		config.CDR = CDRConfig{CSV: s.asterisk.CSV()}
	}
	if slices.Contains(sources, "table") {
		config.CDR.Table = &TableConfig{Address: s.mariadb.Address(), User: "callseal", Database: s.database}
	}
	if slices.Contains(sources, "ami") {
		config.AMI = &AMIConfig{Address: s.asterisk.AMI(), User: lab.User, Secret: s.asterisk.Secret()}
	}
	if slices.Contains(sources, "ari") {
		config.ARI = &ARIConfig{URL: s.asterisk.ARI(), User: lab.User, Password: s.asterisk.Secret()}
	}
	require.NoError(t, config.check())
	return config
}

// running is an adapter at work.
type running struct {
	*logbook
	// stop ends it as SIGTERM would and answers what Run answered.
	stop func() error
}

// run starts an adapter and waits until its sources are up.
func run(t *testing.T, config *Config) *running {
	t.Helper()
	log := &logbook{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config, log.logger()) }()
	r := &running{logbook: log, stop: sync.OnceValue(func() error {
		cancel()
		return <-ended
	})}
	t.Cleanup(func() {
		_ = r.stop()
		if t.Failed() {
			t.Logf("the adapter's log:\n%s", log)
		}
	})
	log.until(t, "adapter ready", 1)
	if config.CDR.Table != nil {
		log.until(t, "table of CDRs connected", 1)
	}
	if config.AMI != nil {
		log.until(t, "AMI connected", 1)
	}
	if config.ARI != nil {
		log.until(t, "ARI connected", 1)
	}
	return r
}

// get asks the adapter how it is.
func (r *running) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	address := r.until(t, "metrics ready", 1)[0]["listen"]
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s%s", address, path), nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// requireHealth waits until all that the adapter stands on answers but what is named.
func (r *running) requireHealth(t *testing.T, missing ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, body := r.get(t, "/healthz")
		var now health
		require.NoError(t, json.Unmarshal([]byte(body), &now))
		var down []string
		for name, one := range now.On {
			require.Equal(t, one.Connected, one.Problem == "")
			if !one.Connected {
				down = append(down, name)
			}
		}
		slices.Sort(down)
		require.Equal(t, len(down) == 0, status == http.StatusOK)
		require.Equal(t, len(down) == 0, now.Serving)
		return slices.Equal(down, missing)
	}, patience, 10*time.Millisecond, "all but %v answer", missing)
}

// place places a call of each of the given kinds, one after the other.
func (s *scene) place(t *testing.T, kinds ...string) {
	t.Helper()
	calls := map[string]lab.Call{
		"ANSWERED": {}, "BUSY": {To: lab.Busy}, "NO ANSWER": {To: lab.Rings}, "CANCEL": {To: lab.RingsLong, Cancel: true},
	}
	for _, kind := range kinds {
		report, err := s.asterisk.PlaceCall(t.Context(), calls[kind])
		if err != nil {
			t.Errorf("place a call: %v", err)
			return
		}
		s.mu.Lock()
		s.placed[report.CallID] = placed{report, kind}
		s.mu.Unlock()
	}
}

// truth is every row that Asterisk wrote, read by the test itself.
func (s *scene) truth(t *testing.T) []cdr.Row {
	t.Helper()
	var rows []cdr.Row
	for _, file := range append(slices.Clone(s.rotated), s.asterisk.CSV()) {
		rows = append(rows, s.rowsOf(t, file)...)
	}
	return rows
}

func (s *scene) rowsOf(t *testing.T, file string) []cdr.Row {
	t.Helper()
	content, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	var rows []cdr.Row
	for line := range bytes.Lines(content) {
		if row, err := cdr.ParseCSV(bytes.TrimRight(line, "\n"), time.UTC); err == nil {
			rows = append(rows, row)
		}
	}
	return rows
}

// onLedger is what the operators endorsed for the PBX.
type onLedger struct {
	calls      map[ledger.LegID]*pb.Call
	recordings map[ledger.LegID][]*pb.Recording
	incidents  int
	twice      bool
}

func legIDOf(leg *pb.LegId) ledger.LegID {
	return ledger.LegID{LinkedID: leg.GetLinkedid(), UniqueID: leg.GetUniqueid(), Sequence: leg.GetSequence()}
}

// read asks the gateway for everything; an error is answered, so that it can be
// asked again.
func (s *scene) read(ctx context.Context) (*onLedger, error) {
	return s.readOf(ctx, s.owner.PBXs[0])
}

// readOf asks for everything of one of the operator's PBXs.
func (s *scene) readOf(ctx context.Context, pbx string) (*onLedger, error) {
	found := &onLedger{calls: map[ledger.LegID]*pb.Call{}, recordings: map[ledger.LegID][]*pb.Recording{}}
	for token := ""; ; {
		page, err := pb.NewCallServiceClient(s.auditor).ListCalls(ctx, &pb.ListCallsRequest{Msp: s.owner.MSP, Pbx: pbx, PageSize: 50, PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, call := range page.GetCalls() {
			id := legIDOf(call.GetLeg())
			found.twice = found.twice || found.calls[id] != nil
			found.calls[id] = call
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	asked := map[string]bool{}
	for id := range found.calls {
		if asked[id.LinkedID] {
			continue
		}
		asked[id.LinkedID] = true
		listed, err := pb.NewRecordingServiceClient(s.auditor).ListRecordings(ctx, &pb.ListRecordingsRequest{Msp: s.owner.MSP, Pbx: pbx, Linkedid: id.LinkedID})
		if err != nil {
			return nil, err
		}
		for _, recording := range listed.GetRecordings() {
			leg := legIDOf(recording.GetLeg())
			found.recordings[leg] = append(found.recordings[leg], recording)
		}
	}
	incidents, err := pb.NewLedgerServiceClient(s.auditor).ListIncidents(ctx, &pb.ListIncidentsRequest{Msp: s.owner.MSP, Pbx: pbx})
	if err != nil {
		return nil, err
	}
	found.incidents = len(incidents.GetIncidents())
	return found, nil
}

// complete says whether every call that was placed is in the file, and every row
// of the file with its recording on the ledger.
func (s *scene) complete(rows []cdr.Row, found *onLedger) bool {
	written := map[string]bool{}
	for i := range rows {
		written[rows[i].UserField] = true
		id := ledger.LegID{LinkedID: rows[i].LinkedID, UniqueID: rows[i].UniqueID, Sequence: rows[i].Sequence}
		if found.calls[id] == nil || rows[i].Disposition == "ANSWERED" && len(found.recordings[id]) == 0 {
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for callID := range s.placed {
		if !written[callID] {
			return false
		}
	}
	return true
}

// settled waits until everything is on the ledger and then holds it against what
// Asterisk wrote, what the phones saw and the files themselves.
func (s *scene) settled(t *testing.T) *onLedger {
	t.Helper()
	var found *onLedger
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var err error
		found, err = s.read(ctx)
		return err == nil && s.complete(s.truth(t), found)
	}, 2*patience, 50*time.Millisecond, "every call and its recording are on the ledger")
	rows := s.truth(t)
	require.Len(t, found.calls, len(rows), "each leg once, and nothing else")
	require.False(t, found.twice)
	require.Zero(t, found.incidents)
	places := map[int64][]int64{}
	for i := range rows {
		row := &rows[i]
		id := ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence}
		call := found.calls[id]
		s.requireRow(t, row, call)
		places[call.GetPlace().GetEpoch()] = append(places[call.GetPlace().GetEpoch()], call.GetPlace().GetSeq())
		for _, recording := range found.recordings[id] {
			places[recording.GetPlace().GetEpoch()] = append(places[recording.GetPlace().GetEpoch()], recording.GetPlace().GetSeq())
		}
		if row.Disposition != "ANSWERED" {
			require.Empty(t, found.recordings[id])
			continue
		}
		require.Len(t, found.recordings[id], 1)
		s.requireRecording(t, s.wav(row.UniqueID), "mixmonitor", found.recordings[id][0])
	}
	for epoch, numbers := range places {
		slices.Sort(numbers)
		require.Len(t, slices.Compact(slices.Clone(numbers)), len(numbers), "epoch %d: %v", epoch, numbers)
	}
	s.requireHistory(t)
	return found
}

func (s *scene) wav(uniqueID string) string {
	return filepath.Join(s.asterisk.RecordingDir(), uniqueID+".wav")
}

func (s *scene) requireRow(t *testing.T, row *cdr.Row, call *pb.Call) {
	t.Helper()
	require.Equal(t, row.Disposition, call.GetDisposition())
	require.Equal(t, row.Start, call.GetStart().AsTime())
	require.Equal(t, row.End, call.GetEnd().AsTime())
	require.Equal(t, row.Answer.IsZero(), call.GetAnswer() == nil)
	if call.GetAnswer() != nil {
		require.Equal(t, row.Answer, call.GetAnswer().AsTime())
	}
	require.Equal(t, row.Duration*1000, call.GetDurationMs())
	require.Equal(t, row.BillSec*1000, call.GetBillsecMs())
	require.Equal(t, "PJSIP", call.GetTechnology())
	require.Equal(t, "internal", call.GetDirection())
	require.Equal(t, row.Disposition == "ANSWERED", call.GetRecordingDue())
	require.Len(t, call.GetCallerRef(), 32)
	s.mu.Lock()
	seen, known := s.placed[row.UserField]
	s.mu.Unlock()
	require.True(t, known)
	if row.LastApp == "Dial" {
		require.Equal(t, seen.disposition, call.GetDisposition())
	}
	require.WithinDuration(t, seen.Invited, call.GetStart().AsTime(), time.Minute, "local time was taken for UTC")
	require.WithinDuration(t, seen.HungUp, call.GetEnd().AsTime(), time.Minute)
}

// requireHistory walks the PBX's history: adapters that were stopped and started,
// killed or given a new journal leave no gap.
func (s *scene) requireHistory(t *testing.T) {
	t.Helper()
	client, history := pb.NewLedgerServiceClient(s.auditor), &ledger.Gaps{}
	for place := (&ledger.GapsPlace{}); place != nil; place = history.Next {
		response, err := client.ListGaps(t.Context(), &pb.ListGapsRequest{Msp: s.owner.MSP, Pbx: s.owner.PBXs[0], Epoch: place.Epoch, From: place.From, Limit: 7})
		require.NoError(t, err)
		var page ledger.Gaps
		require.NoError(t, mirror.Value(response.GetGaps(), &page))
		history.Add(&page)
	}
	history.Conclude()
	// Asterisk numbers also the CDRs that it does not write.
	history.Findings = slices.DeleteFunc(history.Findings, func(f ledger.Finding) bool { return f.Kind == ledger.FindingHole })
	require.Empty(t, history.Findings)
	require.NotEmpty(t, history.Epochs)
}

func (s *scene) requireRecording(t *testing.T, path, method string, recording *pb.Recording) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	short, long := sha256.Sum256(content), sha512.Sum512(content)
	require.Equal(t, hex.EncodeToString(short[:]), recording.GetSha256())
	require.Equal(t, hex.EncodeToString(long[:]), recording.GetSha512())
	require.Equal(t, int64(len(content)), recording.GetBytes())
	require.Equal(t, "audio/wav", recording.GetMediaType())
	require.Equal(t, method, recording.GetMethod())
	require.Equal(t, int64(1), recording.GetRevision())
	require.WithinDuration(t, time.Now(), recording.GetClosedAt().AsTime(), 10*time.Minute)
}

// proven audits an answered leg as a third party would: file, row and details.
func (s *scene) proven(t *testing.T, id ledger.LegID, row *cdr.Row) {
	t.Helper()
	listed, err := pb.NewCallServiceClient(s.compliance).ListLegs(t.Context(), &pb.ListLegsRequest{Msp: s.owner.MSP, Pbx: s.owner.PBXs[0], Linkedid: id.LinkedID, IncludeDetails: true})
	require.NoError(t, err)
	question := audit.Question{MSP: s.owner.MSP, PBX: s.owner.PBXs[0], LinkedID: id.LinkedID, Recording: s.wav(id.UniqueID), CDR: s.asterisk.CSV(), Zone: time.UTC}
	for _, leg := range listed.GetCalls() {
		var record ledger.Record
		require.NoError(t, ledger.DecodeStrict(leg.GetRecordJson(), &record))
		details, err := verify.Details(leg.GetDetailsJson(), &record)
		require.NoError(t, err)
		require.Equal(t, row.Src, details.Call.Src)
		require.Equal(t, row.Dst, details.Call.Dst)
		require.Equal(t, row.UserField, details.Call.UserField)
		question.Disclosures = append(question.Disclosures, leg.GetDetailsJson())
	}
	verdict, err := audit.Ask(t.Context(), audit.ViaGateway(s.auditor, "the gateway"), question)
	require.NoError(t, err)
	require.Equal(t, audit.Intact, verdict.Outcome, "%+v", verdict.Findings)
	require.Len(t, verdict.Findings, 1+len(listed.GetCalls()))
	for _, finding := range verdict.Findings {
		require.Equal(t, "VALID", finding.Endorsement.Validation)
		require.GreaterOrEqual(t, len(finding.Endorsement.Endorsers), 2)
		require.Equal(t, verdict.Findings[0].Endorsement.TransactionID, finding.Endorsement.TransactionID, "leg and recording share a transaction")
		for _, note := range finding.Notes {
			require.NotContains(t, note, "not compared")
		}
	}
}
