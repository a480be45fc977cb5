package reputation

import (
	"slices"
	"strings"
)

// Standing is what a merged reputation means for who asks.
type Standing string

// The standings.
const (
	// StandingUnknown: no operator that counts holds evidence.
	StandingUnknown Standing = "unknown"
	// StandingGood: the score is at the threshold or above.
	StandingGood Standing = "good"
	// StandingLow: below the threshold, whichever operator is left out, but on
	// too little evidence for a ban.
	StandingLow Standing = "low"
	// StandingBlocked: below the threshold, whichever operator is left out, on
	// enough evidence.
	StandingBlocked Standing = "blocked"
	// StandingContested: one operator alone pushes it below the threshold while
	// another holds evidence that does not, or alone above it while others agree
	// that it is below; the threshold is shown as the score.
	StandingContested Standing = "contested"
	// StandingReported: below the threshold, in the eyes of the one operator that
	// knows it. That operator may block it; no other has to.
	StandingReported Standing = "reported"
	// StandingProvisional: an address that one operator alone reports, blocked
	// for a while.
	StandingProvisional Standing = "provisionally_blocked"
	// StandingAllowed: nothing is held against it by agreement.
	StandingAllowed Standing = "allowed"
)

// Blocks says whether calls and packets of the subject are to be refused.
func (s Standing) Blocks() bool { return s == StandingBlocked || s == StandingProvisional }

// Rules are the numbers of the policy document that a merge needs.
type Rules struct {
	// HalfLife is in milliseconds.
	HalfLife int64
	// Threshold is a score; below it a subject is in bad standing.
	Threshold int64
	// BanFailures over BanAttempts are the least evidence a ban needs, in whole
	// events; 0 and 0 is P2's bare rule.
	BanFailures, BanAttempts int64
	// Fresh is how long positive evidence counts against another operator's
	// provisional ban, and Provisional how long such a ban holds after the newest
	// negative evidence; milliseconds.
	Fresh, Provisional int64
}

// Opinion is what one operator holds on a subject, or one writer of it: several
// of one operator add up.
type Opinion struct {
	// Operator names the operator.
	Operator string
	// Weight is the operator's by policy, 0 to 1000; 0 has no influence at all.
	Weight int64
	// Totals are the evidence.
	Totals Totals
	// Pardoned has the negative evidence disregarded.
	Pardoned bool
}

// Verdict is the merged reputation of a subject.
type Verdict struct {
	// Score is in thousandths of a point, 0 to 10000.
	Score    int64
	Standing Standing
	// Alone are the operators without whose evidence the subject would be on the
	// other side of the threshold, sorted: the reporter, or whose word is contested.
	Alone []string
	// Until is when a provisional ban ends, milliseconds since 1970, else 0.
	Until int64
}

// maxWeighted bounds a weighted sum so that a score is within 63 bits. It is
// nine hundred operators of full weight at [MaxEvidence].
const maxWeighted = 900 * fullWeight * MaxEvidence

// fullWeight is the weight, per mille, of an operator that counts in full.
const fullWeight = 1000

// holder is an operator that counts and holds evidence, aged and weighted: in
// thousandths of a thousandth of an event.
type holder struct {
	operator                        string
	alpha, beta, failures, attempts int64
	newestPositive, newestNegative  int64
}

// Merge merges the operators' opinions on a subject as they stand at an instant
// (milliseconds since 1970). Address says that the subject is an IP address, the
// only kind that is banned provisionally. With T the threshold, and S the score
// of all evidence, weighted:
//
//   - S ≥ T: S stands, unless it does so by the word of one operator against two or
//     more that agree: then T, contested.
//   - S < T, and also without any one operator: S stands; blocked if there is
//     enough evidence for a ban.
//   - S < T because of one operator, where another holds evidence: T, contested.
//   - S < T in the eyes of the only operator that holds evidence: S, reported.
//
// In the last two cases an address is blocked provisionally while the operator's
// newest negative evidence is younger than rules.Provisional, there is enough of
// it for a ban, and no other operator holds fresh positive evidence.
//
// So no operator, whatever it writes, brings a subject below the threshold where
// the others' evidence alone does not, nor above it where the others agree that it
// is below. That it can bring such a subject up to the threshold, where nobody is
// refused, is the price of the first rule: of two operators that say bad and one
// that says good, nobody can tell whether one praises or one slanders. The standing
// names who it is, and each operator's own opinion stays its own to act on.
func Merge(rules Rules, address bool, opinions []Opinion, at int64) Verdict {
	holders := holdersOf(rules, opinions, at)
	if len(holders) == 0 {
		return Verdict{Score: Unknown, Standing: StandingUnknown}
	}
	score := scoreWithout(holders)
	if score >= rules.Threshold {
		if praise := praising(rules, holders); len(praise) > 0 {
			return Verdict{Score: rules.Threshold, Standing: StandingContested, Alone: praise}
		}
		return Verdict{Score: score, Standing: StandingGood}
	}
	var alone []string
	for i := range holders {
		if len(holders) == 1 || scoreWithout(holders, i) >= rules.Threshold {
			alone = append(alone, holders[i].operator)
		}
	}
	verdict := Verdict{Score: score, Alone: alone}
	switch {
	case len(alone) == 0 && enough(rules, holders):
		verdict.Standing = StandingBlocked
	case len(alone) == 0:
		verdict.Standing = StandingLow
	case len(holders) == 1:
		verdict.Standing = StandingReported
	default:
		verdict.Score, verdict.Standing = rules.Threshold, StandingContested
	}
	if address && len(alone) > 0 {
		if until := provisional(rules, holders, alone, at); until > at {
			verdict.Standing, verdict.Until = StandingProvisional, until
		}
	}
	return verdict
}

