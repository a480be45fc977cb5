package erasure_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
	"github.com/callseal/callseal/gateway/erasure"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/seal"
)

const atlas = "AtlasMSP"

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	leg  = ledger.LegID{LinkedID: "1772366400.10", UniqueID: "1772366400.10"}
	key  = ledger.CallKey(atlas, "pbx1", leg)
)

// chain runs the real contracts on an in-memory ledger, and stops dead where it
// is told to.
type chain struct {
	t         *testing.T
	world     *stub.World
	chaincode *contract.Chaincode
	roles     map[ledger.Role][]byte
	commits   map[string]fabric.Commit
	log       []string

	// deadline, where set, is called before and after every access.
	deadline func(access string)
	away     error // what every access answers, where set
}

func newChain(t *testing.T) *chain {
	t.Helper()
	chaincode, err := contract.New(atlas)
	require.NoError(t, err)
	governance, err := contract.NewGovernance()
	require.NoError(t, err)
	authority, err := stub.NewAuthority(atlas)
	require.NoError(t, err)
	c := &chain{t: t, world: stub.NewWorld(atlas, "BorealisMSP"), chaincode: chaincode, roles: map[ledger.Role][]byte{}, commits: map[string]fabric.Commit{}}
	c.world.Deploy(ledger.GovernanceChaincode, governance)
	for _, role := range []ledger.Role{ledger.RoleGateway, ledger.RoleCompliance} {
		identity, err := authority.Issue(stub.Request{Attributes: map[string]string{ledger.AttributeRole: string(role)}})
		require.NoError(t, err)
		c.roles[role] = identity.Creator()
	}
	return c
}

func (c *chain) at(access string) {
	if c.deadline != nil {
		c.deadline(access)
	}
}

func (c *chain) MSP() string { return atlas }

func (c *chain) invoke(role ledger.Role, what fabric.Proposal) (*peer.Response, *stub.Tx, error) {
	response, tx := c.world.Invoke(c.chaincode, stub.Call{
		Args: append([]string{what.Function}, what.Args...), Transient: what.Transient, Creator: c.roles[role], Time: noon.Add(time.Hour), PeerMSP: atlas,
	})
	if response.GetStatus() >= shim.ERRORTHRESHOLD {
		coded, _ := ledger.ParseError(response.GetMessage())
		return nil, nil, fault.FromLedger(coded)
	}
	return response, tx, nil
}

func (c *chain) Evaluate(_ context.Context, function string, args ...string) ([]byte, error) {
	c.at("before " + function)
	if c.away != nil {
		return nil, c.away
	}
	response, _, err := c.invoke(ledger.RoleGateway, fabric.Proposal{Function: function, Args: args})
	c.at("after " + function)
	return response.GetPayload(), err
}

func (c *chain) Transact(_ context.Context, what fabric.Proposal) (fabric.Outcome, error) {
	c.at("before " + what.Function)
	if c.away != nil {
		return fabric.Outcome{}, c.away
	}
	response, tx, err := c.invoke(ledger.RoleGateway, what)
	if err != nil {
		return fabric.Outcome{}, err
	}
	c.at("endorsed " + what.Function)
	if what.Submitting != nil {
		if err := what.Submitting(tx.GetTxID()); err != nil {
			return fabric.Outcome{}, err
		}
	}
	c.at("remembered " + what.Function)
	require.Equal(c.t, peer.TxValidationCode_VALID, c.world.Commit(tx)[0])
	commit := fabric.Commit{TransactionID: tx.GetTxID(), Block: uint64(len(c.commits) + 1), Endorsers: what.EndorsedBy, Validation: "VALID"}
	c.commits[commit.TransactionID] = commit
	c.log = append(c.log, what.Function)
	c.at("after " + what.Function)
	return fabric.Outcome{Commit: commit, Result: response.GetPayload()}, nil
}

func (c *chain) Commit(_ context.Context, id string) (fabric.Commit, error) {
	c.at("before commit")
	commit, found := c.commits[id]
	if !found {
		return commit, fault.New(fault.NotFound, "the peer knows no such transaction")
	}
	return commit, nil
}

