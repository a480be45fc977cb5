package reputation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
	arithmetic "github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/chaincode/stub"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

const (
	atlas  = "AtlasMSP"
	caller = "tel:+351210000000"
	source = "ip:198.51.100.7"
)

var key = []byte(strings.Repeat("k", arithmetic.KeyBytes))

// decreed is a governance chaincode that answers what a test decrees.
type decreed struct {
	mu       sync.Mutex
	policies map[string]ledger.PolicyVersion
}

func (d *decreed) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

func (d *decreed) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	_, parameters := stub.GetFunctionAndParameters()
	text, err := d.current(parameters[0])
	if err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(text)
}

func (d *decreed) current(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	version, found := d.policies[name]
	if !found {
		standard, err := ledger.DefaultPolicy(name)
		if err != nil {
			return nil, err
		}
		version = *standard
	}
	return ledger.Canonical(&version)
}

// decree puts a document into force.
func (d *decreed) decree(version int64, policy ledger.Policy) {
	d.mu.Lock()
	defer d.mu.Unlock()
	policy.V = ledger.SchemaVersion
	d.policies[policy.Name()] = ledger.PolicyVersion{Name: policy.Name(), Policy: policy, V: ledger.SchemaVersion, Version: version}
}

// wire is a link to an in-memory ledger that fails when it is told to.
type wire struct {
	t        testing.TB
	world    *stub.World
	contract *contract.Chaincode
	gateway  []byte // its serialized identity
	decreed  *decreed

	mu sync.Mutex
	// hold is closed to let transactions be endorsed.
	hold chan struct{}
	// failures are answered, in order, in place of an endorsement; outcomes in
	// place of a commit, which happens all the same where the outcome is lost.
	failures []error
	outcomes []outcome
	written  []string // functions of the transactions that are VALID
	sent     map[string]*sent
	resumed  int
}

// outcome is what a commit answers, and whether it happens.
type outcome struct {
	err     error
	happens bool
}

func newWire(t testing.TB) *wire {
	t.Helper()
	authority, err := stub.NewAuthority(atlas)
	require.NoError(t, err)
	identity, err := authority.Issue(stub.Request{Attributes: map[string]string{ledger.AttributeRole: string(ledger.RoleGateway)}})
	require.NoError(t, err)
	made, err := contract.New(atlas)
	require.NoError(t, err)
	w := &wire{t: t, world: stub.NewWorld(atlas), contract: made, gateway: identity.Creator(), decreed: &decreed{policies: map[string]ledger.PolicyVersion{}}, hold: make(chan struct{}), sent: map[string]*sent{}}
	close(w.hold)
	w.world.Deploy(ledger.GovernanceChaincode, w.decreed)
	return w
}

func (w *wire) invoke(transient map[string][]byte, args ...string) ([]byte, *stub.Tx, error) {
	response, tx := w.world.Invoke(w.contract, stub.Call{Args: args, Creator: w.gateway, PeerMSP: atlas, Time: time.Now(), Transient: transient})
	if response.GetStatus() != shim.OK {
		coded, _ := ledger.ParseError(response.GetMessage())
		return nil, nil, fault.FromLedger(coded)
	}
	return response.GetPayload(), tx, nil
}

func (w *wire) Evaluate(_ context.Context, function string, args ...string) ([]byte, error) {
	payload, _, err := w.invoke(nil, append([]string{function}, args...)...)
	return payload, err
}

func (w *wire) Policy(_ context.Context, name string) ([]byte, error) { return w.decreed.current(name) }

func (w *wire) Endorse(ctx context.Context, function string, writes []byte) (transaction, error) {
	w.mu.Lock()
	hold := w.hold
	w.mu.Unlock()
	select {
	case <-hold:
	case <-ctx.Done():
		return nil, &fault.Error{Kind: fault.Unavailable, Stage: fault.StageEndorse, Message: "cancelled"}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failures) > 0 {
		err := w.failures[0]
		w.failures = w.failures[1:]
		return nil, err
	}
	_, tx, err := w.invoke(map[string][]byte{"writes": writes}, function, "")
	if err != nil {
		return nil, err
	}
	made := &sent{wire: w, tx: tx, function: function}
	w.sent[made.ID()] = made
	return made, nil
}

