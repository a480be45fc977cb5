package ledger

import (
	"slices"
	"strconv"
	"strings"

	"github.com/callseal/callseal/chaincode/reputation"
)

// Object types of reputation.
const (
	TypeOpinion   = "rep"
	TypePardon    = "rep-pardon"
	TypeAllowance = "rep-allow"
	TypeAppeal    = "rep-appeal"
)

const (
	// MaxWriters bounds the gateways of one operator that write opinions: were
	// they unlimited, one operator could make a subject unreadable.
	MaxWriters = 16
	// MaxOpinions bounds what one transaction writes.
	MaxOpinions = 500
	// maxCount bounds the events of one item of evidence.
	maxCount = 1_000_000
	// opinionWindowMS is how far an opinion's instants may lie from the
	// transaction's time: gateways may wait for a network that is away, and
	// clocks step back a little, but nobody writes history.
	opinionWindowMS = 10 * minutesMS
)

// Opinion is what one writer, a gateway of an operator, holds on a subject. It is
// written without reading the one before, so that transactions never conflict;
// instead it says what it follows, and whoever follows the ledger sees a chain
// that breaks ([CheckChain]).
type Opinion struct {
	// At is the instant the evidence counts at: the writer's word, within minutes
	// of the transaction's time.
	At Time `json:"at"`
	// Carried are the totals of the same subject in the epoch before, in the
	// first opinion of an epoch where there were some.
	Carried *Totals `json:"carried,omitzero"`
	// Epoch is the pseudonyms' epoch.
	Epoch int64 `json:"epoch"`
	// Evidence is what was added, sorted by kind.
	Evidence []EvidenceItem `json:"evidence,omitzero"`
	MSP      string         `json:"msp"`
	// PolicyVersion is the version of the policy document that weighed it.
	PolicyVersion int64 `json:"policy_version"`
	// PrevDigest is the SHA-256 of the opinion before it, in its canonical form.
	PrevDigest string `json:"prev_digest,omitzero"`
	// Previous are the totals of the opinion before it.
	Previous *Totals `json:"previous,omitzero"`
	// Seq counts the writer's opinions on the subject from 1.
	Seq int64 `json:"seq"`
	// Subject is a pseudonym, see reputation.Address.
	Subject string `json:"subject"`
	// Totals are what it comes to.
	Totals Totals `json:"totals"`
	V      int    `json:"v"`
	// Writer names the gateway, 1 to 16.
	Writer int64 `json:"writer"`
}

// EvidenceItem is a number of events of one kind.
type EvidenceItem struct {
	// Attempts are the separate attempts (calls, connections, dialogs) that
	// negative events happened in, 1 to count; positive events have none.
	Attempts int64 `json:"attempts,omitzero"`
	// Count is the number of events.
	Count int64 `json:"count"`
	// Kind is one of the policy's.
	Kind string `json:"kind"`
}

// Totals are reputation.Totals as they are stored: counts in thousandths of an
// event.
type Totals struct {
	Alpha          int64 `json:"alpha"`
	At             Time  `json:"at"`
	Attempts       int64 `json:"attempts"`
	Beta           int64 `json:"beta"`
	Failures       int64 `json:"failures"`
	NewestNegative Time  `json:"newest_negative,omitzero"`
	NewestPositive Time  `json:"newest_positive,omitzero"`
}

// Opinions is all that is held on a subject: what [ReputationPolicy.Merge] merges.
type Opinions struct {
	// Allowances, Opinions and Pardons are sorted by operator, and opinions by
	// writer.
	Allowances []Allowance `json:"allowances,omitzero"`
	Opinions   []Opinion   `json:"opinions,omitzero"`
	Pardons    []Pardon    `json:"pardons,omitzero"`
	V          int         `json:"v"`
}