// does commits a transaction of the owner's compliance.
func (c *chain) does(function string, args ...string) {
	c.t.Helper()
	_, tx, err := c.invoke(ledger.RoleCompliance, fabric.Proposal{Function: function, Args: args})
	require.NoError(c.t, err)
	require.Equal(c.t, peer.TxValidationCode_VALID, c.world.Commit(tx)[0])
}

// scene is a gateway's state folder beside a chain on which one leg is anchored
// with its details.
type scene struct {
	*chain
	folder string
	sealed ledger.Sealed
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{chain: newChain(t), folder: t.TempDir()}
	record := ledger.Record{
		Call: &ledger.Call{
			DetailsDigest: strings.Repeat("5a", 32), Disposition: ledger.Answered, DurationMS: 30_000, BillsecMS: 28_000,
			Start: ledger.TimeOf(noon), End: ledger.TimeOf(noon.Add(30 * time.Second)), Leg: leg,
		},
		Epoch: 1, MSP: atlas, PBX: "pbx1", Segment: 1, Seq: 1, V: 2,
	}
	canonical, err := ledger.Canonical(&record)
	require.NoError(t, err)
	tx := s.world.Begin(stub.Call{})
	require.NoError(t, tx.PutState(key, canonical))
	require.Equal(t, peer.TxValidationCode_VALID, s.world.Commit(tx)[0])

	g := s.gateway()
	sealed, err := g.keyring.Seal([]seal.Item{{Key: key, Details: []byte("details")}})
	require.NoError(t, err)
	s.sealed = sealed[0].Sealed
	wire, err := ledger.Canonical(sealed)
	require.NoError(t, err)
	_, err = s.Transact(t.Context(), fabric.Proposal{Function: "details:Put", Transient: map[string][]byte{"details": wire}})
	require.NoError(t, err)
	s.log = nil
	g.stop()
	return s
}

// gateway is one run of a gateway's parts on the scene's folder.
type gateway struct {
	*erasure.Eraser
	keyring *seal.Keyring
	stop    func()
}

func (s *scene) gateway() *gateway {
	s.t.Helper()
	keyring, err := seal.Open(filepath.Join(s.folder, "keyring.db"))
	require.NoError(s.t, err)
	journal, err := erasure.OpenJournal(filepath.Join(s.folder, "erasures.db"))
	require.NoError(s.t, err)
	stop := func() { _, _ = keyring.Close(), journal.Close() }
	s.t.Cleanup(stop)
	return &gateway{Eraser: erasure.New(s.chain, keyring, journal, slog.New(slog.DiscardHandler)), keyring: keyring, stop: stop}
}

func (s *scene) request() erasure.Request {
	return erasure.Request{
		Record: erasure.Record{PBX: "pbx1", Call: &leg}, Reason: ledger.EraseSubjectRequest,
		EvidenceDigest: strings.Repeat("e", 64), RequestedBy: strings.Repeat("9", 64),
	}
}

// requireErased checks that all steps were taken, each once.
func (s *scene) requireErased(g *gateway, receipt *erasure.Progress) {
	s.t.Helper()
	require.True(s.t, receipt.Done())
	require.Empty(s.t, receipt.Pending)
	require.Equal(s.t, s.sealed.KeyCommitment, receipt.Statement.Details.KeyCommitment)
	require.NotEmpty(s.t, receipt.Statement.Details.SealedDigest)
	require.Equal(s.t, ledger.RoleGateway, receipt.Statement.Details.By)
	require.Equal(s.t, receipt.Statement.Details.TxID, receipt.Stated.TransactionID)
	require.NotZero(s.t, receipt.KeyDestroyedAt)
	require.Equal(s.t, []string{"calls:Erase", "details:Purge"}, s.log, "each transaction was made once")
	require.Equal(s.t, "VALID", receipt.Purged.Validation)
	_, err := g.keyring.Unseal(key, &s.sealed)
	require.ErrorIs(s.t, err, seal.ErrNoKey)
	hash, err := s.world.Begin(stub.Call{}).GetPrivateDataHash("_implicit_org_"+atlas, key)
	require.NoError(s.t, err)
	require.Nil(s.t, hash)
}

