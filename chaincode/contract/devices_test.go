package contract_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

// epochKey is a consortium's key of these tests.
var epochKey = []byte("a consortium's key of these tests")

func aorRef(t testing.TB, aor string) string {
	t.Helper()
	ref, err := ledger.AORRef(epochKey, aor)
	require.NoError(t, err)
	return ref
}

func fingerprintRef(t testing.TB, fingerprint string) string {
	t.Helper()
	ref, err := ledger.FingerprintRef(epochKey, fingerprint)
	require.NoError(t, err)
	return ref
}

// deviceID is the i-th id.
func deviceID(i int) string { return fmt.Sprintf("%032x", i) }

// credentials are good ones for the addresses.
func credentials(t testing.TB, aors ...string) ledger.DeviceCredentials {
	refs := []string{}
	for _, aor := range aors {
		refs = append(refs, aorRef(t, aor))
	}
	slices.Sort(refs)
	return ledger.DeviceCredentials{AORRefs: refs, CredentialRef: hexOf(32), DetailsDigest: hexOf(32), KeyEpoch: 1}
}

// registration is a good one.
func registration(t testing.TB, i int, aors ...string) ledger.DeviceRegistration {
	return ledger.DeviceRegistration{Credentials: credentials(t, aors...), ID: deviceID(i), Kind: ledger.DevicePhone}
}

// device runs a call that must succeed and answers the device, which must stand
// where it says.
func (c *channel) device(call stub.Call) *ledger.Device {
	c.t.Helper()
	stored := c.do(call)
	device := &ledger.Device{}
	require.NoError(c.t, ledger.DecodeStrict(stored, device))
	require.Equal(c.t, string(stored), string(c.Get(ledger.DeviceKey(device.MSP, device.ID))))
	require.Equal(c.t, string(stored), string(c.Get(ledger.DeviceVersionKey(device.MSP, device.ID, device.N))))
	return device
}

// at is a call at another time of the first of March 2026.
func at(call stub.Call, hour int) stub.Call {
	call.Time = time.Date(2026, 3, 1, hour, 0, 0, 0, time.UTC)
	return call
}

// hour is a time of that day as contracts take it.
func hour(h int) string {
	return ledger.TimeOf(time.Date(2026, 3, 1, h, 0, 0, 0, time.UTC)).String()
}

func (c *channel) register(msp string, i int, aors ...string) *ledger.Device {
	c.t.Helper()
	return c.device(as(msp, ledger.RoleAdmin, "devices:Register", canonical(c.t, registration(c.t, i, aors...))))
}

// judged is the verdict on an address.
func (c *channel) judged(msp, aor, when string) ledger.DeviceVerdict {
	c.t.Helper()
	var verdict ledger.DeviceVerdict
	c.ask(as(borealis, ledger.RoleGateway, "devices:Check", msp, aorRef(c.t, aor), when), &verdict)
	return verdict
}

