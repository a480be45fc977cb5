// Package l2 measures the Ethereum L2 baseline: the registries of package contracts,
// on a real OP Stack and on anvil, driven from Go. It leaves these groups of results,
// by the chains that it is told to run:
//
//   - op-stack-defaults, op-stack-tuned: latency/lone, latency/open (to a receipt in
//     the latest block), latency/safe (the same transactions, to a safe head at or
//     beyond their block), memory/PROCESS and cpu/PROCESS of l1-geth, op-geth,
//     op-node, op-batcher and total.
//   - anvil-1s, anvil-250ms, anvil-automine (or another block time): latency/lone,
//     latency/open, memory/anvil, cpu/anvil, memory/total, cpu/total.
//   - gas: gas/REGISTRY, fee-l2/REGISTRY, and with an OP Stack l1-gas/REGISTRY,
//     fee-l1/REGISTRY and fee/REGISTRY, each of one CDR, for REGISTRY struct, slot,
//     event, and merkle-N for a root over N records.
package l2
