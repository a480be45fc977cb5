package ledger

import (
	"crypto/sha256"
	"slices"
)

// Object types of the governance chaincode.
const (
	TypePolicy        = "policy"
	TypePolicyVersion = "policy-version"
	TypeBallot        = "ballot"
	TypeAgenda        = "agenda"
)

// MaxPolicyBytes bounds a policy document in its canonical form: every peer reads
// it with every transaction that the document governs.
const MaxPolicyBytes = 64 << 10

// PolicyKey is the key of the document in force, a PolicyVersion: policy ⟨name⟩.
func PolicyKey(name string) string { return CompositeKey(TypePolicy, name) }

// PolicyVersionKey is the key of one version and how it came about, an Enactment:
// policy-version ⟨name, version⟩.
func PolicyVersionKey(name string, version int64) string {
	return CompositeKey(TypePolicyVersion, name, keyNumber(version))
}

// BallotKey is the key of a document that was put to the vote, a Ballot:
// ballot ⟨name, version, digest⟩.
func BallotKey(name string, version int64, digest string) string {
	return CompositeKey(TypeBallot, name, keyNumber(version), digest)
}

// AgendaKey is the key of the votes on a document's next version, an Agenda:
// agenda ⟨name⟩. All votes on it meet in this one value, so of two that come at once
// one is refused by the peers and made again; none is lost.
func AgendaKey(name string) string { return CompositeKey(TypeAgenda, name) }

// Ballot is a policy document that was put to the vote.
type Ballot struct {
	// Digest is the SHA-256 of the canonical policy, hexadecimal. A vote names it, so
	// nobody votes for other content than he saw.
	Digest string `json:"digest"`
	// Name is the document's.
	Name   string `json:"name"`
	Policy Policy `json:"policy"`
	// ProposedAt is the transaction's time.
	ProposedAt Time `json:"proposed_at"`
	// Proposer is the MSP of the operator that proposed it.
	Proposer string `json:"proposer"`
	TxID     string `json:"tx_id"`
	V        int    `json:"v"`
	// Version is the one that it would become.
	Version int64 `json:"version"`
}

// Vote is an operator's vote: a transaction that its admin signed.
type Vote struct {
	// At is the transaction's time.
	At   Time   `json:"at"`
	MSP  string `json:"msp"`
	TxID string `json:"tx_id"`
}

// Tally is the votes for one ballot, in the order they came.
type Tally struct {
	Digest string `json:"digest"`
	Votes  []Vote `json:"votes"`
}

// Agenda is what is put to the vote for a document's next version. An operator has
// one vote for a version, so there are no more ballots than operators.
type Agenda struct {
	Ballots []Tally `json:"ballots"`
	Name    string  `json:"name"`
	V       int     `json:"v"`
	Version int64   `json:"version"`
}

// Tally finds a ballot; nil where it is not on the agenda.
func (a *Agenda) Tally(digest string) *Tally {
	for i := range a.Ballots {
		if a.Ballots[i].Digest == digest {
			return &a.Ballots[i]
		}
	}
	return nil
}

// VoteOf is the digest of the ballot that an operator voted for; empty for none.
func (a *Agenda) VoteOf(msp string) string {
	for _, tally := range a.Ballots {
		if slices.ContainsFunc(tally.Votes, func(vote Vote) bool { return vote.MSP == msp }) {
			return tally.Digest
		}
	}
	return ""
}

// Cast adds a vote.
func (a *Agenda) Cast(digest string, vote Vote) {
	tally := a.Tally(digest)
	if tally == nil {
		a.Ballots = append(a.Ballots, Tally{Digest: digest})
		tally = &a.Ballots[len(a.Ballots)-1]
	}
	tally.Votes = append(tally.Votes, vote)
}

// Withdraw takes an operator's vote back. A ballot that nobody votes for is off the
// agenda.
func (a *Agenda) Withdraw(msp string) {
	for i := range a.Ballots {
		a.Ballots[i].Votes = slices.DeleteFunc(a.Ballots[i].Votes, func(vote Vote) bool { return vote.MSP == msp })
	}
	a.Ballots = slices.DeleteFunc(a.Ballots, func(tally Tally) bool { return len(tally.Votes) == 0 })
}