func TestADevicesLife(t *testing.T) {
	c := newChannel(t)
	asked := registration(t, 1, "sip:600@pbx.atlas.example")
	asked.Credentials.FingerprintRefs = []string{fingerprintRef(t, hexOf(32))}
	call := at(as(atlas, ledger.RoleAdmin, "devices:Register", canonical(t, asked)), 9)
	call.TxID = "first"
	first := c.device(call)
	nine := ledger.TimeOf(call.Time)
	want := &ledger.Device{
		At: nine, By: ledger.RoleAdmin, Change: ledger.DeviceRegistered, Credentials: asked.Credentials, DetailsN: 1, ID: asked.ID, Kind: ledger.DevicePhone,
		MSP: atlas, N: 1, RegisteredAt: nine, Status: ledger.DeviceActive, TxID: "first", V: ledger.SchemaVersion,
	}
	want.Credentials.ValidFrom = nine
	require.Equal(t, want, first)

	// Any operator sees it, by id, address and fingerprint.
	for _, reader := range []string{atlas, borealis, corvus} {
		var got ledger.Device
		c.ask(as(reader, ledger.RoleAuditor, "devices:Get", atlas, asked.ID), &got)
		require.Equal(t, *want, got)
		var found []ledger.Device
		c.ask(as(reader, ledger.RoleAuditor, "devices:ByAOR", aorRef(t, "600@PBX.atlas.example")), &found)
		require.Equal(t, []ledger.Device{*want}, found)
		c.ask(as(reader, ledger.RoleAuditor, "devices:ByFingerprint", asked.Credentials.FingerprintRefs[0]), &found)
		require.Equal(t, []ledger.Device{*want}, found)
		c.ask(as(reader, ledger.RoleAuditor, "devices:ByFingerprint", asked.Credentials.AORRefs[0]), &found)
		require.Empty(t, found, "an address is no fingerprint")
	}

	suspended := c.device(at(as(atlas, ledger.RoleGateway, "devices:Suspend", asked.ID, "1", ledger.DeviceReasonSuspicion), 10))
	require.Equal(t, ledger.DeviceSuspended, suspended.Status)
	require.Equal(t, ledger.RoleGateway, suspended.By)
	require.Equal(t, ledger.DeviceReasonSuspicion, suspended.Reason)
	require.EqualValues(t, 2, suspended.N)
	require.Equal(t, nine, suspended.RegisteredAt)
	require.Contains(t, c.refuse(ledger.CodeState, as(atlas, ledger.RoleAdmin, "devices:Suspend", asked.ID, "1", ledger.DeviceReasonLost)), "at version 2, not 1")
	require.Contains(t, c.refuse(ledger.CodeState, as(atlas, ledger.RoleAdmin, "devices:Suspend", asked.ID, "2", ledger.DeviceReasonLost)), "suspended already")

	reinstated := c.device(at(as(atlas, ledger.RoleAdmin, "devices:Reinstate", asked.ID, "2", ledger.DeviceReasonCleared), 11))
	require.Equal(t, ledger.DeviceActive, reinstated.Status)
	require.Contains(t, c.refuse(ledger.CodeState, as(atlas, ledger.RoleAdmin, "devices:Reinstate", asked.ID, "3", ledger.DeviceReasonCleared)), "not suspended")

	rotation := ledger.DeviceRotation{After: 3, Credentials: credentials(t, "sip:601@pbx.atlas.example"), Reason: ledger.DeviceReasonScheduled}
	rotation.Credentials.DetailsDigest = strings.Repeat("7b", 32)
	rotated := c.device(at(as(atlas, ledger.RoleAdmin, "devices:Rotate", asked.ID, canonical(t, rotation)), 12))
	require.EqualValues(t, 4, rotated.N)
	require.EqualValues(t, 4, rotated.DetailsN, "the details changed")
	require.Equal(t, nine, rotated.Credentials.ValidFrom, "not given, it stays")
	require.Equal(t, rotation.Credentials.AORRefs, rotated.Credentials.AORRefs)
	var found []ledger.Device
	c.ask(as(borealis, ledger.RoleAuditor, "devices:ByAOR", aorRef(t, "600@pbx.atlas.example")), &found)
	require.Empty(t, found, "it has another address now")
	c.ask(as(borealis, ledger.RoleAuditor, "devices:ByFingerprint", asked.Credentials.FingerprintRefs[0]), &found)
	require.Empty(t, found)
	c.ask(as(borealis, ledger.RoleAuditor, "devices:ByAOR", rotation.Credentials.AORRefs[0]), &found)
	require.Len(t, found, 1)

	revoked := c.device(at(as(atlas, ledger.RoleAdmin, "devices:Revoke", asked.ID, "4", ledger.DeviceReasonStolen), 13))
	require.Equal(t, ledger.DeviceRevoked, revoked.Status)
	require.EqualValues(t, 4, revoked.DetailsN)
	for _, again := range [][]string{
		{"devices:Suspend", asked.ID, "5", ledger.DeviceReasonLost}, {"devices:Reinstate", asked.ID, "5", ledger.DeviceReasonCleared},
		{"devices:Revoke", asked.ID, "5", ledger.DeviceReasonLost},
		{"devices:Rotate", asked.ID, strings.Replace(canonical(t, rotation), `"after":3`, `"after":5`, 1)},
	} {
		require.Contains(t, c.refuse(ledger.CodeState, as(atlas, ledger.RoleAdmin, again...)), "final", again[0])
	}
	c.refuse(ledger.CodeExists, as(atlas, ledger.RoleAdmin, "devices:Register", canonical(t, asked)))

	// Every version can be read.
	var history []ledger.Device
	c.ask(as(corvus, ledger.RoleAuditor, "devices:History", atlas, asked.ID), &history)
	require.Equal(t, []ledger.Device{*first, *suspended, *reinstated, *rotated, *revoked}, history)
	for i := range history {
		var version ledger.Device
		c.ask(as(corvus, ledger.RoleAuditor, "devices:Version", atlas, asked.ID, number(int64(i+1))), &version)
		require.Equal(t, history[i], version)
	}
	c.refuse(ledger.CodeNotFound, as(corvus, ledger.RoleAuditor, "devices:Version", atlas, asked.ID, "6"))

	// And what held at each time, of either address.
	for when, verdicts := range map[string][2]string{
		hour(8): {ledger.VerdictUnregistered, ledger.VerdictUnregistered}, hour(9): {ledger.VerdictRegistered, ledger.VerdictUnregistered},
		hour(10): {ledger.VerdictSuspended, ledger.VerdictUnregistered}, hour(11): {ledger.VerdictRegistered, ledger.VerdictUnregistered},
		hour(12): {ledger.VerdictUnregistered, ledger.VerdictRegistered}, hour(13): {ledger.VerdictUnregistered, ledger.VerdictRevoked},
		"": {ledger.VerdictUnregistered, ledger.VerdictRevoked},
	} {
		require.Equal(t, verdicts[0], c.judged("", "600@pbx.atlas.example", when).Verdict, when)
		require.Equal(t, verdicts[1], c.judged(atlas, "601@pbx.atlas.example", when).Verdict, when)
	}
}

