package adapter

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

// ordeal is how much the adapter has to bear.
type ordeal struct {
	calls, disruptions, callers int
	// longest is how long something is away.
	longest time.Duration
}

var (
	shortOrdeal = ordeal{calls: 60, disruptions: 14, callers: 4, longest: 500 * time.Millisecond}
	longOrdeal  = ordeal{calls: 2000, disruptions: 300, callers: 6, longest: 1500 * time.Millisecond}
)

// TestTheAdapterMissesNothing places real calls while everything that the adapter
// stands on, and the adapter itself, is killed, cut off, restarted and rotated at
// random points; then it holds the ledger against all that Asterisk wrote anywhere.
func TestTheAdapterMissesNothing(t *testing.T) {
	how := shortOrdeal
	if *long {
		how = longOrdeal
	}
	began := time.Now()
	trial := newTrial(t, how)
	trial.place(t)
	trial.heal(t)
	trial.judge(t, began)
}

// trial is an adapter among disruptions.
type trial struct {
	*scene
	how      ordeal
	random   *rand.Rand
	ami, ari *lab.Relay
	program  string
	file     string

	adapter *exec.Cmd
	log     *logbook

	// pbx is held by every call, and by whoever needs that there is none.
	pbx sync.RWMutex
	// life ends when the Asterisk that carries a call does.
	life atomic.Pointer[life]

	begun, ended, cut, otherwise atomic.Int64
	done                         map[string]int
}

// life is one run of Asterisk.
type life struct {
	ctx  context.Context
	kill context.CancelFunc
}

func newTrial(t *testing.T, how ordeal) *trial {
	t.Helper()
	s := newScene(t)
	trial := &trial{
		scene: s, how: how, random: rand.New(rand.NewPCG(*seed, 1)), log: &logbook{}, done: map[string]int{},
		program: filepath.Join(networktest.Build(t, "callseal-asterisk-adapter"), "callseal-asterisk-adapter"),
	}
	t.Logf("seed %d", *seed)
	address, err := url.Parse(s.asterisk.ARI())
	require.NoError(t, err)
	trial.ari, err = lab.NewRelay(t.Context(), address.Host)
	require.NoError(t, err)
	t.Cleanup(trial.ari.Close)
	trial.ami, err = lab.NewRelay(t.Context(), s.asterisk.AMI())
	require.NoError(t, err)
	t.Cleanup(trial.ami.Close)

	config := s.config(t, t.TempDir(), "csv", "table", "ami", "ari")
	config.AMI.Address, config.ARI.URL = trial.ami.Address(), "http://"+trial.ari.Address()+"/ari"
	config.Recordings.PairWait, config.Recordings.OmissionAfter, config.LogLevel = "2s", "20s", "info"
	config.Metrics.Listen, config.User = "", me(t)
	require.NoError(t, config.check())
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	trial.file = filepath.Join(t.TempDir(), "adapter.yaml")
	require.NoError(t, os.WriteFile(trial.file, text, 0o600))
	trial.live(t)
	trial.start(t)
	trial.log.until(t, "adapter ready", 1)
	t.Cleanup(func() {
		_ = trial.adapter.Process.Kill()
		_ = trial.adapter.Wait()
		if t.Failed() {
			t.Logf("the adapter's log:\n%s", trial.log)
		}
	})
	return trial
}

func (r *trial) live(t *testing.T) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context())
	r.life.Store(&life{ctx, kill})
}

// start starts the real program.
func (r *trial) start(t *testing.T) {
	t.Helper()
	r.adapter = exec.Command(r.program, "--config", r.file)
	r.adapter.Stderr = r.log
	require.NoError(t, r.adapter.Start())
}

