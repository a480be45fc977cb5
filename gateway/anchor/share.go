package anchor

import "time"

// activeFor is how long a PBX counts among those that share a bound after it last
// sent: as long as it may have been told to wait.
const activeFor = mostRetry

// shares are the PBXs that want places. While half of a bound or more is taken, each
// may hold its part of it and no more, so that whoever comes next finds a place: by
// turns of arrival alone, those that hold many come back soonest and take what they
// leave. It is guarded by the pipeline's lock.
type shares struct {
	seen   map[string]time.Time
	pruned time.Time
}

func newShares() *shares { return &shares{seen: map[string]time.Time{}} }

// among counts the PBXs that sent lately, with this one.
func (s *shares) among(pbx string, now time.Time) int {
	s.seen[pbx] = now
	if now.Sub(s.pruned) > time.Second {
		s.pruned = now
		for one, last := range s.seen {
			if now.Sub(last) > activeFor {
				delete(s.seen, one)
			}
		}
	}
	return len(s.seen)
}

// exceeded says whether a PBX that holds so many places of a bound, of which so many
// are taken by all, has its part.
func exceeded(holds, taken, bound, among int) bool {
	return taken >= bound/2 && holds >= max(bound/among, 1)
}