func TestWhatFollowsForAnAddress(t *testing.T) {
	c := newChannel(t)
	asked := registration(t, 1, "600@pbx.example")
	asked.Credentials.ValidFrom, asked.Credentials.ValidUntil = ledger.TimeOf(noon), ledger.TimeOf(noon.Add(2*time.Hour))
	c.do(at(as(atlas, ledger.RoleGateway, "devices:Register", canonical(t, asked)), 9))
	for when, want := range map[string][2]string{
		hour(11): {ledger.VerdictUnregistered, ledger.ConsequenceFlag}, hour(12): {ledger.VerdictRegistered, ledger.ConsequenceAllow},
		hour(13): {ledger.VerdictRegistered, ledger.ConsequenceAllow}, hour(14): {ledger.VerdictExpired, ledger.ConsequenceReject},
	} {
		verdict := c.judged(atlas, "600@pbx.example", when)
		require.Equal(t, want, [2]string{verdict.Verdict, verdict.Consequence}, when)
		require.Len(t, verdict.Devices, 1)
		require.Zero(t, verdict.PolicyVersion)
	}

	// Several devices share an address: one that is registered is enough.
	c.register(atlas, 2, "600@pbx.example", "610@pbx.example")
	require.Equal(t, ledger.VerdictRegistered, c.judged(atlas, "600@pbx.example", hour(14)).Verdict)
	c.do(as(atlas, ledger.RoleAdmin, "devices:Suspend", deviceID(2), "1", ledger.DeviceReasonPayment))
	verdict := c.judged(atlas, "600@pbx.example", hour(14))
	require.Equal(t, ledger.VerdictSuspended, verdict.Verdict, "the gravest: one is expired, one suspended")
	require.Equal(t, ledger.ConsequenceReject, verdict.Consequence)
	require.Equal(t, []ledger.DeviceStanding{
		{ID: deviceID(1), Kind: ledger.DevicePhone, MSP: atlas, N: 1, Verdict: ledger.VerdictExpired},
		{ID: deviceID(2), Kind: ledger.DevicePhone, MSP: atlas, N: 2, Verdict: ledger.VerdictSuspended},
	}, verdict.Devices)
	c.do(as(atlas, ledger.RoleAdmin, "devices:Revoke", deviceID(2), "2", ledger.DeviceReasonFraud))
	require.Equal(t, ledger.VerdictRevoked, c.judged("", "610@pbx.example", hour(14)).Verdict)

	// Another operator cannot lend its registration to Atlas's PBX.
	c.register(borealis, 1, "666@pbx.example", "610@pbx.example")
	require.Equal(t, ledger.VerdictUnregistered, c.judged(atlas, "666@pbx.example", "").Verdict)
	require.Equal(t, ledger.VerdictRevoked, c.judged(atlas, "610@pbx.example", "").Verdict)
	require.Equal(t, ledger.VerdictRegistered, c.judged("", "666@pbx.example", "").Verdict)
	require.Equal(t, ledger.VerdictUnregistered, c.judged("", "nobody@pbx.example", "").Verdict)
	for _, bad := range [][]string{
		{"devices:Check", atlas, "600@pbx.example", ""}, {"devices:Check", atlas, hexOf(31), ""}, {"devices:Check", "Atlas MSP", hexOf(32), ""},
		{"devices:Check", atlas, hexOf(32), "2026-03-01"}, {"devices:Check", atlas, hexOf(32), "2026-02-30T00:00:00.000Z"}, {"devices:Check", atlas, strings.ToUpper(hexOf(32)), ""},
	} {
		require.NotContains(t, c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleGateway, bad...)), "600@")
	}
}

