package index

import (
	"context"
	"fmt"
	"slices"

	"github.com/callseal/callseal/gateway/fault"
)

// Entry is a value on the ledger, of a kind that is listed as it stands there.
type Entry struct {
	Kind     Kind
	MSP, PBX string
	// AtMS is the time that the list is in order of.
	AtMS          int64
	TransactionID string
	// Cursor is where it was written.
	Cursor Cursor
	// Value is canonical JSON.
	Value []byte
	ref   int64
}

// EntryFilter narrows a list of entries; zero members narrow nothing. What a kind
// does not have cannot be asked for.
type EntryFilter struct {
	// MSP and PBX are the owner's. A PBX needs its MSP.
	MSP, PBX string
	// Is is the kind's own word: an incident's or a device's kind, an omission's,
	// correction's or erasure's reason, a consent's or violation's status, the state
	// of an appeal.
	Is string
	// Status is a device's.
	Status string
	// PartyRef is a consent's or violation's party, Subject an opinion's or appeal's.
	PartyRef, Subject string
	// Against is who an appeal is against.
	Against string
	// AORRef and FingerprintRef are pseudonyms that a device has now.
	AORRef, FingerprintRef string
	// Broken wants only opinions whose writer broke its chain.
	Broken bool
	// At bounds the time that the list is in order of.
	At Span
}

// entryList is how a kind is listed.
type entryList struct {
	table, sort string
	// keys are the filters' columns that indexes answer, each run of them with the
	// sort column; rest are those looked at row by row.
	keys [][]string
	rest []string
	// columns are what the filters' members are called, where it is not their name.
	columns map[string]string
}

// entryLists are the kinds that are listed as they stand. "is" is the kind's own
// word.
var entryLists = map[Kind]entryList{
	KindIncident:     {"incidents", "at_ms", [][]string{{"msp", "pbx"}}, []string{"msp", "is"}, map[string]string{"is": "kind"}},
	KindViolation:    {"violations", "at_ms", [][]string{{"msp", "pbx"}}, []string{"msp", "is", "party_ref"}, map[string]string{"is": "status"}},
	KindOmission:     {"omissions", "at_ms", [][]string{{"msp", "pbx"}}, []string{"msp", "is"}, map[string]string{"is": "reason"}},
	KindProgress:     {"progress", "at_ms", [][]string{{"msp", "pbx"}}, []string{"msp", "is"}, map[string]string{"is": "state"}},
	KindDisagreement: {"disagreements", "at_ms", [][]string{{"msp", "pbx"}}, []string{"msp", "is"}, map[string]string{"is": "told_second"}},
	KindSegment:      {"segments", "anchored_ms", [][]string{{"msp", "pbx"}}, []string{"msp"}, nil},
	KindOpening:      {"openings", "at_ms", nil, []string{"msp", "pbx", "is"}, map[string]string{"is": "why"}},
	KindCorrection:   {"corrections", "at_ms", nil, []string{"msp", "pbx", "is"}, map[string]string{"is": "reason"}},
	KindDispute:      {"disputes", "at_ms", nil, []string{"msp"}, map[string]string{"msp": "raised_by"}},
	KindAdapter:      {"adapters", "enrolled_ms", nil, []string{"msp", "pbx"}, nil},
	KindHold:         {"holds", "at_ms", nil, []string{"msp", "pbx"}, nil},
	KindErasure:      {"erasures", "at_ms", nil, []string{"msp", "pbx", "is"}, map[string]string{"is": "reason"}},
	KindDevice:       {"devices", "at_ms", [][]string{{"msp"}, {"status"}}, []string{"msp", "status", "is"}, map[string]string{"is": "kind"}},
	KindConsent:      {"consents", "given_ms", [][]string{{"party_ref"}, {"msp", "pbx"}}, []string{"msp", "pbx", "is", "party_ref"}, map[string]string{"is": "status"}},
	KindOpinion:      {"opinions", "at_ms", nil, []string{"msp", "subject"}, nil},
	KindAppeal:       {"appeals", "at_ms", [][]string{{"against"}}, []string{"msp", "is", "against", "subject"}, map[string]string{"is": "state"}},
}

