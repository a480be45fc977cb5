package main_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/networktest"
)

const (
	atlasPBX = "atlas-pbx-1"
	patience = time.Minute
)

// tool is the built command on a running network.
type tool struct {
	*networktest.Network
	bin string
}

// run runs the tool, which must succeed, and answers what it printed.
func (c *tool) run(t *testing.T, arguments ...string) string {
	t.Helper()
	stdout, stderr, status := c.try(t, arguments...)
	require.Zero(t, status, "callseal %s: %s%s", strings.Join(arguments, " "), stdout, stderr)
	return stdout
}

func (c *tool) try(t *testing.T, arguments ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := exec.Command(filepath.Join(c.bin, "callseal"), append(arguments, "--state", c.Layout().Root())...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// read runs the tool with --json and decodes what it printed.
func (c *tool) read(t *testing.T, into any, arguments ...string) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(c.run(t, append(arguments, "--json")...)), into))
}

// TestDevicesAndConsents is what people do with devices and consents, on a network
// of three operators.
func TestDevicesAndConsents(t *testing.T) {
	c := &tool{Network: networktest.Start(t, networktest.WithGateways()), bin: networktest.Build(t, "callseal")}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *tool)
	}{
		{"a device of Atlas, seen by Borealis", testDevice},
		{"a device's details", testDeviceDetails},
		{"one change right after another", testChangesInARow},
		{"consents", testConsents},
		{"a recording against a denial", testViolation},
		{"what is refused", testRefused},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, c) })
	}
}

func testDevice(t *testing.T, c *tool) {
	const aor = "sip:600@pbx.atlas.example"
	var device ledger.Device
	c.read(t, &device, "device", "register", "--aor", aor, "--network", "192.0.2.0/24", "--label", "Reception", "--operator", "atlas")
	require.Equal(t, "AtlasMSP", device.MSP)
	require.Equal(t, ledger.RoleAdmin, device.By)

	// Borealis's own peer tells Borealis's auditor, a block later at most.
	var seen ledger.Device
	require.Eventually(t, func() bool {
		stdout, _, status := c.try(t, "device", "get", device.ID, "--operator", "borealis", "--msp", "AtlasMSP", "--json")
		return status == 0 && json.Unmarshal([]byte(stdout), &seen) == nil
	}, patience, patience/100)
	require.Equal(t, device, seen)
	var verdict ledger.DeviceVerdict
	c.read(t, &verdict, "device", "check", "SIP:600@PBX.atlas.example:5060", "--operator", "borealis", "--any")
	require.Equal(t, ledger.VerdictRegistered, verdict.Verdict)
	require.Equal(t, ledger.ConsequenceAllow, verdict.Consequence)
	require.Contains(t, c.run(t, "device", "check", aor, "--operator", "borealis"), "unregistered", "Borealis did not register it")

	c.run(t, "device", "suspend", device.ID, "--reason", "suspicion")
	require.Contains(t, c.run(t, "device", "check", aor), "suspended")
	c.run(t, "device", "reinstate", device.ID, "--reason", "cleared")
	require.Contains(t, c.run(t, "device", "list"), device.ID)
	_, stderr, status := c.try(t, "device", "revoke", device.ID, "--reason", "stolen", "--after", "1")
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "at version 3, not 1")
	c.run(t, "device", "revoke", device.ID, "--reason", "stolen")
	c.read(t, &verdict, "device", "check", aor)
	require.Equal(t, ledger.VerdictRevoked, verdict.Verdict)
	require.Equal(t, ledger.ConsequenceReject, verdict.Consequence)
	var history []ledger.Device
	c.read(t, &history, "device", "history", device.ID)
	changes := []string{}
	for i := range history {
		changes = append(changes, history[i].Change)
	}
	require.Equal(t, []string{ledger.DeviceRegistered, ledger.DeviceSuspended, ledger.DeviceReinstated, ledger.DeviceRevoked}, changes)
	require.Contains(t, c.run(t, "device", "check", aor, "--at", history[2].At.String()), "registered", "as it was then")
}