func TestOnlyItsOwnerChangesADevice(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	asked := canonical(t, registration(t, 2, "601@pbx.example"))
	rotation := canonical(t, ledger.DeviceRotation{After: 1, Credentials: credentials(t, "602@pbx.example"), Reason: ledger.DeviceReasonMistake})
	for _, arguments := range [][]string{
		{"devices:Register", asked}, {"devices:Suspend", deviceID(1), "1", ledger.DeviceReasonLost}, {"devices:Reinstate", deviceID(1), "1", ledger.DeviceReasonCleared},
		{"devices:Revoke", deviceID(1), "1", ledger.DeviceReasonLost}, {"devices:Rotate", deviceID(1), rotation},
	} {
		for role := range operators()[atlas].roles {
			if role != ledger.RoleAdmin && role != ledger.RoleGateway {
				c.refuse(ledger.CodeDenied, as(atlas, role, arguments...))
			}
		}
		call := as(atlas, ledger.RoleAdmin, arguments...)
		call.Creator = nil
		c.refuse(ledger.CodeDenied, call)
		if arguments[0] != "devices:Register" {
			// Another operator's admin finds no such device of its own.
			c.refuse(ledger.CodeNotFound, as(borealis, ledger.RoleAdmin, arguments...))
		}
	}
	// The same id is another device with another operator.
	c.register(borealis, 1, "600@pbx.example")
	var found []ledger.Device
	c.ask(as(corvus, ledger.RoleAuditor, "devices:ByAOR", aorRef(t, "600@pbx.example")), &found)
	require.Len(t, found, 2)
	c.refuse(ledger.CodeNotFound, as(corvus, ledger.RoleAuditor, "devices:Get", corvus, deviceID(1)))
}

