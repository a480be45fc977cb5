package index

import "github.com/callseal/callseal/chaincode/ledger"

func policyRows(b *batch, w *write) error {
	var p ledger.PolicyVersion
	if err := decode(w, &p, func(p *ledger.PolicyVersion) int { return p.V }, func(p *ledger.PolicyVersion) string { return ledger.PolicyKey(p.Name) }); err != nil {
		return err
	}
	if p.Policy.Name() != p.Name {
		return errDifferentKey
	}
	if err := p.Policy.Check(); err != nil {
		return err //nolint:wrapcheck // it is kept as it is
	}
	if p.Name == ledger.PolicyReputation || p.Name == ledger.PolicyPseudonyms {
		b.rescore = true
	}
	return b.put(policyTable, p.Name, w.ref, p.Version)
}

func policyVersionRows(b *batch, w *write) error {
	var e ledger.Enactment
	err := decode(w, &e, func(e *ledger.Enactment) int { return e.V }, func(e *ledger.Enactment) string { return ledger.PolicyVersionKey(e.Name, e.Version) })
	if err != nil {
		return err
	}
	return b.put(policyVersionTable, e.Name, e.Version, w.ref, ms(e.EnactedAt), e.Digest, e.Proposer)
}

func ballotRows(b *batch, w *write) error {
	var v ledger.Ballot
	if err := decode(w, &v, func(v *ledger.Ballot) int { return v.V }, func(v *ledger.Ballot) string { return ledger.BallotKey(v.Name, v.Version, v.Digest) }); err != nil {
		return err
	}
	w.msp = v.Proposer
	return b.put(ballotTable, v.Name, v.Version, v.Digest, w.ref, ms(v.ProposedAt), v.Proposer)
}

func agendaRows(b *batch, w *write) error {
	var a ledger.Agenda
	if err := decode(w, &a, func(a *ledger.Agenda) int { return a.V }, func(a *ledger.Agenda) string { return ledger.AgendaKey(a.Name) }); err != nil {
		return err
	}
	return b.put(agendaTable, a.Name, w.ref, a.Version, int64(len(a.Ballots)))
}