func testDeviceDetails(t *testing.T, c *tool) {
	var device ledger.Device
	password, key := filepath.Join(t.TempDir(), "600.pw"), filepath.Join(t.TempDir(), "operator.key")
	require.NoError(t, os.WriteFile(password, []byte("a secret that is kept\n"), 0o600))
	require.NoError(t, os.WriteFile(key, []byte(strings.Repeat("4b", 32)), 0o600))
	c.read(t, &device, "device", "register", "--aor", "sip:beatriz@pbx.atlas.example", "--label", "Beatriz Almeida", "--network", "198.51.100.0/24",
		"--account", "beatriz", "--password-file", password, "--operator-key", key)
	require.Equal(t, ledger.CredentialRef(bytes.Repeat([]byte{0x4b}, 32), "beatriz", "", "a secret that is kept"), device.Credentials.CredentialRef)
	for _, role := range []string{"compliance", "admin"} {
		require.Contains(t, c.run(t, "device", "get", device.ID, "--details", "--role", role), "Beatriz Almeida")
	}
	_, stderr, status := c.try(t, "device", "get", device.ID, "--details", "--role", "auditor")
	require.Equal(t, 2, status, stderr)
	_, _, status = c.try(t, "device", "get", device.ID, "--details", "--operator", "borealis", "--msp", "AtlasMSP")
	require.Equal(t, 2, status)

	// Out of use, they are erased for good.
	_, stderr, status = c.try(t, "device", "erase", device.ID, "1", "--reason", "subject_request")
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "in use")
	c.run(t, "device", "rotate", device.ID, "--aor", "sip:reception@pbx.atlas.example", "--reason", "owner_request")
	require.Contains(t, c.run(t, "device", "get", device.ID, "--details"), "reception@pbx.atlas.example")
	require.Contains(t, c.run(t, "device", "erase", device.ID, "1", "--reason", "subject_request"), "erased")
	channel := c.channel(t, "atlas", "admin")
	_, err := channel.Evaluate(t.Context(), "details:GetDevice", "AtlasMSP", device.ID, "1")
	require.ErrorContains(t, err, "erased")
}

// An endorser that lags behind the first may not know yet what was just written.
func testChangesInARow(t *testing.T, c *tool) {
	channel := c.channel(t, "atlas", "admin")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	registration := ledger.DeviceRegistration{
		Credentials: ledger.DeviceCredentials{AORRefs: []string{random(t, 32)}, DetailsDigest: random(t, 32), KeyEpoch: 1}, ID: random(t, 16), Kind: ledger.DevicePhone,
	}
	_, err := channel.Transact(ctx, fabric.Proposal{Function: "devices:Register", Args: []string{string(gatewaytest.JSON(t, &registration))}})
	require.NoError(t, err)
	const changes = 60
	began := time.Now()
	for n := 1; n <= changes; n++ {
		function, reason := "devices:Suspend", ledger.DeviceReasonMaintenance
		if n%2 == 0 {
			function = "devices:Reinstate"
		}
		outcome, err := channel.Transact(ctx, fabric.Proposal{Function: function, Args: []string{registration.ID, fmt.Sprint(n), reason}})
		require.NoError(t, err, "change %d", n)
		var device ledger.Device
		require.NoError(t, ledger.DecodeStrict(outcome.Result, &device))
		require.EqualValues(t, n+1, device.N)
	}
	t.Logf("%d changes of one device, one after the other: %v each", changes, time.Since(began)/changes)

	// What is truly wrong is said at once, and not tried again.
	began = time.Now()
	_, err = channel.Transact(ctx, fabric.Proposal{Function: "devices:Suspend", Args: []string{registration.ID, "1", ledger.DeviceReasonLost}})
	require.ErrorContains(t, err, "not 1")
	require.Less(t, time.Since(began), 2*time.Second)
}

