package contract

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Governance is the contract "governance" of the governance chaincode: policy
// documents, versioned, that the operators vote on. What a peer endorses is what
// its chaincode allows, so a strict endorsement policy would not keep one operator's
// admin from changing the rules: each vote is a transaction that an operator's own
// admin signed. The endorsement policy, for its part, keeps a minority with altered
// chaincodes from counting votes that were not cast.
type Governance struct{ contractapi.Contract }

// GetEvaluateTransactions names the functions that only read.
func (*Governance) GetEvaluateTransactions() []string {
	return []string{"Current", "History", "Pending", "Version"}
}

// Propose puts a policy document, a ledger.Policy, to the vote as the next version
// of it, with the vote of the caller, who is an admin of an operator of the
// consortium in force, or of one that the document would make a member. The policy
// comes as an argument or as transient data.
//
// It answers a ledger.BallotState. Errors: INVALID_ARGUMENT, TOO_LARGE,
// PERMISSION_DENIED, ALREADY_EXISTS for a document that is on the agenda or in
// force, FAILED_PRECONDITION while the operator's vote is with another ballot, or
// before the consortium is founded.
func (*Governance) Propose(ctx contractapi.TransactionContextInterface, policy string) (string, error) {
	who, at, err := voter(ctx)
	if err != nil {
		return "", err
	}
	given, err := input(ctx, "policy", policy)
	if err != nil {
		return "", err
	}
	document, digest, err := readPolicy(given)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	m, err := openMotion(stub, document.Name())
	if err != nil {
		return "", err
	}
	electorate, err := m.electorate(who, document)
	if err != nil {
		return "", err
	}
	if own := m.agenda.VoteOf(who.msp); own == digest || m.agenda.Tally(digest) != nil {
		return "", ledger.Errorf(ledger.CodeExists, "this document is on the agenda as version %d: vote for digest %s", m.agenda.Version, digest)
	} else if own != "" {
		return "", votesElsewhere(m.agenda.Version, own)
	}
	if m.current != nil {
		inForce, err := m.current.Policy.Digest()
		if err != nil {
			return "", err
		}
		if inForce == digest {
			return "", ledger.Errorf(ledger.CodeExists, "this document is in force as version %d", m.current.Version)
		}
	}
	ballot := &ledger.Ballot{
		Digest: digest, Name: m.name, Policy: *document, ProposedAt: at, Proposer: who.msp,
		TxID: stub.GetTxID(), V: ledger.SchemaVersion, Version: m.agenda.Version,
	}
	// One that all votes were withdrawn from is proposed anew.
	if err := m.write(ledger.BallotKey(ballot.Name, ballot.Version, digest), ballot); err != nil {
		return "", err
	}
	return m.cast(stub, who, at, ballot, electorate)
}

