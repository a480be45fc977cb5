package privacy_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/seal"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/privacy"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// patience bounds each step; a walk reads and decodes all files of a network.
const patience = 5 * time.Minute

// person is what calls say of one person; none of it may be found in clear.
type person struct{ name, number, address, file, account string }

// consortium is a real network of three operators.
type consortium struct {
	*networktest.Network
	t *testing.T
}

func (c *consortium) within() context.Context {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c.t.Cleanup(cancel)
	return ctx
}

func (c *consortium) member(name string) network.Member {
	c.t.Helper()
	member, err := c.Consortium().Member(name)
	require.NoError(c.t, err)
	return member
}

// gateway reaches an operator's gateway as one of its identities.
func (c *consortium) gateway(operator, identity string) *grpc.ClientConn {
	c.t.Helper()
	org := c.Layout().Operator(operator)
	connection, err := connect.Dial(connect.Config{
		Address: c.member(operator).Gateway.Address, CAFile: org.TLSCAFile(),
		CertFile: org.Identity(identity).CertFile(), KeyFile: org.Identity(identity).KeyFile(),
	})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// peer reaches an operator's own peer as one of its identities.
func (c *consortium) peer(operator, identity string) *fabric.Channel {
	c.t.Helper()
	org := c.Layout().Operator(operator)
	files, member := org.Identity(identity), c.member(operator)
	channel, err := fabric.Open(fabric.Config{
		MSP: member.MSP, Channel: c.Consortium().Channel, Chaincode: c.Consortium().Chaincode,
		Peers:       []fabric.PeerConfig{{Address: member.Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = channel.Close() })
	return channel
}

func (c *consortium) down() {
	c.t.Helper()
	require.NoError(c.t, c.Down(c.within()))
}

// walk searches everything that every member has. The nodes are stopped, so that
// all of it is in files.
func (c *consortium) walk(needles []privacy.Needle) *privacy.Report {
	c.t.Helper()
	begun := time.Now()
	report, err := privacy.Walk(c.within(), []string{c.Layout().Root()}, needles)
	require.NoError(c.t, err)
	require.Empty(c.t, report.Unread)
	require.Greater(c.t, report.Files, 100)
	require.Greater(c.t, report.Entries, int64(100))
	c.t.Logf("%d files, %d KiB, %d decoded entries, %d needles searched in %s", report.Files, report.Bytes>>10, report.Entries, len(needles), time.Since(begun).Round(time.Millisecond))
	return report
}

// in are the findings of a needle below a folder of the network.
func (c *consortium) in(report *privacy.Report, needle string, folder ...string) []privacy.Finding {
	root := filepath.Join(append([]string{c.Layout().Root(), "organisations"}, folder...)...) + string(filepath.Separator)
	var found []privacy.Finding
	for _, one := range report.Of(needle) {
		if strings.HasPrefix(one.Path, root) {
			found = append(found, one)
		}
	}
	return found
}

// entries are a call and its recording that say of the person all they can.
func entries(t *testing.T, who person) []gatewaytest.Entry {
	t.Helper()
	call := gatewaytest.Call(t)
	call.Details.Call = &ledger.CallDetails{
		AccountCode: who.account, Channel: "PJSIP/" + who.account + "-00000001", CLID: fmt.Sprintf("%q <+%s>", who.name, who.number), DContext: "from-" + who.account,
		Dst: who.number, DstChannel: "PJSIP/trunk@" + who.address, LastData: "PJSIP/" + who.number + "@trunk", Src: "+" + who.number, UserField: who.name,
	}
	call.Record.Call.CallerRef = ledger.PartyRef([]byte("the operator's key"), "tel:+"+who.number)
	call.Rebind(t)
	recording := gatewaytest.Recording(t, call.Record.Call.Leg, []byte("audio of "+who.name))
	recording.Details.Recording.File = who.file
	recording.Rebind(t)
	return []gatewaytest.Entry{call, recording}
}

// secrets are the needles for a person and the salts of what is said of them.
func secrets(who person, said []gatewaytest.Entry) []privacy.Needle {
	label := func(what string) string { return what + " of " + who.name }
	needles := privacy.Text(map[string]string{
		label("name"): who.name, label("number"): who.number, label("address"): who.address, label("file"): who.file, label("account"): who.account,
	})
	for i := range said {
		salt, _ := hex.DecodeString(said[i].Details.Salt)
		needles = append(needles,
			privacy.Needle{Name: fmt.Sprintf("salt %d of %s", i, who.name), Value: []byte(said[i].Details.Salt)},
			privacy.Needle{Name: fmt.Sprintf("bytes of salt %d of %s", i, who.name), Value: salt})
	}
	return needles
}

// keyOf finds the key that sealed details name among those of a stopped gateway's
// keyring.
func (c *consortium) keyOf(operator string, stored []byte) []byte {
	c.t.Helper()
	var sealed ledger.Sealed
	require.NoError(c.t, ledger.DecodeStrict(stored, &sealed))
	keys, err := os.ReadFile(seal.KeysFile(filepath.Join(c.Layout().Operator(operator).GatewayState(), "keyring.db")))
	require.NoError(c.t, err)
	for slot := range slices.Chunk(keys, 32) {
		if ledger.KeyCommitment(slot) == sealed.KeyCommitment {
			return slot
		}
	}
	c.t.Fatal("the keyring holds no key of that commitment")
	return nil
}

// tell has an operator put on the ledger what else is said of a person: a device, a
// consent and reputations, by the product's own commands and services.
func (c *consortium) tell(operator string, who person, leg ledger.LegID) {
	c.t.Helper()
	key := filepath.Join(c.t.TempDir(), "party.key")
	require.NoError(c.t, os.WriteFile(key, []byte(strings.Repeat("5a", 32)), 0o600))
	for _, line := range [][]string{
		{"device", "register", "--aor", "sip:" + who.account + "@pbx.example", "--account", who.account, "--label", who.name, "--network", who.address + "/32"},
		{"consent", "declare", leg.LinkedID, "--party", "tel:+" + who.number, "--party-key", key, "--status", "granted", "--method", "dtmf", "--evidence", key},
	} {
		command := exec.Command(filepath.Join(networktest.Build(c.t, "callseal"), "callseal"), append(line, "--operator", strings.ToLower(operator), "--state", c.Layout().Root())...)
		said, err := command.CombinedOutput()
		require.NoError(c.t, err, "%s", said)
	}
	answer, err := pb.NewReputationServiceClient(c.gateway(operator, c.member(operator).PBXs[0])).Report(c.within(), &pb.ReportRequest{Evidence: []*pb.Evidence{
		{Subject: "tel:+" + who.number, Kind: "auth_failure", Count: 3, Attempts: 2}, {Subject: "ip:" + who.address, Kind: "auth_failure", Count: 3, Attempts: 2},
	}})
	require.NoError(c.t, err)
	require.Len(c.t, answer.GetReceipts(), 2)
}

// sealedNeedles are the pieces of sealed details by which they are found again.
func sealedNeedles(label string, stored []byte) []privacy.Needle {
	var sealed ledger.Sealed
	if err := ledger.DecodeStrict(stored, &sealed); err != nil {
		panic(err)
	}
	text := sealed.Ciphertext
	return []privacy.Needle{
		{Name: label + ": ciphertext", Value: text}, {Name: label + ": its first bytes", Value: text[:24]}, {Name: label + ": its last bytes", Value: text[len(text)-24:]},
		{Name: label + ": nonce", Value: sealed.Nonce},
	}
}

// TestNothingPersonalIsInClearAndErasedIsGone walks every byte of a network of
// three operators: first for all that calls say of people, then, after one person's
// call was erased and the peer compacted, for what was left of it.
func TestNothingPersonalIsInClearAndErasedIsGone(t *testing.T) {
	c := &consortium{Network: networktest.Start(t, networktest.WithGateways()), t: t}
	atlas := c.member("Atlas")
	c.overhear(atlas)
	people := map[string][2]person{
		"Atlas": {
			{"Beatriz Almeida", "351912345671", "93.184.216.71", "2026/03/beatriz-almeida-71.wav", "sip-account-71"},
			{"Ricardo Teixeira", "351912345672", "93.184.216.72", "2026/03/ricardo-teixeira-72.wav", "sip-account-72"},
		},
		"Borealis": {
			{"Ingrid Lindqvist", "46701740673", "93.184.216.73", "2026/03/ingrid-lindqvist-73.wav", "sip-account-73"},
			{"Anders Holmberg", "46701740674", "93.184.216.74", "2026/03/anders-holmberg-74.wav", "sip-account-74"},
		},
		"Corvus": {
			{"Matteo Ferrante", "393312345675", "93.184.216.75", "2026/03/matteo-ferrante-75.wav", "sip-account-75"},
			{"Chiara Bellucci", "393312345676", "93.184.216.76", "2026/03/chiara-bellucci-76.wav", "sip-account-76"},
		},
	}
	said := map[string][]gatewaytest.Entry{} // by operator: first person's call and recording, then the second's
	var hidden []privacy.Needle
	for operator, both := range people {
		member := c.member(operator)
		files := c.Layout().Operator(operator).Identity(member.PBXs[0])
		adapter := gatewaytest.Load(t, member.MSP, member.PBXs[0], files.CertFile(), files.KeyFile())
		for _, who := range both {
			made := entries(t, who)
			said[operator] = append(said[operator], made...)
			hidden = append(hidden, secrets(who, made)...)
			answer, err := pb.NewAnchorServiceClient(c.gateway(operator, member.PBXs[0])).AnchorSegment(c.within(), &pb.AnchorSegmentRequest{Segment: adapter.Segment(t, made)})
			require.NoError(t, err)
			require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, answer.GetReceipt().GetOutcome())
		}
	}
	for operator, both := range people {
		c.tell(operator, both[0], said[operator][0].Record.Call.Leg)
	}
	for i, who := range people["Atlas"] {
		c.inquire(atlas, who, said["Atlas"][2*i], said["Atlas"][2*i+1])
	}
	pbx, erased, kept := atlas.PBXs[0], said["Atlas"][:2], said["Atlas"][2:]
	leg, recording := erased[0].Record.Call.Leg, erased[1].Record.Recording
	compliance := c.peer("Atlas", "compliance")
	ask := func(function string, args ...string) []byte {
		answer, err := compliance.Evaluate(c.within(), function, args...)
		require.NoError(t, err)
		return answer
	}
	sealedCall := ask("details:GetCall", atlas.MSP, pbx, leg.LinkedID, leg.UniqueID, "0")
	sealedRecording := ask("details:GetRecording", atlas.MSP, pbx, recording.ID, "1")

	// Before: nothing in clear anywhere; what is public is on every node; what is
	// sealed is with its owner alone.
	c.scrape(atlas)
	c.down()
	c.requireOverheard(atlas)
	const public, callKey, recordingKey = "the linkedid, which is public", "the call's key", "the recording's key"
	control := []privacy.Needle{{Name: public, Value: []byte(leg.LinkedID)}}
	traces := append(sealedNeedles("the call", sealedCall), sealedNeedles("the recording", sealedRecording)...)
	traces = append(traces,
		privacy.Needle{Name: callKey, Value: c.keyOf("Atlas", sealedCall)},
		privacy.Needle{Name: recordingKey, Value: c.keyOf("Atlas", sealedRecording)})
	report := c.walk(slices.Concat(hidden, control, traces))
	for _, needle := range hidden {
		require.Empty(t, report.Of(needle.Name))
	}
	for _, member := range c.Consortium().Members() {
		require.NotEmpty(t, c.in(report, public, member.ID(), "peer", "data"), "the walk finds what is there")
		require.NotEmpty(t, c.in(report, public, member.ID(), "orderer", "data"), "the walk finds what is there")
	}
	for _, trace := range traces {
		found := report.Of(trace.Name)
		require.NotEmpty(t, found, "%s is found before the erasure", trace.Name)
		with := c.in(report, trace.Name, "atlas", "gateway", "state")
		if trace.Name != callKey && trace.Name != recordingKey {
			// The gateway's journal takes what is sealed, its keyring the keys.
			with = append(c.in(report, trace.Name, "atlas", "gateway", "state", "journal"), c.in(report, trace.Name, "atlas", "peer", "data")...)
		}
		require.Len(t, with, len(found), "%s is with its owner alone: %v", trace.Name, found)
	}

	// One person's call is erased.
	c.Up()
	erasures := pb.NewErasureServiceClient(c.gateway("Atlas", "compliance"))
	names := []*pb.RecordName{
		{Pbx: pbx, Record: &pb.RecordName_Leg{Leg: &pb.LegId{Linkedid: leg.LinkedID, Uniqueid: leg.UniqueID}}},
		{Pbx: pbx, Record: &pb.RecordName_Recording{Recording: &pb.RecordingName{Id: recording.ID}}},
	}
	testErasureIsGuarded(c, erasures, names[0], leg)
	var digests []privacy.Needle
	for i, name := range names {
		begun := time.Now()
		answer, err := erasures.Erase(c.within(), &pb.EraseRequest{Record: name, Reason: pb.ErasureReason_ERASURE_REASON_SUBJECT_REQUEST, EvidenceDigest: hex.EncodeToString(make([]byte, 32))})
		require.NoError(t, err)
		receipt := answer.GetErasure()
		t.Logf("erased in %s", time.Since(begun).Round(time.Millisecond))
		require.Empty(t, receipt.GetPending())
		require.Equal(t, "VALID", receipt.GetStatedBy().GetValidationCode())
		require.Len(t, receipt.GetStatedBy().GetEndorsers(), 2, "the statement is the operators'")
		require.Equal(t, "VALID", receipt.GetPurgedBy().GetValidationCode())
		require.Equal(t, []string{atlas.MSP}, receipt.GetPurgedBy().GetEndorsers(), "the purge is the owner's alone")
		require.True(t, receipt.GetKeyDestroyedAt().IsValid())
		require.True(t, receipt.GetCompactionDueSince().IsValid())
		var statement ledger.Erasure
		require.NoError(t, ledger.DecodeStrict(receipt.GetErasureJson(), &statement))
		require.Equal(t, ledger.RoleGateway, statement.Details.By)
		require.NotEmpty(t, statement.Details.RequestedBy)
		stored := [][]byte{sealedCall, sealedRecording}[i]
		want := sha256.Sum256(stored)
		require.Equal(t, hex.EncodeToString(want[:]), receipt.GetSealedDigest(), "the statement names what was sealed")
		require.Contains(t, string(stored), `"key_commitment":"`+receipt.GetKeyCommitment()+`"`)
		digests = append(digests, privacy.Needle{Name: fmt.Sprintf("digest %d of what was sealed", i), Value: want[:]})
		again, err := erasures.GetErasure(c.within(), &pb.GetErasureRequest{Record: name})
		require.NoError(t, err)
		require.Equal(t, receipt.String(), again.GetErasure().String())
	}
	testErasedIsToldApart(c, leg, recording.ID, kept[0].Record.Call.Leg)

	// Purged is not gone: it is in the files until they are compacted.
	c.down()
	report = c.walk(traces)
	require.NotEmpty(t, report.Of("the call: ciphertext"), "a purge alone leaves it on the disk")
	require.Empty(t, report.Of(callKey), "and its key is gone at once")
	c.Up()
	begun := time.Now()
	done, err := c.Compact(c.within(), "Atlas", func(line string) { t.Log(line) })
	require.NoError(t, err)
	require.Len(t, done, 3)
	t.Logf("compacted in %s, the peer was away as long", time.Since(begun).Round(time.Millisecond))
	testErasedIsToldApart(c, leg, recording.ID, kept[0].Record.Call.Leg)

	c.down()
	report = c.walk(slices.Concat(hidden, control, traces, digests))
	for _, gone := range slices.Concat(hidden, traces) {
		require.Empty(t, report.Of(gone.Name))
	}
	require.NotEmpty(t, c.in(report, public, "atlas", "peer", "data"), "the record stays")
	for _, digest := range digests {
		require.NotEmpty(t, c.in(report, digest.Name, "corvus", "peer", "data"), "and so does the digest of what was sealed, in its block")
	}
}

// testErasureIsGuarded tries what must be refused, on a real network.
func testErasureIsGuarded(c *consortium, erasures pb.ErasureServiceClient, name *pb.RecordName, leg ledger.LegID) {
	t := c.t
	request := &pb.EraseRequest{Record: name, Reason: pb.ErasureReason_ERASURE_REASON_SUBJECT_REQUEST}
	refused := func(err error, code codes.Code, says string) {
		t.Helper()
		require.Equal(t, code, status.Code(err), "%v", err)
		require.Contains(t, status.Convert(err).Message(), says)
	}
	for _, role := range []string{"auditor", "admin", "gateway"} {
		_, err := pb.NewErasureServiceClient(c.gateway("Atlas", role)).Erase(c.within(), request)
		refused(err, codes.PermissionDenied, "may not call")
	}
	_, err := erasures.GetErasure(c.within(), &pb.GetErasureRequest{Record: name})
	refused(err, codes.NotFound, "was not asked")
	_, err = erasures.Erase(c.within(), &pb.EraseRequest{Record: name})
	refused(err, codes.InvalidArgument, "reason must be given")
	_, err = erasures.Erase(c.within(), &pb.EraseRequest{Reason: request.GetReason()})
	refused(err, codes.InvalidArgument, "record is required")
	_, err = erasures.Erase(c.within(), &pb.EraseRequest{Record: name, Reason: pb.ErasureReason_ERASURE_REASON_RETENTION_EXPIRED})
	switch {
	// The fixture's calls are dated in 2026: their term may be over by now.
	case time.Now().Before(time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)):
		refused(err, codes.FailedPrecondition, "is kept until")
	default:
		t.Log("the fixture's calls are past their term")
	}

	msp, digest := c.member("Atlas").MSP, strings.Repeat("ca", 32)
	compliance := c.peer("Atlas", "compliance")
	_, err = compliance.Transact(c.within(), fabric.Proposal{Function: "recordings:Hold", Args: []string{msp, name.GetPbx(), leg.LinkedID, `{"after":0,"case_digest":"` + digest + `","reason":"dispute"}`}})
	require.NoError(t, err)
	_, err = erasures.Erase(c.within(), request)
	refused(err, codes.FailedPrecondition, "a legal hold")
	_, err = c.peer("Borealis", "compliance").Transact(c.within(), fabric.Proposal{Function: "recordings:Release", Args: []string{msp, name.GetPbx(), leg.LinkedID, digest, "1"}})
	require.ErrorContains(t, err, "may not act for")
	_, err = compliance.Transact(c.within(), fabric.Proposal{Function: "recordings:Release", Args: []string{msp, name.GetPbx(), leg.LinkedID, digest, "1"}})
	require.NoError(t, err)
	// Past every gateway: another operator's people, and the owner's own without
	// a statement on the ledger.
	keys, err := json.Marshal([]string{ledger.CallKey(msp, name.GetPbx(), leg)})
	require.NoError(t, err)
	for _, operator := range []string{"Borealis", "Atlas"} {
		_, err = c.peer(operator, "compliance").Transact(c.within(), fabric.Proposal{Function: "details:Purge", Transient: map[string][]byte{"keys": keys}, EndorsedBy: []string{msp}})
		require.Error(t, err)
		require.Regexp(t, "may not touch details|is not on the ledger", err.Error())
	}
}

// testErasedIsToldApart reads the erased call and one that was not.
func testErasedIsToldApart(c *consortium, erased ledger.LegID, recordingID string, kept ledger.LegID) {
	t := c.t
	pbx := c.member("Atlas").PBXs[0]
	calls := pb.NewCallServiceClient(c.gateway("Atlas", "compliance"))
	read := func(leg ledger.LegID, details bool) (*pb.GetCallResponse, error) {
		ctx := c.within()
		for {
			answer, err := calls.GetCall(ctx, &pb.GetCallRequest{Pbx: pbx, Leg: &pb.LegId{Linkedid: leg.LinkedID, Uniqueid: leg.UniqueID}, IncludeDetails: details})
			// A peer that was just started takes a moment.
			if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
				return answer, err
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	answer, err := read(kept, true)
	require.NoError(t, err)
	require.Contains(t, string(answer.GetCall().GetDetailsJson()), "Ricardo Teixeira")
	answer, err = read(erased, false)
	require.NoError(t, err, "the record stays")
	require.NotEmpty(t, answer.GetCall().GetDetailsDigest())
	_, err = read(erased, true)
	require.Equal(t, codes.NotFound, status.Code(err), "%v", err)
	require.Contains(t, status.Convert(err).Message(), "were erased at")
	state, err := c.peer("Corvus", "auditor").Evaluate(c.within(), "recordings:State", c.member("Atlas").MSP, pbx, recordingID, "1")
	require.NoError(t, err)
	var custody ledger.Custody
	require.NoError(t, ledger.DecodeStrict(state, &custody))
	require.Equal(t, ledger.StateErased, custody.State, "every operator sees that it was erased, and why")
	require.Equal(t, ledger.EraseSubjectRequest, custody.Erasure.Details.Reason)
}