func testConsents(t *testing.T, c *tool) {
	linkedID, alice := "1763712000."+random(t, 4), random(t, 16)
	evidence := filepath.Join(t.TempDir(), "prompt.wav")
	require.NoError(t, os.WriteFile(evidence, []byte("press 1 to agree"), 0o600))
	state := func(more ...string) (consent ledger.Consent) {
		c.read(t, &consent, append([]string{"consent"}, append(more, linkedID, "--party-ref", alice, "--evidence", evidence)...)...)
		return consent
	}
	first := state("declare", "--status", "granted", "--method", "dtmf", "--jurisdiction", "US-TX")
	require.Equal(t, ledger.Digest([]byte("press 1 to agree")), first.Statement.EvidenceDigest)
	require.Contains(t, c.run(t, "consent", "standing", linkedID), "recording is allowed at")
	revoked := state("revoke", "--method", "verbal", "--jurisdiction", "US-TX")
	digest, err := first.Digest()
	require.NoError(t, err)
	require.Equal(t, digest, revoked.Statement.Supersedes)
	stdout, _, status := c.try(t, "consent", "standing", linkedID)
	require.Equal(t, 1, status)
	require.Contains(t, stdout, "recording is not allowed at")
	require.EqualValues(t, 3, state("state", "--status", "granted", "--method", "verbal", "--jurisdiction", "US-TX").Statement.N)
	var decision ledger.ConsentDecision
	c.read(t, &decision, "consent", "standing", linkedID, "--party-ref", random(t, 16))
	require.True(t, decision.Allowed, "one party is enough in Texas")
	stdout, _, status = c.try(t, "consent", "standing", linkedID, "--party-ref", random(t, 16), "--jurisdiction", "US-CA", "--json")
	require.Equal(t, 1, status)
	require.NoError(t, json.Unmarshal([]byte(stdout), &decision))
	require.Equal(t, ledger.RuleAllParty, decision.Rule)
	var all []ledger.Consent
	require.Eventually(t, func() bool {
		stdout, _, status := c.try(t, "consent", "list", linkedID, "--operator", "borealis", "--msp", "AtlasMSP", "--pbx", atlasPBX, "--json")
		return status == 0 && json.Unmarshal([]byte(stdout), &all) == nil && len(all) == 3
	}, patience, patience/100)
	require.Equal(t, first, all[0])
	require.Equal(t, revoked, all[1])
}