// Vote casts the vote of the caller's operator for a ballot, named by the
// document's name, the version it would become and its digest. The caller is an
// admin. The vote that completes the number puts the document in force.
//
// It answers a ledger.BallotState. Errors: INVALID_ARGUMENT, PERMISSION_DENIED,
// NOT_FOUND for what is not on the agenda, ALREADY_EXISTS for a second vote,
// FAILED_PRECONDITION for a version that is in force already, or while the vote is
// with another ballot.
func (*Governance) Vote(ctx contractapi.TransactionContextInterface, name string, version int64, digest string) (string, error) {
	who, at, err := voter(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	m, ballot, err := onAgenda(stub, name, version, digest)
	if err != nil {
		return "", err
	}
	electorate, err := m.electorate(who, &ballot.Policy)
	if err != nil {
		return "", err
	}
	switch own := m.agenda.VoteOf(who.msp); own {
	case "":
		return m.cast(stub, who, at, ballot, electorate)
	case digest:
		return "", ledger.Errorf(ledger.CodeExists, "%s has voted for this document", who.msp)
	default:
		return "", votesElsewhere(version, own)
	}
}

// Withdraw takes back the vote of the caller's operator for a ballot that is not
// decided. The caller is an admin. A ballot without votes is off the agenda.
//
// It answers a ledger.BallotState. Errors: as of Vote, with FAILED_PRECONDITION
// where the operator has not voted for the ballot.
func (*Governance) Withdraw(ctx contractapi.TransactionContextInterface, name string, version int64, digest string) (string, error) {
	who, _, err := voter(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	m, ballot, err := onAgenda(stub, name, version, digest)
	if err != nil {
		return "", err
	}
	if m.agenda.VoteOf(who.msp) != digest {
		return "", ledger.Errorf(ledger.CodeState, "%s has not voted for this document", who.msp)
	}
	electorate, err := ledger.ElectorateOf(m.consortium, &ballot.Policy)
	if err != nil {
		return "", err
	}
	m.agenda.Withdraw(who.msp)
	if err := m.write(ledger.AgendaKey(m.name), m.agenda); err != nil {
		return "", err
	}
	if err := put(stub, m.writes); err != nil {
		return "", err
	}
	votes := []ledger.Vote{}
	if tally := m.agenda.Tally(digest); tally != nil {
		votes = tally.Votes
	}
	return text(&ledger.BallotState{Ballot: *ballot, Electorate: electorate, V: ledger.SchemaVersion, Votes: votes})
}

// Current answers the document in force by that name, a ledger.PolicyVersion:
// version 0 is the built-in default, which holds where none was voted for.
// NOT_FOUND for the document "consortium" before it is founded.
func (*Governance) Current(ctx contractapi.TransactionContextInterface, name string) (string, error) {
	if err := ledger.CheckPolicyName(name); err != nil {
		return "", err
	}
	stored, err := ctx.GetStub().GetState(ledger.PolicyKey(name))
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if stored != nil {
		return string(stored), nil
	}
	standard, err := ledger.DefaultPolicy(name)
	if err != nil {
		return "", err
	}
	return text(standard)
}

// Version answers one version of a document and who voted for it, a
// ledger.Enactment; version 0 is the built-in default. NOT_FOUND where there is no
// such version.
func (*Governance) Version(ctx contractapi.TransactionContextInterface, name string, version int64) (string, error) {
	if err := ledger.CheckPolicyName(name); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("version", version); err != nil {
		return "", err
	}
	if version > 0 {
		stored, err := get(ctx.GetStub(), ledger.PolicyVersionKey(name, version), "the document has no such version")
		return string(stored), err
	}
	standard, err := ledger.DefaultPolicy(name)
	if err != nil {
		return "", err
	}
	digest, err := standard.Policy.Digest()
	if err != nil {
		return "", err
	}
	return text(&ledger.Enactment{Digest: digest, Name: name, Policy: standard.Policy, V: ledger.SchemaVersion, Votes: []ledger.Vote{}})
}

// History answers every version that was voted for, in order, as a JSON array of
// ledger.Enactment; of more than a thousand the newest.
func (*Governance) History(ctx contractapi.TransactionContextInterface, name string) (string, error) {
	if err := ledger.CheckPolicyName(name); err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	var current ledger.PolicyVersion
	if found, err := load(stub, ledger.PolicyKey(name), &current); err != nil || !found {
		return "[]", err
	}
	var keys []string
	for version := max(1, current.Version-maxListed+1); version <= current.Version; version++ {
		keys = append(keys, ledger.PolicyVersionKey(name, version))
	}
	versions, err := stub.GetMultipleStates(keys...)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	return listText(versions), nil
}

// Pending answers what is on the agenda of all documents, as a JSON array of
// ledger.BallotState.
func (*Governance) Pending(ctx contractapi.TransactionContextInterface) (string, error) {
	stub := ctx.GetStub()
	pending := []ledger.BallotState{}
	for _, name := range ledger.PolicyNames() {
		m, err := openMotion(stub, name)
		if err != nil {
			return "", err
		}
		for _, tally := range m.agenda.Ballots {
			ballot, err := m.ballot(stub, tally.Digest)
			if err != nil {
				return "", err
			}
			electorate, err := ledger.ElectorateOf(m.consortium, &ballot.Policy)
			if err != nil {
				return "", err
			}
			pending = append(pending, ledger.BallotState{Ballot: *ballot, Electorate: electorate, V: ledger.SchemaVersion, Votes: tally.Votes})
		}
	}
	return text(pending)
}

// voter is an operator's admin, and the transaction's time.
func voter(ctx contractapi.TransactionContextInterface) (caller, ledger.Time, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return caller{}, ledger.Time{}, err
	}
	if err := who.mayActFor(who.msp, ledger.RoleAdmin); err != nil {
		return caller{}, ledger.Time{}, err
	}
	at, err := now(ctx)
	return who, at, err
}

// readPolicy reads a document that is to be put to the vote, and its digest.
func readPolicy(given []byte) (*ledger.Policy, string, error) {
	var document ledger.Policy
	if err := ledger.DecodeStrict(given, &document); err != nil {
		return nil, "", err
	}
	if err := ledger.CheckWritten("the policy", document.V); err != nil {
		return nil, "", err
	}
	if err := document.Check(); err != nil {
		return nil, "", err
	}
	canonical, err := encode(&document)
	if err != nil {
		return nil, "", err
	}
	if len(canonical) > ledger.MaxPolicyBytes {
		return nil, "", ledger.Errorf(ledger.CodeTooLarge, "the policy has %d bytes, at most %d are allowed", len(canonical), ledger.MaxPolicyBytes)
	}
	return &document, ledger.Digest(canonical), nil
}

// votesElsewhere says that an operator has one vote for a version.
func votesElsewhere(version int64, digest string) error {
	return ledger.Errorf(ledger.CodeState, "your operator's vote for version %d is with the ballot %s: withdraw it first", version, digest)
}

// motion is a document and what is on its agenda.
type motion struct {
	name string
	// current is the version in force that was voted for; nil for none.
	current *ledger.PolicyVersion
	// consortium is the consortium in force; nil before it is founded.
	consortium *ledger.ConsortiumPolicy
	agenda     *ledger.Agenda
	writes     []write
}

// openMotion reads a document's state.
func openMotion(stub shim.ChaincodeStubInterface, name string) (*motion, error) {
	m := &motion{name: name, agenda: &ledger.Agenda{Ballots: []ledger.Tally{}, Name: name, V: ledger.SchemaVersion}}
	var current ledger.PolicyVersion
	found, err := load(stub, ledger.PolicyKey(name), &current)
	if err != nil {
		return nil, err
	}
	if found {
		m.current = &current
	}
	if name == ledger.PolicyConsortium {
		m.consortium = current.Policy.Consortium
	} else {
		var consortium ledger.PolicyVersion
		if _, err := load(stub, ledger.PolicyKey(ledger.PolicyConsortium), &consortium); err != nil {
			return nil, err
		}
		m.consortium = consortium.Policy.Consortium
	}
	if _, err := load(stub, ledger.AgendaKey(name), m.agenda); err != nil {
		return nil, err
	}
	m.agenda.Version = current.Version + 1
	return m, nil
}

// onAgenda reads a document's state and a ballot that is on its agenda.
func onAgenda(stub shim.ChaincodeStubInterface, name string, version int64, digest string) (*motion, *ledger.Ballot, error) {
	if err := ledger.CheckBallot(name, version, digest); err != nil {
		return nil, nil, err
	}
	m, err := openMotion(stub, name)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case version < m.agenda.Version:
		return nil, nil, ledger.Errorf(ledger.CodeState, "version %d of this document was decided: version %d is in force", version, m.agenda.Version-1)
	case version > m.agenda.Version || m.agenda.Tally(digest) == nil:
		return nil, nil, ledger.Errorf(ledger.CodeNotFound, "no such ballot is on the agenda: propose the document first")
	}
	ballot, err := m.ballot(stub, digest)
	return m, ballot, err
}