// place has callers call, and disrupts, until all calls are placed.
func (r *trial) place(t *testing.T) {
	t.Helper()
	var callers sync.WaitGroup
	for n := range r.how.callers {
		random := rand.New(rand.NewPCG(*seed, uint64(100+n)))
		callers.Go(func() {
			for r.begun.Add(1) <= int64(r.how.calls) {
				r.call(t, random)
			}
		})
	}
	disruptions := r.disruptions()
	order := make([]int, r.how.disruptions)
	for i := range order {
		order[i] = i % len(disruptions)
	}
	r.random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for i, which := range order {
		// Anywhere within its share of the calls.
		due := (float64(i) + r.random.Float64()) * float64(r.how.calls) / float64(r.how.disruptions)
		for r.ended.Load() < int64(due) && !t.Failed() {
			time.Sleep(5 * time.Millisecond)
		}
		if t.Failed() {
			break
		}
		disruption := disruptions[which]
		disruption.happens(t)
		r.done[disruption.name]++
		if (i+1)%20 == 0 {
			t.Logf("%d of %d disruptions, %d of %d calls", i+1, len(order), r.ended.Load(), r.how.calls)
		}
	}
	callers.Wait()
}

// call places one call of some kind. Where Asterisk dies, so does the call.
func (r *trial) call(t *testing.T, random *rand.Rand) {
	r.pbx.RLock()
	defer r.pbx.RUnlock()
	defer r.ended.Add(1)
	life := r.life.Load()
	call := lab.Call{Duration: time.Duration(200+random.IntN(1300)) * time.Millisecond}
	switch dice := random.IntN(20); {
	case dice == 0:
		call.To = lab.Busy
	case dice == 1:
		call.To = lab.Rings
	case dice < 5:
		call.To, call.Cancel = lab.RingsLong, true
	}
	switch _, err := r.asterisk.PlaceCall(life.ctx, call); {
	case err == nil:
	case life.ctx.Err() != nil:
		r.cut.Add(1)
	default:
		// A phone may be too late for what it wanted to do: a CANCEL meets the end of the
		// ringing, for instance. Whatever Asterisk wrote of it counts all the same.
		t.Logf("a call went otherwise than the phone wanted: %v", err)
		r.otherwise.Add(1)
	}
}

// disruption is something that happens to an adapter.
type disruption struct {
	name    string
	happens func(*testing.T)
}

func (r *trial) disruptions() []disruption {
	return []disruption{
		{"adapter killed", r.killAdapter},
		{"Asterisk killed", r.killAsterisk},
		{"network to AMI and ARI lost", r.loseNetwork},
		{"gateway killed or stopped", r.stopGateway},
		{"MariaDB killed or stopped", r.stopDatabase},
		{"CDR file rotated in mid-line", r.rotate},
	}
}

func (r *trial) pause() { time.Sleep(time.Duration(r.random.Int64N(int64(r.how.longest)))) }

func (r *trial) killAdapter(t *testing.T) {
	require.NoError(t, r.adapter.Process.Kill())
	_ = r.adapter.Wait()
	r.pause()
	r.start(t)
}

func (r *trial) killAsterisk(t *testing.T) {
	r.asterisk.Kill()
	r.life.Load().kill()
	r.pbx.Lock() // the calls are gone, and none begins
	defer r.pbx.Unlock()
	r.pause()
	require.NoError(t, r.asterisk.Restart(t.Context()))
	r.live(t)
}

func (r *trial) loseNetwork(*testing.T) {
	r.ami.Lose()
	if r.random.IntN(2) == 0 {
		r.pause()
	}
	r.ari.Lose()
	r.pause()
	r.ari.Restore()
	r.ami.Restore()
}

func (r *trial) stopGateway(*testing.T) {
	node := strings.ToLower(r.owner.Name) + "-gateway"
	if r.random.IntN(2) == 0 {
		r.network.Kill(node)
	} else {
		r.network.Stop(node)
	}
	r.pause()
	r.network.StartNode(node)
}

func (r *trial) stopDatabase(*testing.T) {
	if r.random.IntN(2) == 0 {
		r.mariadb.Kill()
	} else {
		r.mariadb.Stop()
	}
	r.pause()
	r.mariadb.Again()
}

