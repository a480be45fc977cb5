package fabric

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/callseal/callseal/gateway/fault"
)

const (
	// partnerRests is how long a partner that failed is left out before it is
	// tried again, beside another.
	partnerRests = 3 * time.Second
	// An endorsement that takes longer is asked of another partner too.
	endorseAtLeast, endorseAtMost = 500 * time.Millisecond, 2 * time.Second
)

// partners are the operators asked to endorse beside the own one. Naming both
// endorsers lets the peer ask them at the same time; left to itself it asks the
// own first, and only then, knowing what the contract touched, the other.
//
// It is a preference: where the named ones cannot, the peer chooses by the
// endorsement policy, which is what decides in the end.
type partners struct {
	own  string
	all  []*partner
	turn atomic.Uint64
}

// partner is another operator. One that failed or was slow is left out for a
// while.
type partner struct {
	msp     string
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
	pace    pace
}

// errSlow counts against a partner that another has overtaken.
var errSlow = errors.New("slow")

func newPartners(own string, msps []string, changed func(msp string, left bool)) *partners {
	p := &partners{own: own}
	for _, msp := range msps {
		p.all = append(p.all, &partner{msp: msp, circuit: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: msp, MaxRequests: 1, Timeout: partnerRests,
			ReadyToTrip:   func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= 1 },
			OnStateChange: func(name string, _, to gobreaker.State) { changed(name, to != gobreaker.StateClosed) },
		})})
	}
	return p
}

// choose lists the partners to ask, in turn, without those that are left out, and
// those that are to be tried again beside them.
func (p *partners) choose() (asked, again []*partner) {
	if len(p.all) == 0 {
		return nil, nil
	}
	turn := int(p.turn.Add(1) % uint64(len(p.all))) //nolint:gosec // less than the number of partners
	for _, each := range append(slices.Clone(p.all[turn:]), p.all[:turn]...) {
		switch each.circuit.State() {
		case gobreaker.StateClosed:
			asked = append(asked, each)
		case gobreaker.StateHalfOpen:
			again = append(again, each)
		case gobreaker.StateOpen:
		}
	}
	return asked, again
}

// charge notes how an endorsement went with a partner; nil is well.
func (p *partner) charge(problem error) {
	done, err := p.circuit.Allow()
	if err != nil {
		return
	}
	done(problem)
}

// choiceMatters says whether other endorsers might do what these could not: not
// when the contract itself refused.
func choiceMatters(problem *fault.Error) bool {
	return anotherMight(problem) || problem.Kind == fault.Contended
}

// blamed says whether an endorsement failed because of a partner: not when it was
// the own operator's peer that failed, nor when the endorsers merely disagree.
func blamed(problem *fault.Error, own string) bool {
	if !anotherMight(problem) {
		return false
	}
	sides := endorsersOfError(problem.Err)
	if len(sides) == 0 {
		// The own peer could not be reached, or says that the partner's cannot.
		return !isAway(problem.Err) || mentions(problem.Err, "failed to find any endorsing peers")
	}
	return slices.ContainsFunc(sides, func(msp string) bool { return msp != own })
}