func TestErase(t *testing.T) {
	s := newScene(t)
	g := s.gateway()
	_, err := g.Get(s.request().Record)
	require.Equal(t, fault.NotFound, fault.Of(err).Kind)
	receipt, err := g.Erase(t.Context(), s.request())
	require.NoError(t, err)
	s.requireErased(g, receipt)
	require.Equal(t, strings.Repeat("9", 64), receipt.Statement.Details.RequestedBy)

	again, err := g.Erase(t.Context(), s.request())
	require.NoError(t, err)
	require.Equal(t, receipt, again)
	g.stop()
	g = s.gateway()
	kept, err := g.Get(s.request().Record)
	require.NoError(t, err)
	require.Equal(t, receipt, kept, "the receipt outlives the gateway")
	require.NoError(t, g.Resume(t.Context()))
	s.requireErased(g, kept)
}

// TestACrashAtAnyPoint stops the gateway dead before and after every access to
// the ledger, and has a new one finish.
func TestACrashAtAnyPoint(t *testing.T) {
	var points []string
	s := newScene(t)
	s.deadline = func(access string) { points = append(points, access) }
	g := s.gateway()
	_, err := g.Erase(t.Context(), s.request())
	require.NoError(t, err)
	require.Greater(t, len(points), 10)
	for n, point := range points {
		t.Run(fmt.Sprintf("%d %s", n, point), func(t *testing.T) {
			s := newScene(t)
			g := s.gateway()
			count := 0
			s.deadline = func(access string) {
				if count++; count == n+1 {
					require.Equal(t, point, access)
					panic("crash")
				}
			}
			require.PanicsWithValue(t, "crash", func() { _, _ = g.Erase(t.Context(), s.request()) })
			g.stop()
			s.deadline = nil
			g = s.gateway()
			require.NoError(t, g.Resume(t.Context()))
			receipt, err := g.Get(s.request().Record)
			require.NoError(t, err)
			s.requireErased(g, receipt)
			again, err := g.Erase(t.Context(), s.request())
			require.NoError(t, err)
			require.Equal(t, receipt, again)
		})
	}
}

// TestACrashBetweenKeyAndJournal: the key is gone and the journal does not know.
func TestACrashBetweenKeyAndJournal(t *testing.T) {
	s := newScene(t)
	g := s.gateway()
	s.deadline = func(access string) {
		if access == "after calls:Erase" {
			panic("crash")
		}
	}
	require.Panics(t, func() { _, _ = g.Erase(t.Context(), s.request()) })
	s.deadline = nil
	told, err := g.keyring.Destroy(key)
	require.NoError(t, err)
	g.stop()
	g = s.gateway()
	require.NoError(t, g.Resume(t.Context()))
	receipt, err := g.Get(s.request().Record)
	require.NoError(t, err)
	s.requireErased(g, receipt)
	require.Equal(t, told[0].At, receipt.KeyDestroyedAt)
}

func TestWhatIsRefusedIsForgotten(t *testing.T) {
	s := newScene(t)
	digest := strings.Repeat("a", 64)
	s.does("recordings:Hold", atlas, "pbx1", leg.LinkedID, `{"after":0,"case_digest":"`+digest+`","reason":"dispute"}`)
	g := s.gateway()
	_, err := g.Erase(t.Context(), s.request())
	require.Equal(t, fault.State, fault.Of(err).Kind)
	_, err = g.keyring.Unseal(key, &s.sealed)
	require.NoError(t, err, "nothing is destroyed that may not be")
	s.does("recordings:Release", atlas, "pbx1", leg.LinkedID, digest, "1")
	require.NoError(t, g.Resume(t.Context()))
	require.Empty(t, s.log, "a refused request does not come back by itself")

	request := s.request()
	request.Reason = ledger.EraseRetentionExpired
	_, err = g.Erase(t.Context(), request)
	require.Equal(t, fault.State, fault.Of(err).Kind)
	other := s.request()
	other.Call = &ledger.LegID{LinkedID: "nobody", UniqueID: "x"}
	_, err = g.Erase(t.Context(), other)
	require.Equal(t, fault.NotFound, fault.Of(err).Kind)
	for _, record := range []erasure.Record{
		{}, {PBX: "pbx1"}, {PBX: "pbx1", Call: &leg, Recording: &ledger.RecordingID{}}, {PBX: "a b", Call: &leg}, {PBX: "pbx1", Recording: &ledger.RecordingID{ID: "x", Revision: 1}},
		{PBX: "pbx1", Recording: &ledger.RecordingID{ID: strings.Repeat("ab", 16), Revision: -1}},
	} {
		_, err = g.Erase(t.Context(), erasure.Request{Record: record, Reason: ledger.EraseSubjectRequest})
		require.Equal(t, fault.Invalid, fault.Of(err).Kind, "%v", err)
	}
	request.Reason = "because"
	_, err = g.Erase(t.Context(), request)
	require.Equal(t, fault.Invalid, fault.Of(err).Kind)
}

