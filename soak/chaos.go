package soak

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// Victim is a kind of node that is killed.
type Victim string

// The victims.
const (
	VictimGateway   Victim = "the gateway"
	VictimOwnPeer   Victim = "the own peer"
	VictimPartner   Victim = "a partner's peer"
	VictimLeader    Victim = "the ordering leader"
	VictimChaincode Victim = "a chaincode service"
)

// Victims are all of them.
var Victims = []Victim{VictimGateway, VictimOwnPeer, VictimPartner, VictimLeader, VictimChaincode}

// Kill is one kill -9 and what came of it.
type Kill struct {
	Victim Victim
	Node   string
	// At is when the process was gone, Away after how long it was started again.
	At   time.Time
	Away time.Duration
	// Recovery is from At to the first commit of a record that was due after At.
	Recovery time.Duration
}

// Deck is as many victims of each kind as it takes, in an order that the seed
// decides.
func Deck(random *rand.Rand, kills int) []Victim {
	deck := make([]Victim, kills)
	for i := range deck {
		deck[i] = Victims[i%len(Victims)]
	}
	random.Shuffle(kills, func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

// Chaos kills one node after the other, starts each again after a random time of
// up to longest, and waits until a record that was due after the kill is committed,
// then for the calm before the next. The fleet must be under load.
func (l *Lab) Chaos(fleet *Fleet, random *rand.Rand, kills int, longest, calm time.Duration) []Kill {
	l.tb.Helper()
	var done []Kill
	for _, victim := range Deck(random, kills) {
		node := l.node(victim, random)
		kill := Kill{Victim: victim, Node: node, Away: longest/10 + time.Duration(random.Int64N(int64(longest-longest/10)))}
		l.Kill(node)
		kill.At = time.Now()
		time.Sleep(kill.Away)
		l.StartNode(node)
		deadline := time.Now().Add(patience)
		for recovered := false; !recovered; time.Sleep(50 * time.Millisecond) {
			require.True(l.tb, time.Now().Before(deadline), "nothing is committed %s after %s was killed and came back", patience, node)
			kill.Recovery, recovered = fleet.Recovery(kill.At)
		}
		l.tb.Logf("killed %s (%s), away %s, next commit after %s", victim, node, kill.Away.Round(time.Millisecond), kill.Recovery.Round(time.Millisecond))
		done = append(done, kill)
		time.Sleep(calm)
	}
	return done
}

// node chooses the process to kill.
func (l *Lab) node(victim Victim, random *rand.Rand) string {
	l.tb.Helper()
	one := func(names ...string) string { return names[random.IntN(len(names))] }
	switch victim {
	case VictimGateway:
		return Gateway
	case VictimOwnPeer:
		return "atlas-peer"
	case VictimPartner:
		return one("borealis-peer", "corvus-peer")
	case VictimChaincode:
		return one("atlas-chaincode", "borealis-chaincode", "corvus-chaincode")
	default:
		return l.leader()
	}
}

// leader is the node of the orderer that leads, as the orderers' own metrics say;
// after a change none or two may say so for a moment.
func (l *Lab) leader() string {
	l.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		leader, err := l.Leader(ctx)
		if err == nil {
			return leader
		}
		last = err
		sleep(ctx, 100*time.Millisecond)
	}
	l.tb.Fatalf("find the ordering leader: %v", last)
	return ""
}

// Away stops all that is Fabric: peers, orderers and chaincode services; the answer
// brings them back, orderers first.
func (l *Lab) Away() (back func()) {
	l.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	all, err := l.Status(ctx)
	require.NoError(l.tb, err)
	var stopped []string
	for _, kind := range []string{"peer", "chaincode", "orderer"} {
		for _, one := range all {
			if one.Kind == kind && one.PID > 0 {
				l.Kill(one.Node)
				stopped = append(stopped, one.Node)
			}
		}
	}
	require.NotEmpty(l.tb, stopped)
	l.tb.Logf("stopped %s", strings.Join(stopped, ", "))
	return func() {
		l.tb.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, kind := range []string{"orderer", "chaincode", "peer"} {
			for _, node := range stopped {
				if strings.Contains(node, kind) {
					require.NoError(l.tb, l.Start(ctx, node))
				}
			}
		}
	}
}