func TestWhatIsNoDevice(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	good := canonical(t, registration(t, 2, "601@pbx.example"))
	ref := aorRef(t, "601@pbx.example")
	swap := func(from, to string) string {
		require.Contains(t, good, from)
		return strings.Replace(good, from, to, 1)
	}
	many := registration(t, 2)
	for i := range 21 {
		many.Credentials.AORRefs = append(many.Credentials.AORRefs, fmt.Sprintf("%064x", i))
	}
	refused := map[string]string{
		"nothing": "{}", "null": "null", "an array": "[]", "no JSON": "phone", "no text": "",
		"an unknown kind":            swap(`"phone"`, `"toaster"`),
		"no kind":                    swap(`,"kind":"phone"`, ""),
		"an unknown member":          swap(`"kind"`, `"owner":"Beatriz Almeida","kind"`),
		"an extension for an id":     swap(`"`+deviceID(2)+`"`, `"600"`),
		"a NUL in the id":            swap(deviceID(2), `\u0000`+deviceID(2)[1:]),
		"the last rune in the id":    swap(deviceID(2), "\U0010ffff"+deviceID(2)[4:]),
		"upper case":                 swap(ref, strings.ToUpper(ref)),
		"a clear address":            swap(ref, "sip:601@pbx.example"),
		"no address":                 swap(`["`+ref+`"]`, "[]"),
		"an address twice":           swap(`["`+ref+`"]`, `["`+ref+`","`+ref+`"]`),
		"unsorted addresses":         swap(`["`+ref+`"]`, `["`+strings.Repeat("ff", 32)+`","`+ref+`"]`),
		"too many addresses":         canonical(t, many),
		"empty fingerprints":         swap(`"key_epoch"`, `"fingerprint_refs":[],"key_epoch"`),
		"a short fingerprint":        swap(`"key_epoch"`, `"fingerprint_refs":["aa"],"key_epoch"`),
		"a password":                 swap(`"credential_ref":"`+hexOf(32)+`"`, `"credential_ref":"secret"`),
		"an empty credential":        swap(`"credential_ref":"`+hexOf(32)+`"`, `"credential_ref":""`),
		"no digest":                  swap(`"details_digest":"`+hexOf(32)+`",`, ""),
		"epoch 0":                    swap(`"key_epoch":1`, `"key_epoch":0`),
		"a negative epoch":           swap(`"key_epoch":1`, `"key_epoch":-1`),
		"a float":                    swap(`"key_epoch":1`, `"key_epoch":1.0`),
		"an exponent":                swap(`"key_epoch":1`, `"key_epoch":1e0`),
		"an epoch beyond 2^53":       swap(`"key_epoch":1`, `"key_epoch":9007199254740993`),
		"an epoch as text":           swap(`"key_epoch":1`, `"key_epoch":"1"`),
		"an end before it begins":    swap(`"key_epoch":1`, `"key_epoch":1,"valid_from":"2026-03-01T12:00:00.000Z","valid_until":"2026-03-01T12:00:00.000Z"`),
		"a day that does not exist":  swap(`"key_epoch":1`, `"key_epoch":1,"valid_from":"2026-02-30T12:00:00.000Z"`),
		"a time in another zone":     swap(`"key_epoch":1`, `"key_epoch":1,"valid_from":"2026-03-01T12:00:00.000+01:00"`),
		"a duplicate member":         swap(`"kind":"phone"`, `"kind":"phone","kind":"phone"`),
		"something after":            good + "{}",
		"invalid UTF-8":              swap(`"phone"`, "\"\xff\""),
		"oversize text":              swap(`"phone"`, `"`+strings.Repeat("x", 10_000)+`"`),
		"null where a list belongs":  swap(`["`+ref+`"]`, "null"),
		"a list in place of a thing": swap(`"kind":"phone"`, `"kind":["phone"]`),
	}
	for name, text := range refused {
		message := c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, "devices:Register", text))
		for _, secret := range []string{"Beatriz", "secret", "601@"} {
			require.NotContains(t, message, secret, name)
		}
		// The same credentials in a rotation.
		rotation := fmt.Sprintf(`{"after":1,"credentials":%s,"reason":"mistake"}`, between(text, `"credentials":`, `,"id"`))
		if strings.Contains(text, "credentials") && strings.Contains(name, "ddress") {
			c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, "devices:Rotate", deviceID(1), rotation))
		}
	}
	c.refuse(ledger.CodeTooLarge, as(atlas, ledger.RoleAdmin, "devices:Register", strings.Repeat(" ", 10<<20)))
	for _, call := range [][]string{
		{"devices:Suspend", deviceID(1), "1", "because"}, {"devices:Suspend", deviceID(1), "1", ledger.DeviceReasonCleared}, {"devices:Suspend", deviceID(1), "1", ""},
		{"devices:Suspend", deviceID(1), "-1", ledger.DeviceReasonLost}, {"devices:Suspend", deviceID(1), "1.0", ledger.DeviceReasonLost},
		{"devices:Suspend", deviceID(1), "01", ledger.DeviceReasonLost}, {"devices:Suspend", deviceID(1), "9007199254740993", ledger.DeviceReasonLost},
		{"devices:Suspend", "600", "1", ledger.DeviceReasonLost}, {"devices:Suspend", "\x00", "1", ledger.DeviceReasonLost}, {"devices:Suspend", "\xff", "1", ledger.DeviceReasonLost},
		{"devices:Reinstate", deviceID(1), "1", ledger.DeviceReasonStolen}, {"devices:Revoke", deviceID(1), "1", ledger.DeviceReasonSuspicion},
		{"devices:Rotate", deviceID(1), "{}"}, {"devices:Rotate", deviceID(1), ""},
		{"devices:Get", atlas, "600"}, {"devices:Get", "", deviceID(1)}, {"devices:Get", "a\x00b", deviceID(1)}, {"devices:Version", atlas, deviceID(1), "-1"},
		{"devices:History", atlas, "\U0010ffff"}, {"devices:ByAOR", "600@pbx.example"}, {"devices:ByFingerprint", ""},
		{"devices:List", atlas, "0", ""}, {"devices:List", atlas, "1001", ""}, {"devices:List", "", "1", ""},
		{"devices:List", atlas, "1", ledger.DeviceKey(borealis, deviceID(1))}, {"devices:List", atlas, "1", "x"},
	} {
		c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, call...))
	}
	// It is still as it was, and the good one is taken, also from transient data.
	require.EqualValues(t, 1, c.judged("", "600@pbx.example", "").Devices[0].N)
	call := as(atlas, ledger.RoleAdmin, "devices:Register", "")
	call.Transient = map[string][]byte{"registration": []byte(good)}
	c.device(call)
	call.Args[1] = good
	c.refuse(ledger.CodeInvalid, call)
}

