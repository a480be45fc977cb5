package ledger_test

import (
	"crypto/ecdsa"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hexOf is n bytes in hexadecimal.
func hexOf(n int) string { return strings.Repeat("5a", n) }

// callRecord is a good CDR leg.
func callRecord() ledger.Record {
	return ledger.Record{
		Call: &ledger.Call{
			Answer: ledger.TimeOf(noon.Add(2 * time.Second)), BillsecMS: 28_000, CalleeRef: hexOf(16), CallerRef: hexOf(16),
			DetailsDigest: hexOf(32), Direction: "inbound", Disposition: ledger.Answered, DurationMS: 30_000,
			End: ledger.TimeOf(noon.Add(30 * time.Second)), HangupCause: 16,
			Leg:          ledger.LegID{LinkedID: "pbx1-1772366400.10", UniqueID: "pbx1-1772366400.11", Sequence: 7},
			Observed:     &ledger.Observed{Start: ledger.TimeOf(noon.Add(12 * time.Millisecond))},
			RecordingDue: true, Software: "Asterisk 22.10.1", Start: ledger.TimeOf(noon), Technology: "PJSIP",
		},
		Epoch: 1_772_366_400_000, MSP: "AtlasMSP", PBX: "pbx1", Segment: 1, Seq: 1, V: ledger.SchemaVersion,
	}
}

// recordingRecord is a good recording.
func recordingRecord() ledger.Record {
	record := callRecord()
	leg := record.Call.Leg
	record.Call = nil
	record.Recording = &ledger.Recording{
		Bytes: 96_044, ClosedAt: ledger.TimeOf(noon.Add(31 * time.Second)), DetailsDigest: hexOf(32), ID: hexOf(16), Leg: leg,
		MediaType: "audio/wav", Method: "mixmonitor", Revision: 1, SHA256: hexOf(32), SHA512: hexOf(64),
	}
	return record
}

// signedSegment closes and signs n records as an adapter does.
func signedSegment(t require.TestingT, signer *stub.Identity, n int, change ...func(*ledger.SignedSegment)) *ledger.SignedSegment {
	signed := &ledger.SignedSegment{Segment: ledger.Segment{
		ClosedAt: ledger.TimeOf(noon.Add(time.Minute)), Count: int64(n), Epoch: 1_772_366_400_000, FirstSeq: 1,
		MSP: "AtlasMSP", PBX: "pbx1", Signer: ledger.Fingerprint(signer.Certificate.Raw), V: 1, // which needs no opening
	}}
	for i := range n {
		record := callRecord()
		record.Call.Leg.Sequence, record.Seq = int64(i), int64(i+1)
		signed.Records = append(signed.Records, record)
	}
	for _, apply := range change {
		apply(signed)
	}
	sign(t, signer, signed)
	return signed
}

// busySegment is a segment of n records as of a busy PBX: legs that differ in all that
// legs differ in, and a recording of every third.
func busySegment(t require.TestingT, signer *stub.Identity, n int) *ledger.SignedSegment {
	return signedSegment(t, signer, n, func(signed *ledger.SignedSegment) {
		for i := range signed.Records {
			record := &signed.Records[i]
			of := func(what string, length int) string {
				return ledger.Digest(fmt.Appendf(nil, "%s %d", what, i))[:2*length]
			}
			if i%3 == 2 {
				leg := signed.Records[i-1].Call.Leg
				record.Call, record.Recording = nil, recordingRecord().Recording
				record.Recording.Leg, record.Recording.ID, record.Recording.Bytes = leg, of("id", 16), int64(96_044+i*320)
				record.Recording.DetailsDigest, record.Recording.SHA256, record.Recording.SHA512 = of("details", 32), of("audio", 32), of("a", 32)+of("b", 32)
				continue
			}
			call := *record.Call
			start := noon.Add(time.Duration(i) * 137 * time.Millisecond)
			at := func(d time.Duration) ledger.Time { return ledger.TimeOf(start.Add(d)) }
			id := fmt.Sprintf("pbx1-%d.%d", start.Unix(), i)
			call.Leg = ledger.LegID{LinkedID: id, UniqueID: id, Sequence: int64(i)}
			call.Start, call.Answer, call.End = at(0), at(time.Duration(1+i%9)*time.Second), at(time.Duration(30+i%400)*time.Second)
			call.DurationMS, call.BillsecMS = call.End.Sub(call.Start), call.End.Sub(call.Answer)
			call.Observed = &ledger.Observed{Start: at(7 * time.Millisecond)}
			call.CallerRef, call.CalleeRef, call.DetailsDigest = of("caller", 16), of("callee", 16), of("details", 32)
			record.Call = &call
		}
	})
}

// callDetails are what only the owner sees of a leg.
func callDetails() ledger.Details {
	return ledger.Details{
		Call: &ledger.CallDetails{
			Channel: "PJSIP/trunk-0000002a", CLID: `"Zé" <+351912345678>`, DContext: "from-trunk", Dst: "+442079460123", DstChannel: "PJSIP/600-0000002b",
			LastApp: "Dial", LastData: "PJSIP/600,30,tT", Src: "+351912345678", UserField: "1-1-30761@127.34.27.2",
		},
		Salt: hexOf(32), V: ledger.SchemaVersion,
	}
}

// sign computes the root and signs.
func sign(t require.TestingT, signer *stub.Identity, signed *ledger.SignedSegment) {
	leaves := make([][]byte, len(signed.Records))
	for i := range signed.Records {
		var err error
		leaves[i], err = ledger.Canonical(&signed.Records[i])
		require.NoError(t, err)
	}
	var err error
	signed.Segment.Root, err = ledger.Root(leaves)
	require.NoError(t, err)
	signed.Signature, err = signed.Segment.Sign(signer.Key.(*ecdsa.PrivateKey))
	require.NoError(t, err)
}

// adapter is an identity that may sign for pbx1 of AtlasMSP.
func adapter(t require.TestingT, change ...func(*stub.Request)) *stub.Identity {
	authority, err := stub.NewAuthority("AtlasMSP")
	require.NoError(t, err)
	request := stub.Request{
		Attributes: map[string]string{ledger.AttributeRole: string(ledger.RoleAdapter), ledger.AttributePBX: "pbx1"},
		NotBefore:  noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
	}
	for _, apply := range change {
		apply(&request)
	}
	identity, err := authority.Issue(request)
	require.NoError(t, err)
	return identity
}

// enrolment is that adapter on the ledger.
func enrolment(identity *stub.Identity) *ledger.Enrolment {
	return &ledger.Enrolment{
		Certificate: identity.Certificate.Raw, EnrolledAt: ledger.TimeOf(noon), Fingerprint: ledger.Fingerprint(identity.Certificate.Raw),
		MSP: "AtlasMSP", PBX: "pbx1", TxID: hexOf(32), V: ledger.SchemaVersion,
	}
}

// requireCode asserts a coded error whose sentence is one.
func requireCode(t testing.TB, code ledger.Code, err error) {
	t.Helper()
	var coded *ledger.Error
	require.ErrorAs(t, err, &coded)
	require.Equal(t, code, coded.Code, coded.Message)
	require.NotEmpty(t, coded.Message)
	require.NotContains(t, coded.Message, "\n")
}

// Generators of whatever the types can hold.
var (
	anyInteger = rapid.Int64Range(-ledger.MaxInteger, ledger.MaxInteger)
	anyTime    = rapid.Custom(func(t *rapid.T) ledger.Time {
		return ledger.TimeOf(time.UnixMilli(rapid.Int64Range(0, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli()).Draw(t, "ms")))
	})
	maybeTime = rapid.OneOf(anyTime, rapid.Just(ledger.Time{}))
	anyName   = rapid.StringMatching(`[A-Za-z0-9._+@-]{1,40}`)
	anyLeg    = rapid.Custom(func(t *rapid.T) ledger.LegID {
		return ledger.LegID{LinkedID: rapid.String().Draw(t, "linkedid"), UniqueID: rapid.String().Draw(t, "uniqueid"), Sequence: anyInteger.Draw(t, "sequence")}
	})
	anyHex    = rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 64), hex.EncodeToString)
	anyRecord = rapid.Custom(func(t *rapid.T) ledger.Record {
		record := ledger.Record{
			Epoch: anyInteger.Draw(t, "epoch"), MSP: rapid.String().Draw(t, "msp"), PBX: rapid.String().Draw(t, "pbx"),
			Segment: anyInteger.Draw(t, "segment"), Seq: anyInteger.Draw(t, "seq"), V: rapid.IntRange(-9, 9).Draw(t, "v"),
		}
		if rapid.Bool().Draw(t, "has call") {
			record.Call = &ledger.Call{
				Answer: maybeTime.Draw(t, "answer"), BillsecMS: anyInteger.Draw(t, "billsec"), CalleeRef: anyHex.Draw(t, "callee"),
				CallerRef: anyHex.Draw(t, "caller"), DetailsDigest: anyHex.Draw(t, "digest"), Direction: rapid.String().Draw(t, "direction"),
				Disposition: rapid.String().Draw(t, "disposition"), DurationMS: anyInteger.Draw(t, "duration"), End: anyTime.Draw(t, "end"),
				HangupCause: anyInteger.Draw(t, "cause"), Leg: anyLeg.Draw(t, "leg"), RecordingDue: rapid.Bool().Draw(t, "due"),
				Software: rapid.String().Draw(t, "software"), Start: anyTime.Draw(t, "start"), Technology: rapid.String().Draw(t, "technology"),
				Attestation: rapid.String().Draw(t, "attestation"), Boot: anyInteger.Draw(t, "boot"), CallRef: anyHex.Draw(t, "call_ref"),
				ClockOffsetMS: anyInteger.Draw(t, "offset"), Verdict: rapid.String().Draw(t, "verdict"),
			}
			if rapid.Bool().Draw(t, "observed") {
				record.Call.Observed = &ledger.Observed{Answer: maybeTime.Draw(t, "o answer"), End: maybeTime.Draw(t, "o end"), Start: maybeTime.Draw(t, "o start")}
			}
		}
		if rapid.Bool().Draw(t, "has recording") {
			record.Recording = &ledger.Recording{
				Bytes: anyInteger.Draw(t, "bytes"), ClosedAt: anyTime.Draw(t, "closed"), DetailsDigest: anyHex.Draw(t, "r digest"),
				ID: anyHex.Draw(t, "id"), Leg: anyLeg.Draw(t, "r leg"), MediaType: rapid.String().Draw(t, "media"), Method: rapid.String().Draw(t, "method"),
				RetentionUntil: maybeTime.Draw(t, "retention"), Revision: anyInteger.Draw(t, "revision"), SegmentRoot: anyHex.Draw(t, "segment root"),
				SHA256: anyHex.Draw(t, "sha256"), SHA512: anyHex.Draw(t, "sha512"), VaultManifest: anyHex.Draw(t, "vault"),
			}
			for range rapid.IntRange(0, 2).Draw(t, "pauses") {
				record.Recording.Pauses = append(record.Recording.Pauses, ledger.Pause{
					FromMS: anyInteger.Draw(t, "from"), Reason: rapid.String().Draw(t, "reason"), ToMS: anyInteger.Draw(t, "to"),
				})
			}
		}
		if rapid.Bool().Draw(t, "has link") {
			record.Link = &ledger.Link{At: anyTime.Draw(t, "l at"), From: rapid.String().Draw(t, "l from"), Kind: rapid.String().Draw(t, "kind"), To: rapid.String().Draw(t, "l to")}
			if rapid.Bool().Draw(t, "ends") {
				from, to := anyLeg.Draw(t, "from leg"), anyLeg.Draw(t, "to leg")
				record.Link.FromLeg, record.Link.ToLeg = &from, &to
			}
		}
		if rapid.Bool().Draw(t, "has omission") {
			record.Omission = &ledger.Omission{At: anyTime.Draw(t, "o at"), Leg: anyLeg.Draw(t, "o leg"), Reason: rapid.String().Draw(t, "o reason")}
		}
		if rapid.Bool().Draw(t, "has opening") {
			record.Opening = &ledger.Opening{
				At: anyTime.Draw(t, "p at"), PrevEpoch: anyInteger.Draw(t, "p epoch"), PrevRoot: anyHex.Draw(t, "p root"), PrevSeq: anyInteger.Draw(t, "p seq"), Why: rapid.String().Draw(t, "why"),
			}
		}
		if rapid.Bool().Draw(t, "has beat") {
			record.Beat = &ledger.Beat{At: anyTime.Draw(t, "b at"), Closing: rapid.Bool().Draw(t, "b closing")}
			for range rapid.IntRange(0, 2).Draw(t, "waters") {
				record.Beat.HighWater = append(record.Beat.HighWater, ledger.HighWater{Boot: anyInteger.Draw(t, "w boot"), Sequence: anyInteger.Draw(t, "w seq")})
			}
		}
		return record
	})
	anyBoots = rapid.Custom(func(t *rapid.T) []ledger.BootRange {
		var boots []ledger.BootRange
		for range rapid.IntRange(0, 2).Draw(t, "boots") {
			boots = append(boots, ledger.BootRange{Boot: anyInteger.Draw(t, "boot"), Count: anyInteger.Draw(t, "count"), Highest: anyInteger.Draw(t, "highest"), Latest: anyTime.Draw(t, "latest"), Lowest: anyInteger.Draw(t, "lowest")})
		}
		return boots
	})
	anySigned = rapid.Custom(func(t *rapid.T) ledger.SignedSegment {
		return ledger.SignedSegment{
			Records: rapid.SliceOfN(anyRecord, 0, 3).Draw(t, "records"),
			Segment: ledger.Segment{
				Boots: anyBoots.Draw(t, "boots"), Closing: rapid.Bool().Draw(t, "closing"), NextBy: maybeTime.Draw(t, "next by"),
				ClosedAt: anyTime.Draw(t, "closed"), Count: anyInteger.Draw(t, "count"), Epoch: anyInteger.Draw(t, "epoch"), FirstSeq: anyInteger.Draw(t, "first"),
				MSP: rapid.String().Draw(t, "msp"), PBX: rapid.String().Draw(t, "pbx"), PrevFirstSeq: anyInteger.Draw(t, "prev first"), PrevRoot: anyHex.Draw(t, "prev"), Root: anyHex.Draw(t, "root"),
				Signer: anyHex.Draw(t, "signer"), V: rapid.IntRange(-9, 9).Draw(t, "v"),
			},
			Signature: rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "signature"),
		}
	})
)
