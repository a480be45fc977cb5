package fabric

import (
	"sync"

	"github.com/callseal/callseal/gateway/fault"
)

// partners are the operators asked to endorse beside the own one. Naming both
// endorsers lets the peer ask them at the same time; left to itself it asks the
// own first, and only then, knowing what the contract touched, the other.
//
// It is a preference: where the named one cannot, the peer chooses by the
// endorsement policy, which is what decides in the end.
type partners struct {
	own  string
	msps []string

	mu   sync.Mutex
	next int
}

// pair are the endorsers to name, nil for the peer's own choice.
func (p *partners) pair() []string {
	if len(p.msps) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return []string{p.own, p.msps[p.next%len(p.msps)]}
}

// failed has the next partner asked from now on.
func (p *partners) failed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
}

// choiceMatters says whether other endorsers might do what these could not: not
// when the contract itself refused.
func choiceMatters(problem *fault.Error) bool {
	return problem.Kind == fault.Unavailable || problem.Kind == fault.Contended || problem.Kind == fault.Internal
}
