package ledger

import "slices"

// TypeDisagreement is the object type of disagreements between a PBX's sources.
const TypeDisagreement = "disagreement"

// sharedColumns are the columns of a CDR whose values all operators may see.
var sharedColumns = []string{"answer", "billsec", "disposition", "duration", "end", "start"}

// personalColumns are those of which only the name may be told.
var personalColumns = []string{
	"accountcode", "amaflags", "channel", "clid", "dcontext", "dst", "dstchannel", "lastapp", "lastdata", "peeraccount", "src", "userfield",
}

// Disagreement says that two sources of one PBX tell a leg differently: the CDR
// file and the table, for instance, of which somebody edited one; or that one source
// tells it differently later. The leg stands as it was told first; the contract
// records an incident that names both.
type Disagreement struct {
	// At is when the adapter noticed, by the PBX's clock.
	At Time `json:"at"`
	// Differences are in order of their columns, each named once.
	Differences []ColumnDifference `json:"differences"`
	// First is the source as which the leg was anchored: "ami", "csv" or "table".
	First string `json:"first"`
	// Leg is the leg.
	Leg LegID `json:"leg"`
	// Second is the source that tells it otherwise; First itself where its own word
	// changed.
	Second string `json:"second"`
}

// ColumnDifference is one column that two sources tell differently.
type ColumnDifference struct {
	// Column is its name in Asterisk's CDR.
	Column string `json:"column"`
	// First and Second are what the two say, in the form of verify's columns; absent
	// for a personal column, and where a source says nothing.
	First  string `json:"first,omitzero"`
	Second string `json:"second,omitzero"`
}

// SharedColumn says whether all operators may see what a column says.
func SharedColumn(name string) bool { return slices.Contains(sharedColumns, name) }

// DisagreementKey is the key of a disagreement, one for each source that tells a
// leg otherwise: disagreement ⟨msp, pbx, linkedid, uniqueid, sequence, second⟩.
func DisagreementKey(msp, pbx string, leg LegID, second string) string {
	return CompositeKey(TypeDisagreement, msp, pbx, leg.LinkedID, leg.UniqueID, keyNumber(leg.Sequence), second)
}

type disagreementContent struct{ *Disagreement }

func (c disagreementContent) key(r *Record) string {
	return DisagreementKey(r.MSP, r.PBX, c.Leg, c.Second)
}
func (c disagreementContent) indexes(*Record) []string { return nil }
func (c disagreementContent) moment() Time             { return c.At }
func (c disagreementContent) leg() LegID               { return c.Leg }

func (c disagreementContent) check(*Record) error {
	if err := c.Leg.Check(); err != nil {
		return err
	}
	if err := checkSources(c.First, c.Second); err != nil {
		return err
	}
	if len(c.Differences) == 0 {
		return Errorf(CodeInvalid, "a disagreement names at least one column that differs")
	}
	for i, difference := range c.Differences {
		if i > 0 && c.Differences[i-1].Column >= difference.Column {
			return Errorf(CodeInvalid, "the differences must be in order of their columns, each named once")
		}
		if err := difference.check(); err != nil {
			return err
		}
	}
	return checkMoment("at", c.At)
}

func checkSources(first, second string) error {
	for _, source := range []struct{ field, value string }{{"first", first}, {"second", second}} {
		if source.value == "" {
			return Errorf(CodeInvalid, "%s must name a source, such as csv", source.field)
		}
		if err := checkLabel(source.field, source.value); err != nil {
			return err
		}
	}
	return nil
}

func (d *ColumnDifference) check() error {
	if slices.Contains(personalColumns, d.Column) {
		if d.First != "" || d.Second != "" {
			return Errorf(CodeInvalid, "what the column %s says is personal: name the column alone", d.Column)
		}
		return nil
	}
	if !SharedColumn(d.Column) {
		return Errorf(CodeInvalid, "%d characters name no column of a CDR that may differ", len(d.Column))
	}
	if d.First == d.Second {
		return Errorf(CodeInvalid, "the column %s does not differ", d.Column)
	}
	for _, value := range []string{d.First, d.Second} {
		if err := checkLabel(d.Column, value); err != nil {
			return err
		}
	}
	return nil
}