// Resume finds a transaction by its id, which stands for its envelope.
func (w *wire) Resume(ctx context.Context, envelope []byte) (fabric.Outcome, error) {
	w.mu.Lock()
	w.resumed++
	one := w.sent[string(envelope)]
	w.mu.Unlock()
	commit, err := one.Finish(ctx)
	return fabric.Outcome{Commit: commit}, err
}

// sent is an endorsed transaction.
type sent struct {
	wire      *wire
	tx        *stub.Tx
	function  string
	committed bool
}

func (s *sent) ID() string { return s.tx.GetTxID() }

func (s *sent) Envelope() []byte { return []byte(s.ID()) }

func (s *sent) Finish(context.Context) (fabric.Commit, error) {
	w := s.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	next := outcome{happens: true}
	if len(w.outcomes) > 0 {
		next = w.outcomes[0]
		w.outcomes = w.outcomes[1:]
	}
	if next.happens && !s.committed {
		s.committed = true
		if code := w.world.Commit(s.tx)[0]; code != peer.TxValidationCode_VALID {
			w.t.Errorf("a transaction is %s", code)
		}
		w.written = append(w.written, s.function)
	}
	return fabric.Commit{TransactionID: s.ID(), Validation: "VALID"}, next.err
}

// running is a tally that runs until the test ends.
func running(t testing.TB, w *wire, config Config) *Tally {
	t.Helper()
	tally := newTally(w, atlas, config, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { tally.Run(ctx) })
	t.Cleanup(func() { stop(); runs.Wait() })
	return tally
}

// opinion is what the ledger has.
func (w *wire) opinion(t testing.TB, address string) *ledger.Opinion {
	t.Helper()
	parsed, err := arithmetic.ParseAddress(address, nil)
	require.NoError(t, err)
	subject, err := parsed.Subject(key)
	require.NoError(t, err)
	stored := w.world.Get(ledger.OpinionKey(1, subject, atlas, 1))
	if stored == nil {
		return nil
	}
	opinion := &ledger.Opinion{}
	require.NoError(t, ledger.DecodeStrict(stored, opinion))
	return opinion
}

func success(address string) Evidence {
	return Evidence{Address: address, Kind: ledger.EvidenceLongCall, Count: 1}
}

func failures(address string, n int64) Evidence {
	return Evidence{Address: address, Kind: ledger.EvidenceAuthFailure, Count: n, Attempts: n}
}

func config() Config { return Config{Key: key, Writer: 1} }

func TestThePapersBruteForce(t *testing.T) {
	w := newWire(t)
	tally := running(t, w, config())
	for _, step := range []struct {
		evidence Evidence
		score    int64
	}{{success(source), 6000}, {failures(source, 8), 10_000 * 3 / 13}} {
		receipts, err := tally.Report(t.Context(), []Evidence{step.evidence})
		require.NoError(t, err)
		require.Equal(t, step.score, receipts[0].Score)
		require.NotEmpty(t, receipts[0].Commit.TransactionID)
	}
	opinion := w.opinion(t, source)
	require.EqualValues(t, 2, opinion.Seq)
	require.EqualValues(t, 8000, opinion.Totals.Failures)
	require.Equal(t, Counters{Reports: 2, Opinions: 2, Transactions: 2}, tally.Counters())
}

func TestASubjectHasOneTransactionUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		w.hold = make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		tally := newTally(w, atlas, config(), slog.New(slog.DiscardHandler))
		go tally.Run(ctx)
		seqs := make(chan int64, 1000)
		report := func(evidence Evidence) {
			receipts, err := tally.Report(ctx, []Evidence{evidence})
			if err != nil {
				t.Error(err)
				return
			}
			seqs <- receipts[0].Seq
		}
		go report(success(caller))
		synctest.Wait() // the first is under way
		for i := range 999 {
			if i%3 == 0 {
				go report(failures(caller, 2))
			} else {
				go report(success(caller))
			}
		}
		synctest.Wait()
		close(w.hold)
		synctest.Wait()
		require.Len(t, seqs, 1000)
		counts := map[int64]int{}
		for range 1000 {
			counts[<-seqs]++
		}
		require.Equal(t, map[int64]int{1: 1, 2: 999}, counts, "the second carries all that gathered")
		opinion := w.opinion(t, caller)
		require.EqualValues(t, 667_000, opinion.Totals.Alpha)
		require.EqualValues(t, 666_000, opinion.Totals.Beta)
		require.Equal(t, Counters{Reports: 1000, Opinions: 2, Transactions: 2}, tally.Counters())
		stop()
		synctest.Wait()
	})
}

func TestManySubjectsShareATransaction(t *testing.T) {
	w := newWire(t)
	tally := running(t, w, config())
	evidence := make([]Evidence, maxReports)
	for i := range evidence {
		evidence[i] = success(fmt.Sprintf("tel:+3512100%05d", i))
	}
	receipts, err := tally.Report(t.Context(), evidence)
	require.NoError(t, err)
	subjects := map[string]bool{}
	for _, receipt := range receipts {
		subjects[receipt.Subject] = true
		require.EqualValues(t, 1, receipt.Seq)
	}
	require.Len(t, subjects, maxReports)
	require.EqualValues(t, 1, tally.Counters().Transactions)
	for _, each := range w.world.Keys() {
		require.NotContains(t, each, "35121")
	}
}

func TestAGatewayThatStartsAgainGoesOn(t *testing.T) {
	w := newWire(t)
	_, err := running(t, w, config()).Report(t.Context(), []Evidence{success(caller)})
	require.NoError(t, err)
	before := w.opinion(t, caller)
	receipts, err := running(t, w, config()).Report(t.Context(), []Evidence{success(caller)})
	require.NoError(t, err)
	require.EqualValues(t, 2, receipts[0].Seq)
	require.NoError(t, ledger.CheckChain(before, w.opinion(t, caller)))
}

func TestNothingIsCountedTwiceOrLost(t *testing.T) {
	lost := &fault.Error{Kind: fault.Unknown, Stage: fault.StageCommit, Message: "not known yet"}
	for name, c := range map[string]struct {
		failures []error
		outcomes []outcome
		want     Counters
	}{
		"its outcome is lost after it counted":      {nil, []outcome{{lost, true}}, Counters{Asked: 1}},
		"its outcome is lost before it counted":     {nil, []outcome{{lost, false}, {lost, false}, {nil, true}}, Counters{Asked: 2}},
		"another came first":                        {nil, []outcome{{&fault.Error{Kind: fault.Contended, Stage: fault.StageCommit}, false}}, Counters{Conflicts: 1, Retries: 1}},
		"endorsers differ":                          {[]error{&fault.Error{Kind: fault.Contended, Stage: fault.StageEndorse}}, nil, Counters{Mismatches: 1, Retries: 1}},
		"the network is away, twice":                {[]error{&fault.Error{Kind: fault.Unavailable}, &fault.Error{Kind: fault.Unavailable}}, nil, Counters{Retries: 2}},
		"a policy was voted in while it was on way": {[]error{&fault.Error{Kind: fault.State}}, nil, Counters{Retries: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			w.failures, w.outcomes = c.failures, c.outcomes
			tally := running(t, w, config())
			receipts, err := tally.Report(t.Context(), []Evidence{success(caller)})
			require.NoError(t, err)
			require.EqualValues(t, 1, receipts[0].Seq)
			require.NotEmpty(t, receipts[0].Commit.TransactionID)
			_, err = tally.Report(t.Context(), []Evidence{failures(caller, 1)})
			require.NoError(t, err)
			opinion := w.opinion(t, caller)
			require.EqualValues(t, 2, opinion.Seq)
			require.EqualValues(t, 1000, opinion.Totals.Alpha)
			require.EqualValues(t, 1000, opinion.Totals.Beta)
			c.want.Reports, c.want.Opinions, c.want.Transactions = 2, 2, 2
			require.Equal(t, c.want, tally.Counters())
		})
	}
}

