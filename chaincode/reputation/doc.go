// Package reputation is the arithmetic of reputation (P2 §3), in integers only,
// so that every endorser, gateway and auditor gets the same number.
//
// Evidence is counted in thousandths of an event: a positive event of weight 1
// adds 1000 to α, a negative one 1000 to β. A score is thousandths of a point on
// P2's scale of 0 to 10, with the prior α=β=2:
//
//	score = 10000·(2000+α)/(4000+α+β), rounded down
//
// which is 5000 for a subject nobody knows, 6000 after one positive event and
// 4000 after one negative one.
//
// Time is milliseconds since 1970. It is cut into steps of half-life/256 on one
// grid for all (step n begins at n·half-life/256), and evidence loses the factor
// 2^(-1/256) with each step that begins: see [Aged]. Within a step nothing ages, so
// evidence of one step adds up to the same in any order.
//
// The package imports nothing of Callseal's: the contracts, the gateways and the
// adapters all import it.
package reputation
