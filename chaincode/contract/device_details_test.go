package contract_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
)

// destroyed is a request to erase details whose key is destroyed.
func destroyed() ledger.ErasureRequest {
	return ledger.ErasureRequest{Details: &ledger.DestroyedKey{KeyCommitment: hexOf(32)}, Reason: ledger.EraseSubjectRequest}
}

func TestTheDetailsOfADevice(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	key := ledger.DeviceVersionKey(atlas, deviceID(1), 1)
	put := putDetails(t, atlas, ledger.SealedRecord{Key: key, Sealed: sealed("device")})
	// An admin registers devices, and so stores their details, but of nothing else.
	put.Creator = operators()[atlas].roles[ledger.RoleAdmin].Creator()
	result, tx := c.invokeDetails(put)
	require.Equal(t, contract.PutResult{Stored: 1}, result)
	require.Equal(t, peer.TxValidationCode_VALID, c.Commit(tx)[0])
	mixed := putDetails(t, atlas, ledger.SealedRecord{Key: key, Sealed: sealed("x")}, ledger.SealedRecord{Key: ledger.CallKey(atlas, "pbx1", leg("pbx1-1", 0)), Sealed: sealed("x")})
	mixed.Creator = put.Creator
	require.Contains(t, c.refuse(ledger.CodeDenied, mixed), "devices only")

	get := []string{"details:GetDevice", atlas, deviceID(1), "1"}
	for msp, member := range operators() {
		for role := range member.roles {
			for _, peerMSP := range []string{atlas, borealis} {
				call := as(msp, role, get...)
				call.PeerMSP = peerMSP
				if msp == atlas && peerMSP == atlas && (role == ledger.RoleGateway || role == ledger.RoleCompliance || role == ledger.RoleAdmin) {
					var got ledger.Sealed
					c.ask(call, &got)
					require.Equal(t, sealed("device"), got)
					continue
				}
				require.NotContains(t, c.refuse(ledger.CodeDenied, call), "device ")
			}
		}
	}
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAdmin, "details:GetDevice", atlas, deviceID(1), "2"))
	for _, bad := range [][]string{{"details:GetDevice", atlas, "600", "1"}, {"details:GetDevice", atlas, deviceID(1), "-1"}, {"details:GetDevice", "", deviceID(1), "1"}} {
		c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, bad...))
	}
	for _, bad := range []string{ledger.DeviceKey(atlas, deviceID(1)), ledger.CompositeKey(ledger.TypeDeviceVersion, atlas, deviceID(1), "1")} {
		c.refuse(ledger.CodeInvalid, putDetails(t, atlas, ledger.SealedRecord{Key: bad, Sealed: sealed("x")}))
	}
	c.refuse(ledger.CodeDenied, putDetails(t, borealis, ledger.SealedRecord{Key: key, Sealed: sealed("x")}))
}

func TestTheDetailsOfADeviceAreErased(t *testing.T) {
	c := newChannel(t)
	c.register(atlas, 1, "600@pbx.example")
	first := ledger.DeviceVersionKey(atlas, deviceID(1), 1)
	put := putDetails(t, atlas, ledger.SealedRecord{Key: first, Sealed: sealed("device")})
	_, tx := c.invokeDetails(put)
	require.Equal(t, peer.TxValidationCode_VALID, c.Commit(tx)[0])
	purge := as(atlas, ledger.RoleCompliance, "details:Purge")
	purge.Transient = map[string][]byte{"keys": []byte(canonical(t, []string{first}))}
	require.Contains(t, c.refuse(ledger.CodeState, purge), "devices:Erase")

	erase := as(atlas, ledger.RoleCompliance, "devices:Erase", atlas, deviceID(1), "1", canonical(t, destroyed()))
	require.Contains(t, c.refuse(ledger.CodeState, erase), "in use")
	rotation := ledger.DeviceRotation{After: 1, Credentials: credentials(t, "601@pbx.example"), Reason: ledger.DeviceReasonScheduled}
	rotation.Credentials.DetailsDigest = strings.Repeat("77", 32)
	c.device(as(atlas, ledger.RoleAdmin, "devices:Rotate", deviceID(1), canonical(t, rotation)))
	stored := c.do(erase)
	var erasure ledger.Erasure
	require.NoError(t, ledger.DecodeStrict(stored, &erasure))
	require.Equal(t, &ledger.DeviceVersionID{ID: deviceID(1), N: 1}, erasure.Device)
	require.Equal(t, hexOf(32), erasure.Details.KeyCommitment)
	require.Equal(t, ledger.Digest([]byte(canonical(t, sealed("device")))), erasure.Details.SealedDigest)
	require.NotContains(t, string(stored), "pbx")
	response, tx := c.simulate(erase)
	require.Empty(t, tx.Writes(), "again it changes nothing")
	require.Equal(t, string(stored), string(response.GetPayload()))

	require.Equal(t, contract.PurgeResult{Purged: 1}, c.purged(purge))
	require.Contains(t, c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAdmin, "details:GetDevice", atlas, deviceID(1), "1")), "erased")
	// And they do not come back.
	response, _ = c.Invoke(operators()[atlas].chaincode, put)
	require.EqualValues(t, shim.OK, response.GetStatus())
	var result contract.PutResult
	require.NoError(t, json.Unmarshal(response.GetPayload(), &result))
	require.Equal(t, contract.PutResult{Erased: 1}, result)

	// Of a revoked device the last may go too.
	c.refuse(ledger.CodeState, as(atlas, ledger.RoleCompliance, "devices:Erase", atlas, deviceID(1), "2", canonical(t, destroyed())))
	c.do(as(atlas, ledger.RoleAdmin, "devices:Revoke", deviceID(1), "2", ledger.DeviceReasonLost))
	c.do(as(atlas, ledger.RoleAdmin, "devices:Erase", atlas, deviceID(1), "2", canonical(t, destroyed())))

	good := canonical(t, destroyed())
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAdmin, "devices:Erase", atlas, deviceID(1), "9", good))
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAdmin, "devices:Erase", atlas, deviceID(2), "1", good))
	for _, who := range []struct {
		msp  string
		role ledger.Role
	}{{borealis, ledger.RoleCompliance}, {atlas, ledger.RoleAuditor}, {atlas, ledger.RoleAdapter}} {
		c.refuse(ledger.CodeDenied, as(who.msp, who.role, "devices:Erase", atlas, deviceID(1), "1", good))
	}
	for _, text := range []string{
		"", "{}", "null", strings.Replace(good, ledger.EraseSubjectRequest, "because", 1), strings.Replace(good, `{"details"`, `{"audio":{},"details"`, 1),
		strings.Replace(good, hexOf(32), "the key", 1),
	} {
		c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, "devices:Erase", atlas, deviceID(1), "1", text))
	}
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, "devices:Erase", atlas, deviceID(1), "-1", good))
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, "devices:Erase", atlas, "600", "1", good))
}