// rotate renames the file while a line of it is half written, as it happens when a
// rotation meets Asterisk at work. The line is of a call that the test makes up, and
// is finished in the file that was renamed.
func (r *trial) rotate(t *testing.T) {
	r.pbx.Lock() // Asterisk's own lines would end up in the middle of it
	defer r.pbx.Unlock()
	time.Sleep(300 * time.Millisecond) // the last call's may still come
	now := time.Now().UTC()
	id := fmt.Sprintf("%d.%d", now.Unix(), 900_000+len(r.rotated))
	line := fmt.Sprintf("\"\",\"1001\",\"1003\",\"lab\",\"\"\"\"\" <1001>\",\"PJSIP/1001-rotated\",\"\",\"Dial\",\"PJSIP/1003\",\"%[1]s\",,\"%[1]s\",0,0,\"BUSY\",\"DOCUMENTATION\",\"%[2]s\",\"made up\",\"\",\"%[2]s\",%[3]d\n",
		now.Format(time.DateTime), id, 900_000+len(r.rotated))
	file, err := os.OpenFile(r.asterisk.CSV(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	half := r.random.IntN(len(line))
	_, err = file.WriteString(line[:half])
	require.NoError(t, err)
	time.Sleep(time.Duration(r.random.IntN(100)) * time.Millisecond)
	renamed := fmt.Sprintf("%s.%d", r.asterisk.CSV(), len(r.rotated)+1)
	require.NoError(t, os.Rename(r.asterisk.CSV(), renamed))
	r.rotated = append(r.rotated, renamed)
	time.Sleep(time.Duration(r.random.IntN(100)) * time.Millisecond)
	_, err = file.WriteString(line[half:])
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// heal lets everything be well, and waits for the sources to be read to their ends.
func (r *trial) heal(t *testing.T) {
	t.Helper()
	since := len(r.log.lines("adapter ready"))
	require.NoError(t, r.adapter.Process.Kill())
	_ = r.adapter.Wait()
	r.start(t)
	r.log.until(t, "adapter ready", since+1)
}

// written are all rows that Asterisk wrote, to the files or to the table, by leg.
func (r *trial) written(t *testing.T) map[ledger.LegID]cdr.Row {
	t.Helper()
	all := map[ledger.LegID]cdr.Row{}
	for _, row := range r.truth(t) {
		id := ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence}
		require.NotContains(t, all, id, "Asterisk itself wrote a leg twice")
		all[id] = row
	}
	rows, err := r.root.Query("SELECT linkedid, uniqueid, sequence, disposition FROM " + r.database + ".cdr")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var row cdr.Row
		var sequence sql.NullInt64
		require.NoError(t, rows.Scan(&row.LinkedID, &row.UniqueID, &sequence, &row.Disposition))
		row.Sequence = sequence.Int64
		id := ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence}
		if _, known := all[id]; !known {
			all[id] = row
		}
	}
	require.NoError(t, rows.Err())
	return all
}

// tally is what came of everything.
type tally struct {
	written, anchored, missing, doubled, others int
	files, paired, repaired, empty, reported    int
	unaccounted                                 []string
}

// count holds the ledger against what is on the PBX.
func (r *trial) count(t *testing.T, found *onLedger) *tally {
	t.Helper()
	written := r.written(t)
	sum := &tally{written: len(written), others: len(found.calls)}
	for id := range written {
		if found.calls[id] == nil {
			sum.missing++
			continue
		}
		sum.anchored++
		sum.others--
	}
	if found.twice {
		sum.doubled++
	}
	search := pb.NewRecordingServiceClient(r.auditor)
	entries, err := os.ReadDir(r.asterisk.RecordingDir())
	require.NoError(t, err)
	for _, entry := range entries {
		sum.files++
		path := filepath.Join(r.asterisk.RecordingDir(), entry.Name())
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		if len(content) <= 44 {
			sum.empty++ // a header and no audio: nobody said anything
			continue
		}
		response, err := search.FindRecordings(t.Context(), &pb.FindRecordingsRequest{Sha256: ledger.Digest(content)})
		require.NoError(t, err)
		// Two recordings of nothing but silence are the same.
		id := strings.TrimSuffix(entry.Name(), ".wav")
		anchored := slices.DeleteFunc(response.GetRecordings(), func(one *pb.Recording) bool { return one.GetLeg().GetUniqueid() != id })
		switch {
		case len(anchored) > 1:
			sum.doubled++
		case len(anchored) == 1:
			var record ledger.Record
			require.NoError(t, ledger.DecodeStrict(anchored[0].GetRecordJson(), &record))
			if record.Recording.Recovered != "" {
				sum.repaired++
			} else {
				sum.paired++
			}
		case r.omitted(t, id, found):
			sum.reported++
		default:
			sum.unaccounted = append(sum.unaccounted, entry.Name())
		}
	}
	return sum
}

