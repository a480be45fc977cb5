package reputation

//go:generate go run generate.go

const (
	// stepsPerHalfLife is how often within a half-life evidence ages.
	stepsPerHalfLife = 256
	// MinHalfLife is the shortest half-life, in milliseconds: one step is 1 ms.
	MinHalfLife = stepsPerHalfLife
	// longestAgeing is the number of half-lives after which nothing is left:
	// MaxEvidence is less than 2^30.
	longestAgeing = 30
)

// Aged is what is left at one instant of evidence that stood at another (both in
// milliseconds since 1970) when it halves every half-life (milliseconds):
//
//	step(t) = ⌊t / ⌊half-life/256⌋⌋, steps = step(to) - step(from)
//	left = ⌊⌊evidence·factors[steps mod 256] / 2^32⌋ / 2^⌊steps/256⌋⌋
//
// Rounding down makes evidence vanish in the end instead of staying at some
// smallest number. An instant before the one it stood at does not age it, nor
// does a half-life that is none.
func Aged(evidence, from, to, halfLife int64) int64 {
	evidence = clamp(evidence)
	length := halfLife / stepsPerHalfLife
	if length < 1 || to <= from {
		return evidence
	}
	steps := stepOf(to, length) - stepOf(from, length)
	if steps/stepsPerHalfLife >= longestAgeing || steps < 0 {
		return 0 // fewer than none: the difference exceeds 63 bits
	}
	// At most 10^9 · 2^32 < 2^62.
	return evidence * factors[steps%stepsPerHalfLife] >> 32 >> (steps / stepsPerHalfLife)
}

// stepOf is the number of the step an instant lies in, rounded down also before
// 1970.
func stepOf(at, length int64) int64 {
	step := at / length
	if at%length < 0 {
		step--
	}
	return step
}
