package l2

import (
	"fmt"
	"time"

	"github.com/callseal/callseal/benchmarks/l2/anvil"
	"github.com/callseal/callseal/benchmarks/result"
)

// stackNotes are what must be said beside every figure of an OP Stack.
func stackNotes(name string) []string {
	notes := []string{
		"One sequencer on loopback, with no wide-area network and no other user's load: a lower bound for public rollups.",
		"A block that is latest is one sequencer's promise, while a commit on Fabric is final among the consortium's operators: the safe head is the nearer comparison, and a rollup's finality on Ethereum takes longer still, see published figures.",
		"The L1 is a development chain with a block every 12 s and without competition for its space.",
	}
	if name == Defaults {
		return append(notes, "op-geth fills a block when it begins to be made, so that a transaction misses the one that is being made and waits for the next.")
	}
	return append(notes, "--miner.recommit 100ms has op-geth fill the block anew while it is being made, so that a transaction is in the next one. This is the fair, strong baseline.")
}

// anvilNotes are what must be said beside every figure of anvil.
func anvilNotes(every time.Duration) []string {
	notes := []string{
		"One process without consensus, network or disk: what the EVM and the block time alone take, a lower bound for any EVM chain, and no rollup.",
		"anvil's safe and finalized tags are arithmetic and not reported.",
	}
	if every == anvil.Automine {
		return append(notes, "A block for each transaction, at once: no public chain does so.")
	}
	return append(notes, fmt.Sprintf("Blocks of %s show what the block time does. They stand for no product: Flashblocks' or Arbitrum's blocks come about otherwise.", every))
}

// gasNotes are what must be said beside gas and fees.
func (r *runner) gasNotes(on *result.Group, rollup bool) []string {
	p := r.options.Prices
	notes := []string{
		"From receipts of " + on.Title + ". Gas is the same on every EVM chain of these rules; the paper reports 37,000 to 50,000 per CDR.",
		fmt.Sprintf("Fees are arithmetic on that gas at stated prices, not what anybody paid: L2 gas %g gwei, ether %g USD.", p.L2, p.Ether),
		"The event-only registry refuses no second record under a key, and a Merkle root waits for its records.",
	}
	if rollup {
		return append(notes, fmt.Sprintf("The fee for the L1 is the receipts' l1Fee, with this chain's scalars, at a stated base fee of %g gwei and a blob base fee of %g gwei. Scalars are each chain's own choice.", p.L1, p.L1Blob))
	}
	return append(notes, "anvil counts no fee for the L1: measure with an OP Stack for that.")
}