// Reputation is a subject's merged reputation at one instant.
type Reputation struct {
	// AllowedBy are the operators that have it on their own allowlist, sorted.
	AllowedBy []string `json:"allowed_by,omitzero"`
	// Alone are the operators whose evidence alone brings it below the threshold.
	Alone []string `json:"alone,omitzero"`
	// At is the instant of the merge.
	At    Time  `json:"at"`
	Epoch int64 `json:"epoch"`
	// Holders is the number of opinions that were merged.
	Holders int64 `json:"holders"`
	// PolicyVersion is the policy document's.
	PolicyVersion int64 `json:"policy_version"`
	// Score is in thousandths of a point, 0 to 10000.
	Score    int64               `json:"score"`
	Standing reputation.Standing `json:"standing"`
	Subject  string              `json:"subject"`
	// Until is when a provisional ban ends.
	Until Time `json:"until,omitzero"`
	V     int  `json:"v"`
}

// RecordResult is what reputation:Record and reputation:Carry answer.
type RecordResult struct {
	V int `json:"v"`
	// Written is the number of opinions.
	Written int64 `json:"written"`
}

// OpinionKey is the key of one writer's opinion on a subject:
// rep ⟨epoch, subject, msp, writer⟩.
func OpinionKey(epoch int64, subject, msp string, writer int64) string {
	return CompositeKey(TypeOpinion, keyNumber(epoch), subject, msp, keyNumber(writer))
}

// SubjectPrefix are the first parts of the keys of all that is held on a subject.
func SubjectPrefix(epoch int64, subject string) []string { return []string{keyNumber(epoch), subject} }

// CheckSubject answers CodeInvalid unless s is a subject's pseudonym.
func CheckSubject(s string) error {
	kind, mac, found := strings.Cut(s, ":")
	switch reputation.Type(kind) {
	case reputation.TypeTel, reputation.TypeIP, reputation.TypeAOR:
		if found && CheckHex("subject", mac, 32) == nil {
			return nil
		}
	}
	return Errorf(CodeInvalid, "a subject is written as its type (tel, ip or aor), a colon and 64 hexadecimal digits: its pseudonym, never the address")
}

// Of are the totals in the form of the arithmetic.
func (t *Totals) Of() reputation.Totals {
	if t == nil {
		return reputation.Totals{}
	}
	return reputation.Totals{
		Alpha: t.Alpha, Beta: t.Beta, Failures: t.Failures, Attempts: t.Attempts, At: t.At.UnixMilli(),
		NewestPositive: t.NewestPositive.UnixMilli(), NewestNegative: t.NewestNegative.UnixMilli(),
	}
}

// totalsOf are the arithmetic's totals as they are stored.
func totalsOf(t reputation.Totals) Totals {
	return Totals{
		Alpha: t.Alpha, At: milli(t.At), Attempts: t.Attempts, Beta: t.Beta, Failures: t.Failures,
		NewestNegative: milli(t.NewestNegative), NewestPositive: milli(t.NewestPositive),
	}
}

// milli is the instant, not set for 0.
func milli(ms int64) Time {
	if ms == 0 {
		return Time{}
	}
	return Time{ms: ms, set: true}
}

func (t *Totals) check(field string, at Time) error {
	for _, count := range [...]struct {
		name  string
		value int64
	}{{"alpha", t.Alpha}, {"attempts", t.Attempts}, {"beta", t.Beta}, {"failures", t.Failures}} {
		if count.value < 0 || count.value > reputation.MaxEvidence {
			return Errorf(CodeInvalid, "%s of %s is %d, it must lie between 0 and %d", count.name, field, count.value, int64(reputation.MaxEvidence))
		}
	}
	latest := max(t.At.UnixMilli(), t.NewestNegative.UnixMilli(), t.NewestPositive.UnixMilli())
	if t.At.IsZero() || latest > at.UnixMilli()+opinionWindowMS {
		return Errorf(CodeInvalid, "the instants of %s must be set and not lie in the future: check the gateway's clock", field)
	}
	return nil
}

