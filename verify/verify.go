// Package verify checks recordings and CDRs against what the operators endorsed.
// It needs no network and trusts nobody: its callers bring the ledger's records,
// it recomputes and compares.
package verify

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"sort"
	"strconv"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Digests identify a file.
type Digests struct {
	SHA256 string `json:"sha256"`
	SHA512 string `json:"sha512"`
	// Bytes is the file's size.
	Bytes int64 `json:"bytes"`
}

// Digest reads a recording once and answers its digests, in flat memory.
func Digest(file io.Reader) (Digests, error) {
	short, long := sha256.New(), sha512.New()
	n, err := io.Copy(io.MultiWriter(short, long), file)
	if err != nil {
		return Digests{}, fmt.Errorf("read the recording: %w", err)
	}
	return Digests{SHA256: hex.EncodeToString(short.Sum(nil)), SHA512: hex.EncodeToString(long.Sum(nil)), Bytes: n}, nil
}

// Difference is one thing that is not as endorsed, in words for people.
type Difference struct {
	// Field is a CDR column, or "sha256", "sha512", "bytes" of a recording.
	Field string `json:"field"`
	// Found is what the file says, Endorsed what the operators endorsed.
	Found    string `json:"found"`
	Endorsed string `json:"endorsed"`
}

// Recording compares a file's digests with an endorsed recording. None differ
// when the file is the one that was made.
func Recording(found Digests, endorsed *ledger.Recording) []Difference {
	var differences []Difference
	for _, pair := range []Difference{
		{"bytes", strconv.FormatInt(found.Bytes, 10), strconv.FormatInt(endorsed.Bytes, 10)},
		{"sha256", found.SHA256, endorsed.SHA256},
		{"sha512", found.SHA512, endorsed.SHA512},
	} {
		if pair.Found != pair.Endorsed {
			differences = append(differences, pair)
		}
	}
	return differences
}

// Details opens a disclosure: canonical details, with their salt, that must hash
// to the digest the operators endorsed. An error says that they do not, and then
// nothing may be concluded from them.
func Details(disclosed []byte, endorsed *ledger.Record) (*ledger.Details, error) {
	details := &ledger.Details{}
	if err := ledger.DecodeStrict(disclosed, details); err != nil {
		return nil, fmt.Errorf("read the details: %w", err)
	}
	digest, err := details.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest the details: %w", err)
	}
	if digest != endorsed.DetailsDigest() {
		return nil, fmt.Errorf("the details disclosed do not hash to the digest the operators endorsed: they are those of another record, or were altered")
	}
	return details, nil
}

// timeFormat is how CDR times compare: a CDR counts whole seconds.
const timeFormat = "2006-01-02T15:04:05Z"

// CDRFields are an endorsed leg's CDR columns as canonical text, by Asterisk's
// names. Without details only the columns that all operators see are there.
func CDRFields(call *ledger.Call, details *ledger.CallDetails) map[string]string {
	fields := map[string]string{
		"start": cdrTime(call.Start), "answer": cdrTime(call.Answer), "end": cdrTime(call.End),
		"duration": seconds(call.DurationMS), "billsec": seconds(call.BillsecMS),
		"disposition": call.Disposition,
		"uniqueid":    call.Leg.UniqueID, "linkedid": call.Leg.LinkedID,
		"sequence": strconv.FormatInt(call.Leg.Sequence, 10),
	}
	if details == nil {
		return fields
	}
	for name, value := range map[string]string{
		"accountcode": details.AccountCode, "amaflags": details.AMAFlags, "channel": details.Channel,
		"clid": details.CLID, "dcontext": details.DContext, "dst": details.Dst, "dstchannel": details.DstChannel,
		"lastapp": details.LastApp, "lastdata": details.LastData, "peeraccount": details.PeerAccount,
		"src": details.Src, "userfield": details.UserField,
	} {
		fields[name] = value
	}
	for _, name := range details.Absent {
		delete(fields, name)
	}
	return fields
}

// CDR compares a CDR row's columns, as canonical text, with an endorsed leg.
// Columns that one side does not carry are not compared. The differences are in
// order of column name.
func CDR(found map[string]string, call *ledger.Call, details *ledger.CallDetails) []Difference {
	var differences []Difference
	for name, endorsed := range CDRFields(call, details) {
		if value, carried := found[name]; carried && value != endorsed {
			differences = append(differences, Difference{Field: name, Found: value, Endorsed: endorsed})
		}
	}
	sort.Slice(differences, func(i, j int) bool { return differences[i].Field < differences[j].Field })
	return differences
}

func cdrTime(t ledger.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Std().Truncate(time.Second).Format(timeFormat)
}

func seconds(ms int64) string { return strconv.FormatInt(ms/1000, 10) }