// between is the part of a text from after one word to before another.
func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	part, _, _ := strings.Cut(rest, to)
	return part
}

func TestARotationKeepsTheValidityInOrder(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	rotation := ledger.DeviceRotation{After: 1, Credentials: credentials(t, "600@pbx.example"), Reason: ledger.DeviceReasonKeyEpoch}
	rotation.Credentials.ValidUntil = ledger.TimeOf(noon)
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, "devices:Rotate", deviceID(1), canonical(t, rotation)))
	rotation.Credentials.ValidUntil = ledger.TimeOf(noon.Add(48 * time.Hour))
	rotation.Credentials.KeyEpoch = 2
	rotated := c.device(as(atlas, ledger.RoleAdmin, "devices:Rotate", deviceID(1), canonical(t, rotation)))
	require.EqualValues(t, 1, rotated.DetailsN, "the details stayed")
	require.EqualValues(t, 2, rotated.Credentials.KeyEpoch)

	// A suspended device may be rotated, and stays suspended.
	c.do(as(atlas, ledger.RoleAdmin, "devices:Suspend", deviceID(1), "2", ledger.DeviceReasonStolen))
	rotation.After = 3
	require.Equal(t, ledger.DeviceSuspended, c.device(as(atlas, ledger.RoleAdmin, "devices:Rotate", deviceID(1), canonical(t, rotation))).Status)
}

func TestTwoChangesOfOneDevice(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	_, suspend := c.simulate(as(atlas, ledger.RoleAdmin, "devices:Suspend", deviceID(1), "1", ledger.DeviceReasonLost))
	_, revoke := c.simulate(as(atlas, ledger.RoleGateway, "devices:Revoke", deviceID(1), "1", ledger.DeviceReasonStolen))
	require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_MVCC_READ_CONFLICT}, c.Commit(suspend, revoke))
	// Made anew it is told, instead of revoking what was not looked at.
	c.refuse(ledger.CodeState, as(atlas, ledger.RoleGateway, "devices:Revoke", deviceID(1), "1", ledger.DeviceReasonStolen))

	one, other := canonical(t, registration(t, 2, "601@pbx.example")), canonical(t, registration(t, 2, "602@pbx.example"))
	_, first := c.simulate(as(atlas, ledger.RoleAdmin, "devices:Register", one))
	_, second := c.simulate(as(atlas, ledger.RoleAdmin, "devices:Register", other))
	require.Equal(t, []peer.TxValidationCode{peer.TxValidationCode_VALID, peer.TxValidationCode_MVCC_READ_CONFLICT}, c.Commit(first, second))
}