// EntryKinds are the kinds that Entries lists, sorted.
func EntryKinds() []Kind {
	var kinds []Kind
	for kind := range entryLists {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// Entries lists values of a kind by time.
func (x *Index) Entries(ctx context.Context, kind Kind, by EntryFilter, page Page) (*Listed[Entry], error) {
	how, known := entryLists[kind]
	if !known {
		return nil, fault.New(fault.Invalid, "there is no list of that kind: there are %v", EntryKinds())
	}
	f, err := how.filter(&by)
	if err != nil {
		return nil, err
	}
	page.Values = true
	l := how.list(kind)
	listed, err := l.run(ctx, x, page, f)
	if err != nil {
		return nil, err
	}
	for i := range listed.Rows {
		listed.Rows[i].Cursor = cursorOf(listed.Rows[i].ref)
	}
	return listed, nil
}

func (e *entryList) list(kind Kind) *list[Entry] {
	return &list[Entry]{
		name: string(kind) + "s", table: e.table, sort: e.sort, tie: "ref",
		columns: "t.ref, t." + e.sort + ", (SELECT c.kind FROM changes c WHERE c.ref = t.ref), (SELECT c.msp FROM changes c WHERE c.ref = t.ref), (SELECT c.pbx FROM changes c WHERE c.ref = t.ref), " +
			"(SELECT x.id FROM changes c JOIN transactions x ON x.ref = c.tx WHERE c.ref = t.ref)",
		fields: func(one *Entry) []any {
			return []any{&one.ref, &one.AtMS, &one.Kind, &one.MSP, &one.PBX, &one.TransactionID}
		},
		value: func(one *Entry) *[]byte { return &one.Value },
	}
}

func (e *entryList) filter(by *EntryFilter) (filter, error) {
	f := filter{question: fmt.Sprintf("%q", fmt.Sprint(*by))}
	f.between(by.At)
	if by.PBX != "" && by.MSP == "" {
		return f, fault.New(fault.Invalid, "a PBX is named within its operator: name the msp too")
	}
	wanted := map[string]string{
		"msp": by.MSP, "pbx": by.PBX, "is": by.Is, "status": by.Status, "party_ref": by.PartyRef, "subject": by.Subject, "against": by.Against,
	}
	column := func(name string) string {
		if other := e.columns[name]; other != "" {
			return other
		}
		return name
	}
	for _, run := range e.keys {
		if slices.ContainsFunc(run, func(name string) bool { return wanted[name] == "" }) {
			continue
		}
		for _, name := range run {
			f.with(&f.key, column(name), wanted[name])
			delete(wanted, name)
		}
		break
	}
	for _, name := range []string{"msp", "pbx", "is", "status", "party_ref", "subject", "against"} {
		if wanted[name] == "" {
			continue
		}
		if !slices.Contains(e.rest, name) {
			return f, fault.New(fault.Invalid, "this list cannot be narrowed by %s", name)
		}
		f.with(&f.rest, column(name), wanted[name])
	}
	if by.Broken {
		f.key = append(f.key, condition{text: "t.broken > 0"})
	}
	for kind, ref := range map[string]string{refAOR: by.AORRef, refFingerprint: by.FingerprintRef} {
		if ref != "" {
			f.key = append(f.key, condition{"t.ref IN (SELECT d.ref FROM device_refs r JOIN devices d ON d.msp = r.msp AND d.id = r.id AND d.n = r.n WHERE r.kind = '" + kind + "' AND r.pseudonym = ?)", ref})
		}
	}
	if by.Broken && e.table != "opinions" || (by.AORRef+by.FingerprintRef != "") && e.table != "devices" {
		return f, fault.New(fault.Invalid, "this list cannot be narrowed so")
	}
	return f, nil
}