func TestANewPolicyWeighsWhatWaits(t *testing.T) {
	w := newWire(t)
	tally := running(t, w, config())
	_, err := tally.Report(t.Context(), []Evidence{success(caller)})
	require.NoError(t, err)
	policy, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	require.NoError(t, err)
	for i := range policy.Policy.Reputation.Kinds {
		policy.Policy.Reputation.Kinds[i].Weight = 500
	}
	w.decreed.decree(1, policy.Policy)
	_, err = tally.Report(t.Context(), []Evidence{success(caller)})
	require.NoError(t, err)
	opinion := w.opinion(t, caller)
	require.EqualValues(t, 1500, opinion.Totals.Alpha)
	require.EqualValues(t, 1, opinion.PolicyVersion)
	require.EqualValues(t, 1, tally.Counters().Retries, "it learns of the vote by being refused")
}

func TestARotationCarriesOver(t *testing.T) {
	w := newWire(t)
	_, err := running(t, w, config()).Report(t.Context(), []Evidence{failures(source, 8), success(caller)})
	require.NoError(t, err)
	next := []byte(strings.Repeat("n", arithmetic.KeyBytes))
	commitment, err := arithmetic.Commitment(next)
	require.NoError(t, err)
	old := running(t, w, config())
	_, err = old.Report(t.Context(), []Evidence{success(caller)})
	require.NoError(t, err)

	w.decreed.decree(2, ledger.Policy{Pseudonyms: &ledger.PseudonymPolicy{Commitment: commitment, Epoch: 2}})
	_, err = old.Report(t.Context(), []Evidence{success(caller)})
	require.Equal(t, fault.State, fault.Of(err).Kind, "its key is not the epoch's")
	require.ErrorContains(t, err, "epoch 2")

	rotated := running(t, w, Config{Key: next, PreviousKey: key, Writer: 1})
	const newcomer = "tel:+351210000001"
	receipts, err := rotated.Report(t.Context(), []Evidence{success(source), success(newcomer)})
	require.NoError(t, err)
	require.EqualValues(t, 10_000*3/13, receipts[0].Score, "what was held counts on")
	require.EqualValues(t, 6000, receipts[1].Score)
	require.EqualValues(t, 2, receipts[0].Epoch)
	require.Equal(t, []string{"reputation:Record", "reputation:Record", "reputation:Carry", "reputation:Record"}, w.written)
	receipts, err = rotated.Report(t.Context(), []Evidence{success(source)})
	require.NoError(t, err)
	require.EqualValues(t, 2, receipts[0].Seq)
	require.EqualValues(t, 10_000*4/14, receipts[0].Score, "and is carried once")
}

func TestWhatIsRefusedIsRefusedWhole(t *testing.T) {
	w := newWire(t)
	exempt, err := arithmetic.ParseAddress("tel:+351800000000", nil)
	require.NoError(t, err)
	subject, err := exempt.Subject(key)
	require.NoError(t, err)
	commitment, err := arithmetic.Commitment(key)
	require.NoError(t, err)
	w.decreed.decree(1, ledger.Policy{Pseudonyms: &ledger.PseudonymPolicy{Commitment: commitment, Epoch: 1, Exempt: []string{subject}}})
	tally := running(t, w, config())
	for name, c := range map[string]struct {
		evidence Evidence
		kind     fault.Kind
	}{
		"an emergency number":  {success("tel:112"), fault.State},
		"an exempt subject":    {failures("tel:+351800000000", 9), fault.State},
		"a private address":    {failures("ip:192.168.1.20", 9), fault.State},
		"carrier-grade NAT":    {failures("ip:100.64.1.20", 9), fault.State},
		"no address":           {failures("alice", 9), fault.Invalid},
		"an unknown kind":      {Evidence{Address: caller, Kind: "rumour", Count: 1}, fault.Invalid},
		"no events":            {Evidence{Address: caller, Kind: ledger.EvidenceLongCall}, fault.Invalid},
		"negative events":      {Evidence{Address: caller, Kind: ledger.EvidenceLongCall, Count: -1}, fault.Invalid},
		"too many events":      {Evidence{Address: caller, Kind: ledger.EvidenceLongCall, Count: 1001}, fault.Invalid},
		"failures out of thin": {Evidence{Address: caller, Kind: ledger.EvidenceAuthFailure, Count: 1}, fault.Invalid},
	} {
		_, err := tally.Report(t.Context(), []Evidence{success(caller), c.evidence})
		require.Equal(t, c.kind, fault.Of(err).Kind, name)
		require.NotContains(t, err.Error(), "192.168", name)
		require.NotContains(t, err.Error(), "alice", name)
	}
	for _, n := range []int{0, maxReports + 1} {
		_, err := tally.Report(t.Context(), make([]Evidence, n))
		require.Equal(t, fault.Invalid, fault.Of(err).Kind)
	}
	require.Nil(t, w.opinion(t, caller))
	require.Empty(t, w.world.Keys())
}