// Enactment is one version of a policy document and how it came about.
type Enactment struct {
	// EnactedAt is the time of the transaction with the vote that decided, TxID that
	// transaction. They are left out of version 0, which is built in.
	EnactedAt Time `json:"enacted_at,omitzero"`
	// Digest is the SHA-256 of the canonical policy, hexadecimal.
	Digest   string `json:"digest"`
	Name     string `json:"name"`
	Policy   Policy `json:"policy"`
	Proposer string `json:"proposer,omitzero"`
	TxID     string `json:"tx_id,omitzero"`
	V        int    `json:"v"`
	Version  int64  `json:"version"`
	Votes    []Vote `json:"votes"`
}

// BallotState is a ballot and how it stands.
type BallotState struct {
	Ballot Ballot `json:"ballot"`
	// Electorate is who decides, by the consortium in force.
	Electorate Electorate `json:"electorate"`
	// Enacted says that it has the votes: the document is in force from this
	// transaction on.
	Enacted bool   `json:"enacted"`
	V       int    `json:"v"`
	Votes   []Vote `json:"votes"`
}

// Electorate is who decides on a document.
type Electorate struct {
	// Joining are operators that the document would make members: it needs the vote
	// of each.
	Joining []string `json:"joining"`
	// Operators have a vote each, and Needed is how many votes of theirs it takes.
	Needed    int64    `json:"needed"`
	Operators []string `json:"operators"`
}

// ElectorateOf says who decides on a document under the consortium in force; nil
// where the operators have not founded one. They found it by voting, all of them,
// for the document that lists them; before that nothing else can be voted on.
func ElectorateOf(inForce *ConsortiumPolicy, document *Policy) (Electorate, error) {
	proposed := document.Consortium
	switch {
	case inForce == nil && proposed == nil:
		return Electorate{}, Errorf(CodeState, "the operators have not founded their consortium yet: propose the document %q first", PolicyConsortium)
	case inForce == nil:
		return Electorate{Joining: []string{}, Needed: int64(len(proposed.Operators)), Operators: proposed.Operators}, nil
	}
	electorate := Electorate{Joining: []string{}, Needed: inForce.Votes, Operators: inForce.Operators}
	if proposed != nil {
		for _, msp := range proposed.Operators {
			if !slices.Contains(inForce.Operators, msp) {
				electorate.Joining = append(electorate.Joining, msp)
			}
		}
	}
	return electorate, nil
}

// Has says whether an operator votes on the document.
func (e Electorate) Has(msp string) bool {
	return slices.Contains(e.Operators, msp) || slices.Contains(e.Joining, msp)
}

// Decides says whether the votes are enough. Votes of operators that are no longer
// members do not count.
func (e Electorate) Decides(votes []Vote) bool {
	var members int64
	joining := 0
	for _, vote := range votes {
		if slices.Contains(e.Operators, vote.MSP) {
			members++
		}
		if slices.Contains(e.Joining, vote.MSP) {
			joining++
		}
	}
	return members >= e.Needed && joining == len(e.Joining)
}

// CheckPolicyName answers CodeInvalid unless there is a policy document by that
// name.
func CheckPolicyName(name string) error {
	if !slices.Contains(PolicyNames(), name) {
		return Errorf(CodeInvalid, "no policy document has that name: there are %v", PolicyNames())
	}
	return nil
}

// CheckBallot answers CodeInvalid unless the values can name a ballot.
func CheckBallot(name string, version int64, digest string) error {
	if err := CheckPolicyName(name); err != nil {
		return err
	}
	if version < 1 || version > MaxInteger {
		return Errorf(CodeInvalid, "version is %d, it must lie between 1 and 2^53-1", version)
	}
	return CheckHex("digest", digest, sha256.Size)
}