func TestPagesOfDevices(t *testing.T) {
	c := newChannel(t)
	for i := range 5 {
		c.register(atlas, i, fmt.Sprintf("%d@pbx.example", i))
		c.register(borealis, i, fmt.Sprintf("%d@pbx.example", i))
	}
	var ids []string
	bookmark := ""
	for range 4 {
		var page contract.DevicePage
		c.ask(as(corvus, ledger.RoleAuditor, "devices:List", atlas, "2", bookmark), &page)
		for i := range page.Devices {
			require.Equal(t, atlas, page.Devices[i].MSP)
			ids = append(ids, page.Devices[i].ID)
		}
		if bookmark = page.Bookmark; bookmark == "" {
			break
		}
	}
	require.Equal(t, []string{deviceID(0), deviceID(1), deviceID(2), deviceID(3), deviceID(4)}, ids)
	response, _ := c.simulate(as(corvus, ledger.RoleAuditor, "devices:List", corvus, "2", ""))
	require.Equal(t, `{"bookmark":"","devices":[]}`, string(response.GetPayload()))
	for _, empty := range [][]string{{"devices:ByAOR", hexOf(32)}, {"devices:History", atlas, deviceID(9)}} {
		response, _ = c.simulate(as(corvus, ledger.RoleAuditor, empty...))
		require.Equal(t, `[]`, string(response.GetPayload()))
	}
}

// deviceCalls is one call of each function.
func deviceCalls(t testing.TB) []stub.Call {
	rotation := ledger.DeviceRotation{After: 1, Credentials: credentials(t, "602@pbx.example"), Reason: ledger.DeviceReasonMistake}
	return []stub.Call{
		as(atlas, ledger.RoleAdmin, "devices:Register", canonical(t, registration(t, 2, "601@pbx.example"))),
		as(atlas, ledger.RoleAdmin, "devices:Suspend", deviceID(1), "1", ledger.DeviceReasonLost),
		as(atlas, ledger.RoleAdmin, "devices:Revoke", deviceID(1), "1", ledger.DeviceReasonLost),
		as(atlas, ledger.RoleAdmin, "devices:Rotate", deviceID(1), canonical(t, rotation)),
		as(atlas, ledger.RoleAuditor, "devices:Get", atlas, deviceID(1)), as(atlas, ledger.RoleAuditor, "devices:Version", atlas, deviceID(1), "1"),
		as(atlas, ledger.RoleAuditor, "devices:History", atlas, deviceID(1)), as(atlas, ledger.RoleAuditor, "devices:ByAOR", aorRef(t, "600@pbx.example")),
		as(atlas, ledger.RoleAuditor, "devices:List", atlas, "2", ""), as(atlas, ledger.RoleAuditor, "devices:Check", atlas, aorRef(t, "600@pbx.example"), hour(1)),
	}
}

func TestDevicesOnAPeerThatFails(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	requireFaultsAreInternal(t, c, deviceCalls(t))
}

// requireFaultsAreInternal fails one access to the ledger after the other.
func requireFaultsAreInternal(t *testing.T, c *channel, calls []stub.Call) {
	t.Helper()
	for _, call := range calls {
		for fail := 1; ; fail++ {
			accesses := 0
			broken := call
			broken.Fault = func(string, string) error {
				if accesses++; accesses == fail {
					return errors.New("disk full")
				}
				return nil
			}
			response, _ := c.Invoke(operators()[call.PeerMSP].chaincode, broken)
			if accesses < fail {
				require.Greater(t, fail, 1, "%s never reached the ledger", call.Args[0])
				require.EqualValues(t, shim.OK, response.GetStatus(), "%s: %s", call.Args[0], response.GetMessage())
				break
			}
			require.GreaterOrEqual(t, int(response.GetStatus()), shim.ERRORTHRESHOLD, "%s ignored failure %d", call.Args[0], fail)
			if !strings.HasPrefix(response.GetMessage(), "failed send batch") {
				coded, found := ledger.ParseError(response.GetMessage())
				require.True(t, found, response.GetMessage())
				require.Equal(t, ledger.CodeInternal, coded.Code, coded.Message)
			}
		}
	}
}