// Sum weighs the evidence by the policy.
//
// Errors: INVALID_ARGUMENT for a kind the policy does not know, or a number that
// is none.
func (p *ReputationPolicy) Sum(evidence []EvidenceItem) (reputation.Evidence, error) {
	var sum reputation.Evidence
	for i := range evidence {
		item := &evidence[i]
		kind := p.Kind(item.Kind)
		if kind == nil {
			return sum, Errorf(CodeInvalid, "item %d of the evidence is of a kind that the reputation policy does not name", i+1)
		}
		if item.Count < 1 || item.Count > maxCount {
			return sum, Errorf(CodeInvalid, "item %d of the evidence counts %d events, it must count 1 to %d", i+1, item.Count, maxCount)
		}
		one := reputation.Evidence{Alpha: item.Count * kind.Weight}
		if kind.Sign == SignNegative {
			if item.Attempts < 1 || item.Attempts > item.Count {
				return sum, Errorf(CodeInvalid, "item %d of the evidence has %d attempts: %d negative events happen in 1 to %d", i+1, item.Attempts, item.Count, item.Count)
			}
			one = reputation.Evidence{Beta: one.Alpha, Failures: item.Count * reputation.One, Attempts: item.Attempts * reputation.One}
		} else if item.Attempts != 0 {
			return sum, Errorf(CodeInvalid, "item %d of the evidence is positive and has attempts: leave them out", i+1)
		}
		sum = sum.And(one)
	}
	return sum, nil
}

// Next are the totals that the opinion's evidence makes of those before it, by
// the policy.
func (o *Opinion) Next(policy *ReputationPolicy) (Totals, error) {
	sum, err := policy.Sum(o.Evidence)
	if err != nil {
		return Totals{}, err
	}
	before := o.Previous
	if o.Carried != nil {
		before = o.Carried
	}
	return totalsOf(before.Of().Plus(sum, o.At.UnixMilli(), policy.HalfLifeMS)), nil
}

// Check answers unless the opinion may be written at the transaction's time under
// the policy: well formed, its instants near that time, its totals right.
func (o *Opinion) Check(policy *ReputationPolicy, at Time) error {
	if err := CheckWritten("the opinion", o.V); err != nil {
		return err
	}
	if err := o.checkPlace(); err != nil {
		return err
	}
	if err := o.checkTimes(at); err != nil {
		return err
	}
	for i := range o.Evidence {
		if i > 0 && o.Evidence[i-1].Kind >= o.Evidence[i].Kind {
			return Errorf(CodeInvalid, "evidence must be sorted by kind, each kind named once")
		}
	}
	if o.Carried == nil && len(o.Evidence) == 0 {
		return Errorf(CodeInvalid, "an opinion without evidence changes nothing: leave it out")
	}
	totals, err := o.Next(policy)
	if err != nil {
		return err
	}
	if totals != o.Totals {
		return Errorf(CodeInvalid, "the totals of opinion %d are wrong: alpha %d, beta %d, failures %d, attempts %d at %s are right", o.Seq, totals.Alpha, totals.Beta, totals.Failures, totals.Attempts, totals.At)
	}
	return nil
}

// checkPlace checks what an opinion is on, by whom, and what it follows.
func (o *Opinion) checkPlace() error {
	if err := CheckSubject(o.Subject); err != nil {
		return err
	}
	if err := CheckName("msp", o.MSP); err != nil {
		return err
	}
	if o.Writer < 1 || o.Writer > MaxWriters {
		return Errorf(CodeInvalid, "writer is %d, it must lie between 1 and %d", o.Writer, MaxWriters)
	}
	for _, number := range [...]struct {
		field string
		value int64
	}{{"epoch", o.Epoch}, {"seq", o.Seq}} {
		if err := CheckNumber(number.field, number.value); err != nil {
			return err
		}
		if number.value == 0 {
			return Errorf(CodeInvalid, "%s is 0, it starts at 1", number.field)
		}
	}
	first := o.Seq == 1
	if first != (o.Previous == nil) || first != (o.PrevDigest == "") || !first && o.Carried != nil {
		return Errorf(CodeInvalid, "opinion %d must have previous totals and their digest if it is not the first, and carried ones only if it is", o.Seq)
	}
	if first {
		return nil
	}
	return CheckHex("prev_digest", o.PrevDigest, 32)
}

func (o *Opinion) checkTimes(at Time) error {
	if late := at.Sub(o.At); o.At.IsZero() || late < 0 || late > opinionWindowMS {
		return Errorf(CodeInvalid, "the opinion's instant must lie within the %d minutes before the transaction's time: count the evidence anew", opinionWindowMS/minutesMS)
	}
	for field, totals := range o.totals() {
		if err := totals.check(field, at); err != nil {
			return err
		}
	}
	return nil
}

