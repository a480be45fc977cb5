package anchor

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/journal"
)

func waitingItem(pbx string, seq int64, records, bytes int) *item {
	return &item{identity: identity{name: journal.Name{PBX: pbx, Epoch: 1, FirstSeq: seq}}, records: records, wireBytes: bytes}
}

func named(b *batch) []string {
	var names []string
	for _, one := range b.items {
		names = append(names, fmt.Sprintf("%s/%d", one.name.PBX, one.name.FirstSeq))
	}
	return names
}

func TestALoneSegmentGoesAtOnce(t *testing.T) {
	l := newLanes()
	require.Nil(t, l.take(1000))
	l.add(waitingItem("a", 1, 1, 10))
	require.Equal(t, []string{"a/1"}, named(l.take(1000)))
	require.Nil(t, l.take(1000))
	require.Zero(t, l.waiting)
}

func TestLanesShareATransactionInTurn(t *testing.T) {
	l := newLanes()
	for seq := range int64(1600) {
		l.add(waitingItem("flood", seq, 1, 10))
	}
	l.add(waitingItem("b", 1, 1, 10))
	l.add(waitingItem("c", 1, 1, 10))
	l.add(waitingItem("b", 2, 1, 10))
	first := l.take(1 << 20)
	require.Equal(t, []string{"flood/0", "b/1", "c/1", "flood/1", "b/2", "flood/2"}, named(first)[:6])
	require.Equal(t, ledger.MaxTransactionRecords, first.records)
	// Who came meanwhile has its turn in the next, though the flood has more.
	l.add(waitingItem("d", 1, 1, 10))
	second := l.take(1 << 20)
	require.Equal(t, []string{"flood/1497", "d/1", "flood/1498"}, named(second)[:3])
}

func TestBoundsOfATransaction(t *testing.T) {
	l := newLanes()
	l.add(waitingItem("a", 1, 900, 10))
	l.add(waitingItem("a", 2, 900, 10)) // does not fit, and a/3 must not pass it
	l.add(waitingItem("a", 3, 1, 10))
	l.add(waitingItem("b", 1, 600, 10))
	require.Equal(t, []string{"a/1", "b/1"}, named(l.take(1000)))
	require.Equal(t, []string{"a/2", "a/3"}, named(l.take(1000)))
	l = newLanes()
	l.add(waitingItem("a", 1, 1, 5000)) // the first always fits: it was checked when it came
	l.add(waitingItem("a", 2, 1, 10))
	require.Equal(t, []string{"a/1"}, named(l.take(1000)))
}

func TestALaneWaitsForTheTransactionBefore(t *testing.T) {
	l := newLanes()
	for seq := range int64(4) {
		l.add(waitingItem("a", seq, 1200, 10))
	}
	first := l.take(1000)
	require.Empty(t, first.after)
	second := l.take(1000)
	require.Len(t, second.after, 1, "it may be endorsed, and is submitted after the first")
	require.Nil(t, l.take(1000), "no more than two are under way")
	l.add(waitingItem("b", 1, 1, 10))
	other := l.take(1000)
	require.Equal(t, []string{"b/1"}, named(other), "others go on")
	require.Empty(t, other.after)
	l.finished(first)
	<-second.after[0]
	third := l.take(1000)
	require.Equal(t, []string{"a/2"}, named(third))
	require.Len(t, third.after, 1)
	require.False(t, done(third.after), "it waits for the second")
	l.finished(second)
	require.True(t, done(third.after))
}

func TestWhatIsUnderWayComesFirstAfterARestart(t *testing.T) {
	l := newLanes()
	l.add(waitingItem("a", 2, 1, 10))
	held := l.hold([]*item{waitingItem("a", 1, 1, 10), waitingItem("b", 1, 1, 10)})
	next := l.take(1000)
	require.Equal(t, []string{"a/2"}, named(next))
	require.Len(t, next.after, 1)
	select {
	case <-next.after[0]:
		t.Fatal("the one before is not done with")
	default:
	}
	l.finished(held)
	<-next.after[0]
	l.finished(next)
	require.Empty(t, l.byPBX, "lanes without anything are forgotten")
	require.Empty(t, l.turn)
}

