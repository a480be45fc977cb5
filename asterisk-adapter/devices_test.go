package adapter

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/chaincode/ledger"
)

const domain = "pbx.atlas.example"

// testDevices compares the phones that register with a real Asterisk with the devices on
// the ledger: each stranger is reported once for each verdict, over restarts of either
// side, and a device that is revoked while it is registered is noticed.
func (s *scene) testDevices(t *testing.T) {
	t.Helper()
	asterisk, err := lab.Require(t).Start(t.Context(), lab.Options{})
	require.NoError(t, err)
	defer asterisk.Stop()
	accounts := filepath.Join(asterisk.ConfigDir(), "pjsip.conf")
	text, err := os.ReadFile(accounts)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(accounts, []byte(strings.ReplaceAll(string(text), "type=aor\n", "type=aor\nminimum_expiration=1\n")), 0o600))
	_, err = asterisk.Command(t.Context(), "module reload res_pjsip.so")
	require.NoError(t, err)
	require.NoError(t, asterisk.RegisterPhones(t.Context()))

	admin := pb.NewDeviceServiceClient(s.dial(t, "admin"))
	register := func(account string, until time.Time) *pb.Device {
		identity := &pb.DeviceIdentity{Aors: []string{"sip:" + account + "@" + domain}}
		if !until.IsZero() {
			identity.ValidUntil = timestamppb.New(until)
		}
		answer, err := admin.RegisterDevice(t.Context(), &pb.RegisterDeviceRequest{Kind: ledger.DevicePhone, Identity: identity})
		require.NoError(t, err)
		return answer.GetDevice()
	}
	register(lab.Caller, time.Time{})
	suspended := register(lab.Answers, time.Time{})
	_, err = admin.SuspendDevice(t.Context(), &pb.SuspendDeviceRequest{Id: suspended.GetId(), Reason: ledger.DeviceReasonLost})
	require.NoError(t, err)
	expiry := time.Now().Add(2 * time.Second)
	register(lab.Rings, expiry)
	revoked := register(lab.RingsLong, time.Time{})

	config := s.config(t, t.TempDir(), "csv", "ari")
	config.CDR.CSV, config.Recordings = asterisk.CSV(), RecordingsConfig{Due: dueNone}
	config.ARI.URL, config.ARI.Password = asterisk.ARI(), asterisk.Secret()
	config.Devices.Domain = domain
	require.NoError(t, config.check())
	first := run(t, config)
	const foreign, barred, cleared = "a device is registered with the PBX and not on the ledger", "a device is registered with the PBX that may not call", "a device that was reported is in good standing"
	stranger := first.until(t, foreign, 1)[0]
	require.Equal(t, ledger.VerdictUnregistered, stranger["verdict"])
	require.Equal(t, ledger.ConsequenceFlag, stranger["consequence"])
	require.Len(t, stranger["device"], 12)
	verdicts := func(r *running, count int) []any {
		var found []any
		for _, line := range r.until(t, barred, count) {
			found = append(found, line["verdict"])
		}
		return found
	}
	require.ElementsMatch(t, []any{ledger.VerdictSuspended, ledger.VerdictExpired}, verdicts(first, 2))
	first.requireDevices(t, map[string]int{ledger.VerdictRegistered: 2, ledger.VerdictSuspended: 1, ledger.VerdictExpired: 1, ledger.VerdictUnregistered: 1})

	_, err = admin.RevokeDevice(t.Context(), &pb.RevokeDeviceRequest{Id: revoked.GetId(), Reason: ledger.DeviceReasonStolen})
	require.NoError(t, err)
	require.Equal(t, ledger.VerdictRevoked, verdicts(first, 3)[2])

	// A call by a stranger is told of, one by a registered device is not.
	_, err = asterisk.PlaceCall(t.Context(), lab.Call{From: lab.Caller})
	require.NoError(t, err)
	_, err = asterisk.PlaceCall(t.Context(), lab.Call{From: lab.Busy})
	require.NoError(t, err)
	called := first.until(t, "a device that is not in good standing on the ledger has a call", 1)
	first.until(t, "call anchored", 2)
	require.Len(t, called, 1)
	require.Equal(t, stranger["device"], called[0]["device"])
	_, page := first.get(t, "/metrics")
	require.Contains(t, page, "callseal_adapter_strangers_calls_total{verdict=\"unregistered\"} 1\n")
	require.Contains(t, page, "callseal_adapter_strangers_total{verdict=\"revoked\"} 1\n")
	_, page = first.get(t, "/devices")
	require.Contains(t, page, stranger["device"])
	first.requireHealth(t)

	// The person at the PBX sees which they are; nobody else does.
	list, err := ReadDevices(config)
	require.NoError(t, err)
	require.Len(t, list.Devices, 5)
	require.Equal(t, lab.Busy+"@"+domain, list.Devices[2].AOR)
	require.Equal(t, ledger.VerdictUnregistered, list.Devices[2].Verdict)
	require.NotEmpty(t, list.Devices[2].Contacts)
	require.Equal(t, stranger["device"], list.Devices[2].Ref)
	for _, shown := range []string{first.String(), page} {
		require.NotContains(t, shown, "@"+domain)
	}

	// Over restarts of Asterisk and of the adapter nothing is told again.
	reported := len(first.lines(foreign)) + len(first.lines(barred))
	require.Equal(t, 4, reported)
	asterisk.Kill()
	first.until(t, "ARI lost", 1)
	require.NoError(t, asterisk.Restart(t.Context()))
	first.until(t, "ARI connected", 2)
	first.requireDevices(t, map[string]int{ledger.VerdictRegistered: 1, ledger.VerdictSuspended: 1, ledger.VerdictExpired: 1, ledger.VerdictRevoked: 1, ledger.VerdictUnregistered: 1})
	require.NoError(t, first.stop())
	again := run(t, config)
	again.requireDevices(t, map[string]int{ledger.VerdictRegistered: 1, ledger.VerdictSuspended: 1, ledger.VerdictExpired: 1, ledger.VerdictRevoked: 1, ledger.VerdictUnregistered: 1})
	for _, r := range []*running{first, again} {
		require.LessOrEqual(t, len(r.lines(foreign))+len(r.lines(barred)), reported)
	}
	require.Empty(t, append(again.lines(foreign), again.lines(barred)...))

	// A contact that expires is gone, and is no news when it comes back.
	require.NoError(t, asterisk.Register(t.Context(), lab.Busy, 20, time.Second))
	again.requireDevices(t, map[string]int{ledger.VerdictRegistered: 1, ledger.VerdictSuspended: 1, ledger.VerdictExpired: 1, ledger.VerdictRevoked: 1})
	require.NoError(t, asterisk.Register(t.Context(), lab.Busy, 21, time.Hour))
	again.requireDevices(t, map[string]int{ledger.VerdictRegistered: 1, ledger.VerdictSuspended: 1, ledger.VerdictExpired: 1, ledger.VerdictRevoked: 1, ledger.VerdictUnregistered: 1})
	require.Empty(t, again.lines(foreign))
	// On the ledger at last.
	register(lab.Busy, time.Time{})
	require.Equal(t, ledger.VerdictUnregistered, again.until(t, cleared, 1)[0]["before"])
	require.NoError(t, again.stop())
}

// requireDevices waits until the adapter counts so many devices by verdict.
func (r *running) requireDevices(t *testing.T, want map[string]int) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, page := r.get(t, "/metrics")
		for _, verdict := range []string{ledger.VerdictRegistered, ledger.VerdictSuspended, ledger.VerdictExpired, ledger.VerdictRevoked, ledger.VerdictUnregistered} {
			if !strings.Contains(page, fmt.Sprintf("\ncallseal_adapter_devices{verdict=%q} %d\n", verdict, want[verdict])) {
				return false
			}
		}
		return true
	}, patience, 50*time.Millisecond, "%v", want)
}
