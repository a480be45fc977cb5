// Package program makes a benchmark a program: what tests start (networks, databases,
// fleets of adapters) takes a [testing.TB], and here is one that is no test. It ends
// what was started however the measurement ends, says in one sentence what went wrong,
// and writes results only of what was measured whole.
package program