// holdersOf ages the opinions, adds those of one operator up and weighs them. The
// result is sorted by operator.
func holdersOf(rules Rules, opinions []Opinion, at int64) []holder {
	var holders []holder
	for i := range opinions {
		opinion := &opinions[i]
		weight := min(max(opinion.Weight, 0), fullWeight)
		totals := opinion.Totals.AgedTo(at, rules.HalfLife)
		if opinion.Pardoned {
			totals.Beta, totals.Failures, totals.Attempts, totals.NewestNegative = 0, 0, 0, 0
		}
		if weight == 0 || clamp(totals.Alpha) == 0 && clamp(totals.Beta) == 0 {
			continue
		}
		place, found := slices.BinarySearchFunc(holders, opinion.Operator, func(h holder, operator string) int { return strings.Compare(h.operator, operator) })
		if !found {
			holders = slices.Insert(holders, place, holder{operator: opinion.Operator})
		}
		h := &holders[place]
		h.alpha, h.beta = weigh(h.alpha, totals.Alpha, weight), weigh(h.beta, totals.Beta, weight)
		h.failures, h.attempts = weigh(h.failures, totals.Failures, weight), weigh(h.attempts, totals.Attempts, weight)
		h.newestPositive, h.newestNegative = max(h.newestPositive, totals.NewestPositive), max(h.newestNegative, totals.NewestNegative)
	}
	return holders
}

// weigh adds a writer's weighted count to its operator's, which stops where one
// writer's does.
func weigh(sum, count, weight int64) int64 {
	return min(sum+clamp(count)*weight, MaxEvidence*weight)
}

// praising are the operators without whose evidence the subject would be below the
// threshold by the agreement of two or more: also without any one of those.
func praising(rules Rules, holders []holder) []string {
	var praise []string
	for i := range holders {
		agreed := len(holders) > 2 && scoreWithout(holders, i) < rules.Threshold
		for j := range holders {
			agreed = agreed && (j == i || scoreWithout(holders, i, j) < rules.Threshold)
		}
		if agreed {
			praise = append(praise, holders[i].operator)
		}
	}
	return praise
}

// scoreWithout is the score of all holders' evidence but that of some.
func scoreWithout(holders []holder, left ...int) int64 {
	var alpha, beta int64
	for i := range holders {
		if !slices.Contains(left, i) {
			alpha, beta = min(alpha+holders[i].alpha, maxWeighted), min(beta+holders[i].beta, maxWeighted)
		}
	}
	return scoreOf(alpha, beta, fullWeight)
}

// enough says whether the evidence suffices for a ban, in events rounded to whole
// ones: five that have aged a little are still five.
func enough(rules Rules, holders []holder) bool {
	const event = One * fullWeight
	var failures, attempts int64
	for i := range holders {
		failures, attempts = min(failures+holders[i].failures, maxWeighted), min(attempts+holders[i].attempts, maxWeighted)
	}
	return (failures+event/2)/event >= rules.BanFailures && (attempts+event/2)/event >= rules.BanAttempts
}

// provisional is when the provisional bans end that operators alone may impose; 0
// where none does.
func provisional(rules Rules, holders []holder, alone []string, at int64) int64 {
	var until int64
	for i := range holders {
		h := &holders[i]
		if h.beta == 0 || !slices.Contains(alone, h.operator) || !enough(rules, holders[i:i+1]) {
			continue
		}
		void := slices.ContainsFunc(holders, func(other holder) bool {
			return other.operator != h.operator && other.alpha > 0 && at-other.newestPositive <= rules.Fresh
		})
		if !void {
			until = max(until, h.newestNegative+rules.Provisional)
		}
	}
	return until
}