// totals are all that the opinion has, by member, in that order.
func (o *Opinion) totals() func(yield func(string, *Totals) bool) {
	return func(yield func(string, *Totals) bool) {
		if o.Carried != nil && !yield("carried", o.Carried) {
			return
		}
		if o.Previous != nil && !yield("previous", o.Previous) {
			return
		}
		yield("totals", &o.Totals)
	}
}

// CheckChain answers CodeState unless next follows previous, both as they stand
// on the ledger: the same writer on the same subject, the next number, the totals
// and the digest of the one before. It is for those who read block after block;
// a writer that breaks its chain has lost its place or rewrites its past.
func CheckChain(previous, next *Opinion) error {
	if previous.Epoch != next.Epoch || previous.Subject != next.Subject || previous.MSP != next.MSP || previous.Writer != next.Writer {
		return Errorf(CodeState, "these are opinions of different writers or on different subjects")
	}
	text, err := Canonical(previous)
	if err != nil {
		return err
	}
	switch {
	case next.Seq != previous.Seq+1:
		return Errorf(CodeState, "opinion %d of writer %d of %s follows opinion %d: the chain is broken", next.Seq, next.Writer, next.MSP, previous.Seq)
	case next.Previous == nil || *next.Previous != previous.Totals:
		return Errorf(CodeState, "opinion %d of writer %d of %s begins with other totals than the one before ended with: the chain is broken", next.Seq, next.Writer, next.MSP)
	case next.PrevDigest != Digest(text):
		return Errorf(CodeState, "opinion %d of writer %d of %s follows another than the one on the ledger: the chain is broken", next.Seq, next.Writer, next.MSP)
	}
	return nil
}

// Question is what is asked of a merge.
type Question struct {
	// At is the instant asked about.
	At Time
	// Asker is the operator that asks: its own allowlist counts for it.
	Asker string
	Epoch int64
	// Exempt says that the pseudonym policy exempts the subject.
	Exempt  bool
	Subject string
	// Version is the policy document's.
	Version int64
}

// Merge is the subject's reputation, computed from all that is held on it by
// reputation.Merge. It is what reputation:Get answers, for whoever wants to check.
func (p *ReputationPolicy) Merge(question Question, held *Opinions) Reputation {
	opinions := make([]reputation.Opinion, 0, len(held.Opinions))
	for i := range held.Opinions {
		opinion := &held.Opinions[i]
		opinions = append(opinions, reputation.Opinion{
			Operator: opinion.MSP, Weight: p.WeightOf(opinion.MSP), Totals: opinion.Totals.Of(),
			Pardoned: slices.ContainsFunc(held.Pardons, func(pardon Pardon) bool { return pardon.MSP == opinion.MSP && question.At.Before(pardon.Until) }),
		})
	}
	kind, _, _ := strings.Cut(question.Subject, ":")
	verdict := reputation.Merge(p.Rules(), reputation.Type(kind) == reputation.TypeIP, opinions, question.At.UnixMilli())
	merged := Reputation{
		Alone: verdict.Alone, At: question.At, Epoch: question.Epoch, Holders: int64(len(opinions)), PolicyVersion: question.Version,
		Score: verdict.Score, Standing: verdict.Standing, Subject: question.Subject, Until: milli(verdict.Until), V: SchemaVersion,
	}
	for i := range held.Allowances {
		if held.Allowances[i].WithdrawnAt.IsZero() {
			merged.AllowedBy = append(merged.AllowedBy, held.Allowances[i].MSP)
		}
	}
	if question.Exempt || slices.Contains(p.Allowed, question.Subject) || slices.Contains(merged.AllowedBy, question.Asker) {
		merged.Standing, merged.Until = reputation.StandingAllowed, Time{}
	}
	return merged
}

// ScoreText is a score as people read it, in points: "6.000".
func ScoreText(score int64) string {
	text := strconv.FormatInt(reputation.Perfect*10+score, 10) // leading zeros
	return strings.TrimPrefix(text[1:len(text)-3], "0") + "." + text[len(text)-3:]
}