// TestAHoldThatCameBetween: the statement stands and the key is gone, the purge
// waits for the release.
func TestAHoldThatCameBetween(t *testing.T) {
	s := newScene(t)
	digest := strings.Repeat("a", 64)
	s.deadline = func(access string) {
		if access == "after calls:Erase" {
			s.does("recordings:Hold", atlas, "pbx1", leg.LinkedID, `{"after":0,"case_digest":"`+digest+`","reason":"dispute"}`)
		}
	}
	g := s.gateway()
	receipt, err := g.Erase(t.Context(), s.request())
	require.NoError(t, err)
	require.False(t, receipt.Done())
	require.Contains(t, receipt.Pending, "a legal hold")
	require.NotZero(t, receipt.KeyDestroyedAt)
	require.ErrorContains(t, g.Resume(t.Context()), "a legal hold")
	s.does("recordings:Release", atlas, "pbx1", leg.LinkedID, digest, "1")
	require.NoError(t, g.Resume(t.Context()))
	receipt, err = g.Get(s.request().Record)
	require.NoError(t, err)
	s.requireErased(g, receipt)
}

func TestAPeerThatIsAway(t *testing.T) {
	s := newScene(t)
	g := s.gateway()
	s.away = &fault.Error{Kind: fault.Unavailable, Message: "the peer is away"}
	_, err := g.Erase(t.Context(), s.request())
	require.Equal(t, fault.Unavailable, fault.Of(err).Kind)
	_, err = g.keyring.Unseal(key, &s.sealed)
	require.NoError(t, err)
	// Whatever is not a refusal may have come onto the ledger: it is not forgotten.
	s.away = errors.New("nobody knows")
	require.Error(t, g.Resume(t.Context()))
	s.away = nil
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan struct{})
	go func() { defer close(running); g.Run(ctx) }()
	require.Eventually(t, func() bool {
		receipt, err := g.Get(s.request().Record)
		return err == nil && receipt.Done()
	}, 20*time.Second, 10*time.Millisecond, "what was begun is finished without being asked for")
	cancel()
	<-running
	receipt, err := g.Get(s.request().Record)
	require.NoError(t, err)
	s.requireErased(g, receipt)
}

// TestWithoutDetails erases a record whose details never came, so that they
// cannot come any more.
func TestWithoutDetails(t *testing.T) {
	s := newScene(t)
	g := s.gateway()
	_, err := g.keyring.Destroy(key)
	require.NoError(t, err)
	tx := s.world.Begin(stub.Call{})
	require.NoError(t, tx.PurgePrivateData("_implicit_org_"+atlas, key))
	s.world.Commit(tx)
	receipt, err := g.Erase(t.Context(), s.request())
	require.NoError(t, err)
	require.True(t, receipt.Done())
	require.Empty(t, receipt.Statement.Details.SealedDigest)
	require.Empty(t, receipt.Purged.TransactionID)
	require.Equal(t, []string{"calls:Erase"}, s.log)
}

func TestOneJournalAGateway(t *testing.T) {
	s := newScene(t)
	s.gateway()
	_, err := erasure.OpenJournal(filepath.Join(s.folder, "erasures.db"))
	require.ErrorContains(t, err, "is in use by another gateway")
	_, err = erasure.OpenJournal(t.TempDir())
	require.ErrorContains(t, err, "open the journal")
}
