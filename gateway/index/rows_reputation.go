package index

import "github.com/callseal/callseal/chaincode/ledger"

// opinionWrite is an opinion whose chain is still to be checked.
type opinionWrite struct {
	ref     int64
	opinion ledger.Opinion
}

func opinionRows(b *batch, w *write) error {
	var o ledger.Opinion
	err := decode(w, &o, func(o *ledger.Opinion) int { return o.V }, func(o *ledger.Opinion) string { return ledger.OpinionKey(o.Epoch, o.Subject, o.MSP, o.Writer) })
	if err != nil {
		return err
	}
	if err := ledger.CheckSubject(o.Subject); err != nil {
		return err //nolint:wrapcheck // it is kept as it is
	}
	if err := storable([]any{o.MSP}); err != nil {
		return err
	}
	b.opinions = append(b.opinions, opinionWrite{w.ref, o})
	b.subjects[subjectKey{o.Epoch, o.Subject}] = true
	return nil
}

func pardonRows(b *batch, w *write) error {
	var p ledger.Pardon
	if err := decode(w, &p, func(p *ledger.Pardon) int { return p.V }, func(p *ledger.Pardon) string { return ledger.PardonKey(p.Epoch, p.Subject, p.MSP) }); err != nil {
		return err
	}
	if err := ledger.CheckSubject(p.Subject); err != nil {
		return err //nolint:wrapcheck // it is kept as it is
	}
	b.subjects[subjectKey{p.Epoch, p.Subject}] = true
	return b.put(pardonTable, p.Epoch, p.Subject, p.MSP, w.ref, ms(p.At), ms(p.Until), p.Reason)
}

func allowanceRows(b *batch, w *write) error {
	var a ledger.Allowance
	if err := decode(w, &a, func(a *ledger.Allowance) int { return a.V }, func(a *ledger.Allowance) string { return ledger.AllowanceKey(a.Epoch, a.Subject, a.MSP) }); err != nil {
		return err
	}
	if err := ledger.CheckSubject(a.Subject); err != nil {
		return err //nolint:wrapcheck // it is kept as it is
	}
	b.subjects[subjectKey{a.Epoch, a.Subject}] = true
	return b.put(allowanceTable, a.Epoch, a.Subject, a.MSP, w.ref, ms(a.At), ms(a.WithdrawnAt), a.Reason)
}

func appealRows(b *batch, w *write) error {
	var a ledger.Appeal
	if err := decode(w, &a, func(a *ledger.Appeal) int { return a.V }, func(a *ledger.Appeal) string { return ledger.AppealKey(a.Against, a.Epoch, a.Subject, a.MSP) }); err != nil {
		return err
	}
	return b.put(appealTable, a.Against, a.Epoch, a.Subject, a.MSP, w.ref, ms(a.At), a.State, a.Reason)
}
