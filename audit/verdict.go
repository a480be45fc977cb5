package audit

import (
	"fmt"
	"strings"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

// Outcome is what an audit came to.
type Outcome string

// The outcomes, and the exit codes of `callseal verify` that go with them.
const (
	// Intact: everything compared is as endorsed. Exit 0.
	Intact Outcome = "intact"
	// Altered: something differs from what was endorsed. Exit 1.
	Altered Outcome = "altered"
	// Undecided: the ledger could not be asked, or does not know. Exit 2.
	Undecided Outcome = "undecided"
)

// Verdict is an audit's answer.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	// Asked says whose word on the ledger this rests on.
	Asked string `json:"asked"`
	// Findings are what was compared, in order.
	Findings []Finding `json:"findings"`
}

// Finding is what became of one file or row.
type Finding struct {
	Outcome Outcome `json:"outcome"`
	// Subject is what was looked at: "recording", "cdr".
	Subject string `json:"subject"`
	// File is where it was.
	File string `json:"file"`
	// Statement is the finding in a sentence.
	Statement string `json:"statement"`
	// Differences name what is not as endorsed.
	Differences []verify.Difference `json:"differences,omitempty"`
	// Notes say what was not checked, and what else is known.
	Notes []string `json:"notes,omitempty"`
	// Place and Leg are those of the endorsed record.
	MSP string        `json:"msp,omitempty"`
	PBX string        `json:"pbx,omitempty"`
	Leg *ledger.LegID `json:"leg,omitempty"`
	// Recording is the endorsed recording.
	Recording *ledger.Recording `json:"recording,omitempty"`
	// Endorsement says who endorsed what the file was compared with.
	Endorsement *Endorsement `json:"endorsement,omitempty"`
}

// ExitCode is the process exit code for the outcome.
func (o Outcome) ExitCode() int {
	switch o {
	case Intact:
		return 0
	case Altered:
		return 1
	default:
		return 2
	}
}

// conclude is altered if anything is, undecided if nothing was decided or
// something could not be, else intact.
func conclude(findings []Finding) Outcome {
	outcome := Undecided
	for i, finding := range findings {
		switch {
		case finding.Outcome == Altered:
			return Altered
		case i == 0:
			outcome = finding.Outcome
		case finding.Outcome == Undecided:
			outcome = Undecided
		}
	}
	return outcome
}

// about fills in whose record the finding is about.
func (f *Finding) about(record *ledger.Record, endorsement *Endorsement) {
	leg := record.Leg()
	f.MSP, f.PBX, f.Leg, f.Recording, f.Endorsement = record.MSP, record.PBX, &leg, record.Recording, endorsement
}

// namedFields lists the columns that differ, for a sentence.
func namedFields(differences []verify.Difference) string {
	names := make([]string, len(differences))
	for i, difference := range differences {
		names[i] = difference.Field
	}
	switch len(names) {
	case 1:
		return names[0]
	default:
		return fmt.Sprintf("%s and %s", strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
	}
}
