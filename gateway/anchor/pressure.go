package anchor

import (
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

const (
	// rateOver is the time over which the rate at which segments leave is averaged.
	rateOver = 10 * time.Second
	// leastRetry and mostRetry bound how long a client is told to wait.
	leastRetry = 100 * time.Millisecond
	mostRetry  = 30 * time.Second
	// makeRoom is the share of a full bound that should be free before clients come
	// back: if all came for the first free place, most would come in vain.
	makeRoom = 0.05
)

// drain is the rate at which segments leave the gateway. It is guarded by the
// pipeline's lock.
type drain struct {
	perSecond float64
	at        time.Time
	left      float64
}

// leave counts segments that left.
func (d *drain) leave(now time.Time, segments int) {
	d.left += float64(segments)
	d.settle(now)
}

// settle takes what was counted into the average, a moment after the last time.
func (d *drain) settle(now time.Time) {
	if d.at.IsZero() {
		d.at = now
		return
	}
	passed := now.Sub(d.at)
	if passed < 250*time.Millisecond {
		return
	}
	weight := min(passed.Seconds()/rateOver.Seconds(), 1)
	d.perSecond += weight * (d.left/passed.Seconds() - d.perSecond)
	d.at, d.left = now, 0
}

// retryAfter is how long it takes until there is room in a bound that is full.
func (d *drain) retryAfter(now time.Time, bound int) time.Duration {
	d.settle(now)
	if d.perSecond < 0.01 {
		return mostRetry / 10 // nothing leaves: ask again every few seconds
	}
	wait := time.Duration(max(makeRoom*float64(bound), 1) / d.perSecond * float64(time.Second))
	return min(max(wait, leastRetry), mostRetry)
}

// busy is the fault of a bound that was reached.
func busy(retryAfter time.Duration, format string, args ...any) *fault.Error {
	what := fault.New(fault.Busy, format, args...)
	what.Stage, what.RetryAfter = fault.StageAccept, retryAfter
	return what
}