// omitted says whether the ledger says of a channel's leg that its recording never
// came.
func (r *trial) omitted(t *testing.T, uniqueID string, found *onLedger) bool {
	t.Helper()
	for id := range found.calls {
		if id.UniqueID != uniqueID {
			continue
		}
		response, err := pb.NewCallServiceClient(r.auditor).ListOmissions(t.Context(), &pb.ListOmissionsRequest{Pbx: r.owner.PBXs[0], Linkedid: id.LinkedID})
		require.NoError(t, err)
		if slices.ContainsFunc(response.GetOmissions(), func(o *pb.Omission) bool { return o.GetLeg().GetUniqueid() == uniqueID }) {
			return true
		}
	}
	return false
}

// judge waits until nothing is missing, and says what came of everything.
func (r *trial) judge(t *testing.T, began time.Time) {
	t.Helper()
	var sum *tally
	var found *onLedger
	deadline := time.Now().Add(5 * time.Minute)
	for {
		var err error
		if found, err = r.read(t.Context()); err == nil {
			if sum = r.count(t, found); sum.missing == 0 && len(sum.unaccounted) == 0 || time.Now().After(deadline) {
				break
			}
		}
		require.True(t, time.Now().Before(deadline), "the ledger cannot be read: %v", err)
		time.Sleep(200 * time.Millisecond)
	}
	r.report(t, sum, found, began)
	require.Less(t, 20*r.otherwise.Load(), int64(r.how.calls), "the phones hardly get their calls through")
	require.Zero(t, sum.missing, "what Asterisk wrote is on the ledger")
	require.Zero(t, sum.doubled)
	require.Empty(t, sum.unaccounted, "every recording is paired, repaired or reported")
	require.Zero(t, found.incidents)
	require.Empty(t, r.log.lines("two sources disagree"))
	require.Empty(t, r.log.lines("call refused"))
	r.requireHistory(t)
}

func (r *trial) report(t *testing.T, sum *tally, found *onLedger, began time.Time) {
	t.Helper()
	var text strings.Builder
	for _, fact := range machine.Facts(t.Context(), t.TempDir()) {
		fmt.Fprintf(&text, "%-16s %s\n", fact.Name, fact.Value)
	}
	fmt.Fprintf(&text, "%-16s %d, %s\n\n", "seed, duration", *seed, time.Since(began).Round(time.Second))
	lines := table.NewWriter()
	lines.SetStyle(table.StyleLight)
	lines.AppendHeader(table.Row{"what", "count"})
	lines.AppendRow(table.Row{"calls placed", r.how.calls})
	lines.AppendRow(table.Row{"  cut when Asterisk was killed", r.cut.Load()})
	lines.AppendRow(table.Row{"  otherwise than the phone wanted", r.otherwise.Load()})
	for _, disruption := range r.disruptions() {
		lines.AppendRow(table.Row{disruption.name, r.done[disruption.name]})
	}
	lines.AppendSeparator()
	lines.AppendRows([]table.Row{
		{"legs that Asterisk wrote, to files or table", sum.written}, {"  on the ledger", sum.anchored}, {"  missing", sum.missing}, {"  doubled", sum.doubled},
		{"legs on the ledger that only an event told of", sum.others}, {"incidents", found.incidents},
	})
	lines.AppendSeparator()
	lines.AppendRows([]table.Row{
		{"files in the folder of recordings", sum.files}, {"  on the ledger as Asterisk finished them", sum.paired}, {"  on the ledger, left by a crash", sum.repaired},
		{"  without audio", sum.empty}, {"  reported as omitted", sum.reported}, {"  unaccounted for", len(sum.unaccounted)},
	})
	text.WriteString(lines.Render() + "\n")
	t.Logf("\n%s", &text)
	if *out != "" {
		require.NoError(t, os.WriteFile(filepath.Join(*out, "adapter-soak.txt"), []byte(text.String()), 0o644))
	}
}
