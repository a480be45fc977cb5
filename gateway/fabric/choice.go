package fabric

import (
	"cmp"
	"slices"
)

// caughtUp is how many blocks a peer may lag and yet be preferred to none.
const caughtUp = 2

// How well a peer can be asked, best first.
const (
	atTip = iota
	nearTip
	behind
	away
)

// order lists the peers as they are to be asked: first, in turn, those that have
// every block that was told of, so that who saw a commit reads what it wrote;
// then those that lag; and last those that do not answer, because even that may be
// out of date.
func (c *shared) order() []*Peer {
	if len(c.peers) == 1 {
		return c.peers
	}
	turn := int(c.turn.Add(1) % uint64(len(c.peers))) //nolint:gosec // less than the number of peers
	ordered := append(slices.Clone(c.peers[turn:]), c.peers[:turn]...)
	var tip uint64
	standing := make(map[*Peer]int, len(ordered))
	for _, peer := range ordered {
		tip = max(tip, peer.height.Load())
	}
	for _, peer := range ordered {
		height := peer.height.Load()
		healthy, _ := peer.state()
		switch {
		case !healthy:
			standing[peer] = away
		case height >= tip:
			standing[peer] = atTip
		case height+caughtUp >= tip:
			standing[peer] = nearTip
		default:
			standing[peer] = behind
		}
	}
	slices.SortStableFunc(ordered, func(a, b *Peer) int { return cmp.Compare(standing[a], standing[b]) })
	return ordered
}

// Peers is what is known of the operator's peers, in their configured order.
func (c *shared) Peers() []Health {
	known := make([]Health, len(c.peers))
	for i, peer := range c.peers {
		known[i] = peer.Health()
	}
	return known
}