func TestWhoGivesUpBeforeItLeftsTakesItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		w.hold = make(chan struct{})
		running, stop := context.WithCancel(t.Context())
		tally := newTally(w, atlas, config(), slog.New(slog.DiscardHandler))
		go tally.Run(running)
		errs := make(chan error, 2)
		patient, cancel := context.WithCancel(t.Context())
		report := func() {
			_, err := tally.Report(patient, []Evidence{success(caller)})
			errs <- err
		}
		go report()
		synctest.Wait() // has left
		go report()
		synctest.Wait() // waits
		cancel()
		synctest.Wait()
		uncertain, back := <-errs, <-errs
		if !errors.Is(uncertain, ErrUncertain) {
			uncertain, back = back, uncertain
		}
		require.ErrorIs(t, uncertain, ErrUncertain)
		require.Equal(t, fault.Unavailable, fault.Of(back).Kind)
		require.ErrorContains(t, back, "not counted")
		close(w.hold)
		synctest.Wait()
		require.EqualValues(t, 1, w.opinion(t, caller).Seq)
		require.EqualValues(t, 1000, w.opinion(t, caller).Totals.Alpha, "what had left counts, what had not does not")

		// Who waits when the gateway stops is told, and so is who comes later.
		w.mu.Lock()
		w.hold = make(chan struct{})
		w.mu.Unlock()
		patient = t.Context()
		go report()
		synctest.Wait()
		go report()
		synctest.Wait()
		stop()
		synctest.Wait()
		for range 2 {
			require.ErrorContains(t, <-errs, "the gateway stops")
		}
		_, err := tally.Report(t.Context(), []Evidence{success(caller)})
		require.ErrorContains(t, err, "the gateway stops")
		require.EqualValues(t, 1, w.opinion(t, caller).Seq)
	})
}

func TestTooMuchAtOnceIsSentBack(t *testing.T) {
	w := newWire(t)
	tally := newTally(w, atlas, config(), slog.New(slog.DiscardHandler)) // nobody works
	tally.waiting = maxWaiting
	_, err := tally.Report(t.Context(), []Evidence{success(caller)})
	require.Equal(t, fault.Busy, fault.Of(err).Kind)
	require.Equal(t, busyFor, fault.Of(err).RetryAfter)
}

func TestReadKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "consortium.key")
	_, err := ReadKey(file)
	require.ErrorIs(t, err, os.ErrNotExist)
	for text, good := range map[string]bool{strings.Repeat("0f", 32) + "\n": true, strings.Repeat("0F", 32): true, "": false, strings.Repeat("0f", 31): false, strings.Repeat("0g", 32): false, strings.Repeat("0f", 33): false} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		read, err := ReadKey(file)
		if good {
			require.NoError(t, err)
			require.Equal(t, []byte(strings.Repeat("\x0f", 32)), read)
		} else {
			require.ErrorContains(t, err, "64 hexadecimal digits")
		}
	}
}

func BenchmarkReport(b *testing.B) {
	w := newWire(b)
	tally := running(b, w, config())
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := tally.Report(context.Background(), []Evidence{success(caller)}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(tally.Counters().Transactions)/float64(b.N), "transactions/op")
}