// Whatever comes and ends in whatever order: nothing is lost or taken twice, each
// PBX's segments go in order, one transaction after the other.
func TestLanesKeepOrder(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		l := newLanes()
		next, taken := map[string]int64{}, map[string]int64{}
		var under []*batch
		total, seen := 0, 0
		for step := range 400 {
			switch {
			case step < 200 && random.IntN(2) == 0:
				pbx := fmt.Sprint(random.IntN(5))
				l.add(waitingItem(pbx, next[pbx], 1+random.IntN(600), random.IntN(400)))
				next[pbx]++
				total++
			case random.IntN(2) == 0 && len(under) > 0:
				// Any that waits for nothing may end.
				at := random.IntN(len(under))
				if done(under[at].after) {
					l.finished(under[at])
					under = append(under[:at:at], under[at+1:]...)
				}
			default:
				b := l.take(1000)
				if b == nil {
					continue
				}
				require.LessOrEqual(t, b.records, ledger.MaxTransactionRecords)
				for _, one := range b.items {
					require.Equal(t, taken[one.name.PBX], one.name.FirstSeq, "seed %d", seed)
					taken[one.name.PBX]++
					seen++
				}
				under = append(under, b)
			}
		}
		for len(under) > 0 || l.waiting > 0 {
			if b := l.take(1000); b != nil {
				under = append(under, b)
				seen += len(b.items)
				continue
			}
			require.True(t, done(under[0].after), "the oldest waits for nothing")
			l.finished(under[0])
			under = under[1:]
		}
		require.Equal(t, total, seen)
		require.Empty(t, l.byPBX)
	}
}

func done(channels []<-chan struct{}) bool {
	for _, each := range channels {
		select {
		case <-each:
		default:
			return false
		}
	}
	return true
}

// A lone segment goes at once; beside a transaction that is under way only what is
// worth one, or has waited.
func TestRipe(t *testing.T) {
	lanes := newLanes()
	require.False(t, lanes.ripe(0, maxWireBytes), "nothing waits")
	lanes.add(waitingItem("a", 1, 1, 10))
	require.True(t, lanes.ripe(0, maxWireBytes))
	require.False(t, lanes.ripe(1, maxWireBytes))
	require.True(t, lanes.ripe(1, 10), "a full one by its size")
	lanes.since = time.Now().Add(-shortest)
	require.True(t, lanes.ripe(1, maxWireBytes), "it has waited")
	lanes.committed(time.Second)
	require.Greater(t, lanes.company(), shortest, "where transactions take long it waits for longer")
	require.False(t, lanes.ripe(1, maxWireBytes))
	lanes.committed(time.Hour)
	require.Equal(t, longest, lanes.company(), "but not for ever")
	for range 40 {
		lanes.committed(time.Millisecond)
	}
	require.Equal(t, shortest, lanes.company(), "and not for longer than they do")
	lanes.since = time.Now()
	lanes.add(waitingItem("b", 1, ledger.MaxTransactionRecords-1, 10))
	require.True(t, lanes.ripe(3, maxWireBytes), "a full one by its records")
	require.NotNil(t, lanes.take(maxWireBytes))
	require.Zero(t, lanes.records+lanes.bytes+lanes.waiting)
	require.False(t, lanes.ripe(0, maxWireBytes))
}

// A transaction that comes to nothing, because none of its segments was taken, must not
// let those behind it pass the one before it, which is all that they do not wait for.
func TestNothingPassesTheOneBefore(t *testing.T) {
	p := newPipeline(nil, Parts{}, DefaultConfig())
	first, second, third := waitingItem("a", 1, 1, 10), waitingItem("a", 2, 1, 10), waitingItem("a", 3, 1, 10)
	second.state = Rejected
	p.lanes.add(first)
	before := p.lanes.take(maxWireBytes)
	p.lanes.add(second)
	nothing := p.lanes.take(maxWireBytes)
	p.inFlight = 2
	var publishing sync.WaitGroup
	publishing.Go(func() { p.publish(t.Context(), nothing, nil) })
	require.Never(t, func() bool { return done([]<-chan struct{}{nothing.done}) }, 100*time.Millisecond, 10*time.Millisecond, "the one before is under way")
	p.mu.Lock()
	p.lanes.add(third)
	require.Nil(t, p.lanes.take(maxWireBytes), "as many of the PBX's are under way as may")
	p.lanes.finished(before)
	p.mu.Unlock()
	publishing.Wait()
	behind := p.lanes.take(maxWireBytes)
	require.Equal(t, []string{"a/3"}, named(behind))
	require.True(t, done(behind.after))
}
