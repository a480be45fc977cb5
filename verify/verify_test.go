package verify_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

func at(second int) ledger.Time {
	return ledger.TimeOf(time.Date(2026, 3, 1, 9, 30, second, 250_000_000, time.UTC))
}

func endorsed() (*ledger.Call, *ledger.CallDetails) {
	return &ledger.Call{
			Start: at(0), Answer: at(2), End: at(30), DurationMS: 30_000, BillsecMS: 28_000, Disposition: "ANSWERED",
			Leg: ledger.LegID{LinkedID: "1.1", UniqueID: "1.2", Sequence: 3},
		}, &ledger.CallDetails{
			AccountCode: "acc", AMAFlags: "DOCUMENTATION", Channel: "PJSIP/a-1", CLID: `"A" <100>`, DContext: "in", Dst: "200", DstChannel: "PJSIP/b-1",
			LastApp: "Dial", LastData: "PJSIP/b", PeerAccount: "peer", Src: "100", UserField: "user",
		}
}

func TestRecording(t *testing.T) {
	found, err := verify.Digest(strings.NewReader("abc"))
	require.NoError(t, err)
	require.Equal(t, int64(3), found.Bytes)
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", found.SHA256)
	require.True(t, strings.HasPrefix(found.SHA512, "ddaf35a193617aba"))
	good := ledger.Recording{Bytes: found.Bytes, SHA256: found.SHA256, SHA512: found.SHA512}
	for name, c := range map[string]struct {
		change func(*ledger.Recording)
		fields []string
	}{
		"the same":     {func(*ledger.Recording) {}, nil},
		"bytes":        {func(r *ledger.Recording) { r.Bytes++ }, []string{"bytes"}},
		"sha256":       {func(r *ledger.Recording) { r.SHA256 = "00" }, []string{"sha256"}},
		"sha512":       {func(r *ledger.Recording) { r.SHA512 = "00" }, []string{"sha512"}},
		"another file": {func(r *ledger.Recording) { *r = ledger.Recording{} }, []string{"bytes", "sha256", "sha512"}},
	} {
		t.Run(name, func(t *testing.T) {
			other := good
			c.change(&other)
			var fields []string
			for _, difference := range verify.Recording(found, &other) {
				fields = append(fields, difference.Field)
				require.NotEqual(t, difference.Found, difference.Endorsed)
			}
			require.Equal(t, c.fields, fields)
		})
	}
	_, err = verify.Digest(iotest.ErrReader(bytes.ErrTooLarge))
	require.ErrorIs(t, err, bytes.ErrTooLarge)
}

func TestCDRFields(t *testing.T) {
	call, details := endorsed()
	public := verify.CDRFields(call, nil)
	require.Equal(t, map[string]string{
		"start": "2026-03-01T09:30:00Z", "answer": "2026-03-01T09:30:02Z", "end": "2026-03-01T09:30:30Z", "duration": "30", "billsec": "28",
		"disposition": "ANSWERED", "uniqueid": "1.2", "linkedid": "1.1", "sequence": "3",
	}, public)
	require.Len(t, verify.CDRFields(call, details), 21)
	details.Absent = []string{"userfield", "peeraccount"}
	fields := verify.CDRFields(call, details)
	require.Len(t, fields, 19)
	require.NotContains(t, fields, "userfield")
	call.Answer = ledger.Time{}
	require.Empty(t, verify.CDRFields(call, nil)["answer"])
}

func TestCDR(t *testing.T) {
	call, details := endorsed()
	whole := verify.CDRFields(call, details)
	require.Empty(t, verify.CDR(whole, call, details))
	require.Empty(t, verify.CDR(map[string]string{}, call, details), "what the row does not carry is not compared")
	for name, value := range whole {
		row := map[string]string{}
		for other, same := range whole {
			row[other] = same
		}
		row[name] = value + "x"
		require.Equal(t, []verify.Difference{{Field: name, Found: value + "x", Endorsed: value}}, verify.CDR(row, call, details))
		if _, public := verify.CDRFields(call, nil)[name]; !public {
			require.Empty(t, verify.CDR(row, call, nil), "%s cannot be judged without its disclosure", name)
		}
	}
	differences := verify.CDR(map[string]string{"uniqueid": "x", "answer": "x", "end": "x"}, call, nil)
	require.Len(t, differences, 3)
	require.Equal(t, "answer", differences[0].Field, "in order of name")
	require.Equal(t, "uniqueid", differences[2].Field)
}

func TestDetails(t *testing.T) {
	_, callDetails := endorsed()
	details := &ledger.Details{Call: callDetails, Salt: strings.Repeat("5a", 32), V: ledger.SchemaVersion}
	text, err := ledger.Canonical(details)
	require.NoError(t, err)
	record := &ledger.Record{Call: &ledger.Call{DetailsDigest: ledger.Digest(text)}}
	opened, err := verify.Details(text, record)
	require.NoError(t, err)
	require.Equal(t, details, opened)
	for name, c := range map[string]struct {
		text []byte
		says string
	}{
		"altered":             {bytes.Replace(text, []byte(`"src":"100"`), []byte(`"src":"101"`), 1), "do not hash"},
		"salt altered":        {bytes.Replace(text, []byte("5a5a"), []byte("5a5b"), 1), "do not hash"},
		"not JSON":            {[]byte("x"), "read the details"},
		"with another member": {bytes.Replace(text, []byte(`{`), []byte(`{"a":1,`), 1), "read the details"},
		"nothing":             {nil, "read the details"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify.Details(c.text, record)
			require.ErrorContains(t, err, c.says)
		})
	}
}

// BenchmarkCDR opens a leg's details and compares a row with what was endorsed.
func BenchmarkCDR(b *testing.B) {
	call, details := endorsed()
	disclosure := ledger.Details{Call: details, Salt: strings.Repeat("5a", 32), V: ledger.SchemaVersion}
	text, err := ledger.Canonical(&disclosure)
	require.NoError(b, err)
	call.DetailsDigest = ledger.Digest(text)
	record := ledger.Record{Call: call}
	row := verify.CDRFields(call, details)
	b.ReportAllocs()
	for b.Loop() {
		opened, err := verify.Details(text, &record)
		if err != nil {
			b.Fatal(err)
		}
		if differences := verify.CDR(row, call, opened.Call); len(differences) > 0 {
			b.Fatal(differences)
		}
	}
}
