package reputation

const (
	// One is one event of weight 1, in thousandths.
	One = 1000
	// MaxEvidence is the most evidence that is kept of one sort, in thousandths: a
	// million events. Beyond it sums stay where they are.
	MaxEvidence = 1_000_000_000
	// Unknown is the score without evidence, in thousandths of a point.
	Unknown = 5000
	// Perfect is the highest score, in thousandths of a point; no evidence
	// reaches it.
	Perfect = 10_000

	// prior is P2's α and β before any evidence.
	prior = 2 * One
)

// Score is the Alpha-Beta score of positive and negative evidence (P2 §3.1), in
// thousandths of a point, 0 to 10000, rounded down. Evidence is in thousandths
// of an event; what is negative counts as none.
func Score(alpha, beta int64) int64 {
	return scoreOf(clamp(alpha), clamp(beta), 1)
}

// scoreOf is the score of evidence in units of one thousandth of an event divided
// by scale. Both are at most maxWeighted.
func scoreOf(alpha, beta, scale int64) int64 {
	return Perfect * (prior*scale + alpha) / (2*prior*scale + alpha + beta)
}

// clamp brings a count of evidence into 0..MaxEvidence.
func clamp(n int64) int64 { return min(max(n, 0), MaxEvidence) }

// add is a + b within 0..MaxEvidence. It does not depend on the order of many
// additions.
func add(a, b int64) int64 { return clamp(clamp(a) + clamp(b)) }