// Every operator's peer must come to the same bytes.
func TestDevicesAreEndorsedAlike(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	requireEndorsedAlike(t, c, deviceCalls(t))
}

// requireEndorsedAlike runs each call on all peers, several times.
func requireEndorsedAlike(t *testing.T, c *channel, calls []stub.Call) {
	t.Helper()
	for _, call := range calls {
		call.TxID = "one"
		var payload []byte
		var writes []stub.Write
		for range 5 {
			for msp, member := range operators() {
				call.PeerMSP = msp
				response, tx := c.Invoke(member.chaincode, call)
				require.EqualValues(t, shim.OK, response.GetStatus(), "%s: %s", call.Args[0], response.GetMessage())
				if payload == nil {
					payload, writes = response.GetPayload(), tx.Writes()
				}
				require.Equal(t, string(payload), string(response.GetPayload()), call.Args[0])
				require.Equal(t, writes, tx.Writes(), call.Args[0])
			}
		}
	}
}

func FuzzDevices(f *testing.F) {
	c := withEverything(f)
	c.register(atlas, 1, "600@pbx.example")
	rotation := ledger.DeviceRotation{After: 1, Credentials: credentials(f, "602@pbx.example"), Reason: ledger.DeviceReasonMistake}
	good := canonical(f, registration(f, 2, "601@pbx.example"))
	f.Add(good, deviceID(1), canonical(f, rotation), int64(1), ledger.DeviceReasonLost)
	f.Add(strings.Replace(good, `"key_epoch":1`, `"key_epoch":1e3`, 1), deviceID(2), "{}", int64(0), ledger.DeviceReasonCleared)
	f.Add(strings.Replace(good, `"phone"`, `"phone`+"\x00"+`"`, 1), "\U0010ffff", "null", int64(-1), "x")
	f.Fuzz(func(t *testing.T, registration, id, rotation string, after int64, reason string) {
		fuzzed(t, c, ledger.RoleAdmin, nil, "devices:Register", registration)
		fuzzed(t, c, ledger.RoleAdmin, nil, "devices:Rotate", id, rotation)
		for _, function := range []string{"devices:Suspend", "devices:Reinstate", "devices:Revoke"} {
			fuzzed(t, c, ledger.RoleGateway, nil, function, id, number(after), reason)
		}
	})
}

// The operators vote for P1's strict rule once their devices are registered.
func TestThePolicyOnDevicesIsVoted(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	require.Equal(t, ledger.ConsequenceFlag, c.judged(atlas, "666@pbx.example", "").Consequence)
	c.enact(ledger.Policy{V: ledger.SchemaVersion, Devices: &ledger.DevicePolicy{
		Expired: ledger.ConsequenceFlag, Revoked: ledger.ConsequenceReject, Suspended: ledger.ConsequenceFlag, Unregistered: ledger.ConsequenceReject,
	}})
	verdict := c.judged(atlas, "666@pbx.example", "")
	require.Equal(t, ledger.ConsequenceReject, verdict.Consequence)
	require.EqualValues(t, 1, verdict.PolicyVersion)
	require.Equal(t, ledger.ConsequenceAllow, c.judged(atlas, "600@pbx.example", "").Consequence)
	c.do(as(atlas, ledger.RoleAdmin, "devices:Suspend", deviceID(1), "1", ledger.DeviceReasonPayment))
	require.Equal(t, ledger.ConsequenceFlag, c.judged(atlas, "600@pbx.example", "").Consequence)
}