// electorate is who decides on a document; the caller's operator must be of it.
func (m *motion) electorate(who caller, document *ledger.Policy) (ledger.Electorate, error) {
	electorate, err := ledger.ElectorateOf(m.consortium, document)
	if err != nil {
		return ledger.Electorate{}, err
	}
	if !electorate.Has(who.msp) {
		return ledger.Electorate{}, ledger.Errorf(ledger.CodeDenied, "%s has no vote on this document: the operators of the consortium have, and those that it would make members", who.msp)
	}
	return electorate, nil
}

// ballot reads a ballot that the agenda names.
func (m *motion) ballot(stub shim.ChaincodeStubInterface, digest string) (*ledger.Ballot, error) {
	var ballot ledger.Ballot
	found, err := load(stub, ledger.BallotKey(m.name, m.agenda.Version, digest), &ballot)
	if err == nil && !found {
		err = ledger.Errorf(ledger.CodeInternal, "a ballot that is on the agenda is not on the ledger")
	}
	return &ballot, err
}

// cast adds a vote, enacts the document where that is enough, and writes it all.
func (m *motion) cast(stub shim.ChaincodeStubInterface, who caller, at ledger.Time, ballot *ledger.Ballot, electorate ledger.Electorate) (string, error) {
	m.agenda.Cast(ballot.Digest, ledger.Vote{At: at, MSP: who.msp, TxID: stub.GetTxID()})
	state := &ledger.BallotState{Ballot: *ballot, Electorate: electorate, V: ledger.SchemaVersion, Votes: m.agenda.Tally(ballot.Digest).Votes}
	state.Enacted = electorate.Decides(state.Votes)
	if state.Enacted {
		enactment := &ledger.Enactment{
			EnactedAt: at, Digest: ballot.Digest, Name: m.name, Policy: ballot.Policy, Proposer: ballot.Proposer,
			TxID: stub.GetTxID(), V: ledger.SchemaVersion, Version: ballot.Version, Votes: state.Votes,
		}
		if err := m.write(ledger.PolicyVersionKey(m.name, ballot.Version), enactment); err != nil {
			return "", err
		}
		current := &ledger.PolicyVersion{Name: m.name, Policy: ballot.Policy, V: ledger.SchemaVersion, Version: ballot.Version}
		if err := m.write(ledger.PolicyKey(m.name), current); err != nil {
			return "", err
		}
		// What else was on the agenda was for the version that is decided now.
		m.agenda.Ballots, m.agenda.Version = []ledger.Tally{}, ballot.Version+1
	}
	if err := m.write(ledger.AgendaKey(m.name), m.agenda); err != nil {
		return "", err
	}
	if err := put(stub, m.writes); err != nil {
		return "", err
	}
	return text(state)
}

// write notes a value to be written.
func (m *motion) write(key string, v any) error {
	value, err := encode(v)
	if err == nil {
		m.writes = append(m.writes, write{key: key, value: value})
	}
	return err
}