func testViolation(t *testing.T, c *tool) {
	org := c.Layout().Operator("atlas")
	identity := org.Identity(atlasPBX)
	adapter := gatewaytest.Load(t, "AtlasMSP", atlasPBX, identity.CertFile(), identity.KeyFile())
	member, err := c.Consortium().Member("atlas")
	require.NoError(t, err)
	connection, err := connect.Dial(connect.Config{Address: member.Gateway.Address, CAFile: org.TLSCAFile(), CertFile: identity.CertFile(), KeyFile: identity.KeyFile()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })

	call := gatewaytest.Call(t)
	leg, bob := call.Record.Call.Leg, random(t, 16)
	recording := gatewaytest.Recording(t, leg, []byte("what was said"))
	c.run(t, "consent", "declare", leg.LinkedID, "--party-ref", bob, "--status", "denied", "--method", "verbal", "--evidence", random(t, 32),
		"--given-at", recording.Record.Recording.ClosedAt.Std().Add(-time.Minute).Format(time.RFC3339))
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = pb.NewAnchorServiceClient(connection).AnchorSegment(ctx, &pb.AnchorSegmentRequest{Segment: adapter.Segment(t, []gatewaytest.Entry{call, recording})})
	require.NoError(t, err)
	receipt := time.Since(began)

	// Atlas's own gateway reports it, and Borealis's auditor sees it.
	var violations []ledger.Violation
	require.Eventually(t, func() bool {
		stdout, _, status := c.try(t, "consent", "violations", "--operator", "borealis", "--msp", "AtlasMSP", "--pbx", atlasPBX, "--json")
		return status == 0 && json.Unmarshal([]byte(stdout), &violations) == nil && len(violations) == 1
	}, patience, patience/300)
	t.Logf("receipt after %v, violation seen by Borealis after %v", receipt.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	require.Equal(t, "AtlasMSP", violations[0].ByMSP)
	require.Equal(t, ledger.RoleGateway, violations[0].By)
	require.Equal(t, bob, violations[0].Report.PartyRef)
	require.Equal(t, recording.Record.Recording.ID, violations[0].Report.Recording.ID)
	require.Contains(t, c.run(t, "consent", "report", leg.LinkedID, "--operator", "borealis", "--msp", "AtlasMSP", "--pbx", atlasPBX), "nothing")
	require.Contains(t, c.run(t, "consent", "violations"), leg.LinkedID)

	// One that is stated only after is pointed out, and any member may report it.
	late := random(t, 16)
	_, stderr, status := c.try(t, "consent", "declare", leg.LinkedID, "--party-ref", late, "--status", "denied", "--method", "written", "--evidence", random(t, 32),
		"--given-at", recording.Record.Recording.ClosedAt.Std().Add(-time.Minute).Format(time.RFC3339))
	require.Zero(t, status, stderr)
	require.Contains(t, stderr, "callseal consent report")
	require.Eventually(t, func() bool {
		stdout, _, status := c.try(t, "consent", "report", leg.LinkedID, "--operator", "borealis", "--msp", "AtlasMSP", "--pbx", atlasPBX, "--json")
		if status != 0 || json.Unmarshal([]byte(stdout), &violations) != nil {
			return false
		}
		if len(violations) == 0 {
			// Atlas's gateway looks too: whoever comes first reports it.
			stdout, _, status = c.try(t, "consent", "violations", "--operator", "borealis", "--msp", "AtlasMSP", "--pbx", atlasPBX, "--json")
			if status != 0 || json.Unmarshal([]byte(stdout), &violations) != nil {
				return false
			}
		}
		violations = slices.DeleteFunc(violations, func(one ledger.Violation) bool { return one.Report.PartyRef != late })
		return len(violations) == 1
	}, patience, patience/300)
	require.Contains(t, map[string]ledger.Role{"AtlasMSP": ledger.RoleGateway, "BorealisMSP": ledger.RoleAuditor}, violations[0].ByMSP)
}

func testRefused(t *testing.T, c *tool) {
	for want, arguments := range map[string][]string{
		"address of record":         {"device", "register"},
		"written like sip:":         {"device", "register", "--aor", "+351912345678"},
		"must be one of":            {"device", "register", "--aor", "sip:1@a.example", "--kind", "toaster"},
		"is not written as it must": {"device", "register", "--aor", "sip:1@a.example", "--network", "192.0.2.1"},
		"--valid-until is a time":   {"device", "register", "--aor", "sip:1@a.example", "--valid-until", "tomorrow"},
		"needs --details-digest":    {"device", "register", "--aor-ref", strings.Repeat("aa", 32)},
		"no such device":            {"device", "get", strings.Repeat("00", 16)},
		"id must be 16 bytes":       {"device", "suspend", "600", "--reason", "lost"},
		"may not do this":           {"device", "register", "--aor", "sip:1@a.example", "--role", "auditor"},
		"required flag":             {"device", "revoke", strings.Repeat("00", 16)},
		"status must be one of":     {"consent", "declare", "1.1", "--party-ref", strings.Repeat("00", 16), "--status", "perhaps", "--method", "dtmf", "--evidence", strings.Repeat("00", 32)},
		"read the evidence":         {"consent", "revoke", "1.1", "--party-ref", strings.Repeat("00", 16), "--method", "dtmf", "--evidence", "nowhere"},
		"--party-key":               {"consent", "revoke", "1.1", "--party", "tel:+351912345678", "--method", "dtmf", "--evidence", strings.Repeat("00", 32)},
		"leave --msp out":           {"consent", "revoke", "1.1", "--msp", "BorealisMSP", "--party-ref", strings.Repeat("00", 16), "--method", "dtmf", "--evidence", strings.Repeat("00", 32)},
		"ISO 3166":                  {"consent", "standing", "1.1", "--jurisdiction", "America"},
	} {
		stdout, stderr, status := c.try(t, arguments...)
		require.Equal(t, 2, status, "%v: %s", arguments, stdout)
		require.Contains(t, stderr, want)
		require.NotContains(t, stderr, "912345678", "errors quote nobody")
		require.NotContains(t, stderr, "INVALID_ARGUMENT|")
	}
}

// channel is the channel through an operator's own peer.
func (c *tool) channel(t *testing.T, operator, role string) *fabric.Channel {
	t.Helper()
	member, err := c.Consortium().Member(operator)
	require.NoError(t, err)
	org := c.Layout().Operator(operator)
	files := org.Identity(role)
	channel, err := fabric.Open(fabric.Config{
		MSP: member.MSP, Channel: c.Consortium().Channel, Chaincode: c.Consortium().Chaincode, Peers: []fabric.PeerConfig{{Address: member.Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = channel.Close() })
	return channel
}

// random is n random bytes in hexadecimal.
func random(t *testing.T, n int) string {
	t.Helper()
	raw := make([]byte, n)
	_, err := rand.Read(raw)
	require.NoError(t, err)
	return hex.EncodeToString(raw)
}
