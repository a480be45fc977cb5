package report

import (
	"strings"

	"gonum.org/v1/plot/vg/draw"
)

// All names of groups and measurements that the report looks for are here.

// Source says which command measures which groups.
type Source struct {
	Groups  []string
	Command string
}

// sources are in the order in which the report shows their groups. `make bench` runs
// them all.
var sources = []Source{
	{[]string{"callseal-bft", "callseal-raft", "callseal-growth"}, "`make bench-load`"},
	{[]string{"op-stack-defaults", "op-stack-tuned", "anvil-1s", "anvil-250ms", "anvil-automine", "gas"}, "`make bench-l2`"},
	{[]string{"tessera-default", "tessera-tuned", "fabric-stock"}, "`make bench-peers`"},
	{[]string{"rivs"}, "`make bench-rivs`"},
	{[]string{"callseal-adapter"}, "`make bench-adapter`"},
	{[]string{"callseal-start"}, "`make bench-start`"},
	{[]string{"caliper"}, "`make caliper`"},
}

// Bound is the side on which an aim has to be reached.
type Bound string

// The bounds.
const (
	// AtLeast is reached by the aim itself and by more.
	AtLeast Bound = "at least"
	// Below is reached by less than the aim.
	Below Bound = "below"
	// AtMost is reached by the aim itself and by less.
	AtMost Bound = "at most"
)

// Aim is one figure that Callseal is to reach.
type Aim struct {
	// ID names it in causes.yaml and in the pages' figures.
	ID string
	// Row is the row of the table to which it belongs, Title what it is within that.
	Row, Title string
	// Quantity is what is measured.
	Quantity Quantity
	// Bound, Target and Unit are the aim; the figure must have that unit.
	Bound  Bound
	Target float64
	Unit   string
	// Note is what must be said beside it.
	Note string
}

// The figures of Callseal that several rows use.
const (
	lone      = "callseal-bft/commit/lone p50"
	details   = "callseal-bft/throughput/saturation/details"
	noDetails = "callseal-bft/throughput/saturation/no-details"
)

// The rows of the table.
const (
	rowStack      = "A lone CDR, sent to committed, against the OP Stack at 2 s blocks"
	rowOther      = "The same, against other chains"
	rowLone       = "Lone commit"
	rowSteady     = "Commit at 200 CDR/s"
	rowSustained  = "Sustained CDRs committed, each with its details under its own private key"
	rowPlain      = "The same without details, and what a CDR with details takes"
	rowFabric     = "Against stock Fabric settings"
	rowTessera    = "Against Tessera on POSIX files"
	rowReputation = "Reputation evidence counted"
	rowGateway    = "Gateway at saturation"
	rowGrowth     = "Latency at 1 million calls on the ledger"
	rowAdapter    = "Adapter and gateway at 30 concurrent recorded calls"
)

const plainNote = "Stock Fabric's side is a plain application, one record a transaction and without details; Callseal's has details, and its clients are adapters."

const noneNote = "A CDR always has details, so these are records of the kind that has none: an omission, which says of a leg that its CDR is missing. It is smaller than a CDR. CDRs of full size whose details nobody stores are those that fill the growing ledger."

const proofNote = "Tessera's side is a record a second until its inclusion proof is verified against a signed checkpoint; Callseal's is until the client knows that two operators' endorsements were ordered and found valid. Exporting evidence is in neither."

// aims are the table, row by row.
var aims = []Aim{
	{ID: "op-stack-defaults", Row: rowStack, Title: "op-geth at its defaults, p50", Quantity: quotient("op-stack-defaults/latency/lone p50", lone), Bound: AtLeast, Target: 150, Unit: Times},
	{ID: "op-stack-tuned", Row: rowStack, Title: "op-geth tuned, p50", Quantity: quotient("op-stack-tuned/latency/lone p50", lone), Bound: AtLeast, Target: 45, Unit: Times},
	{ID: "anvil-250ms", Row: rowOther, Title: "anvil at 0.25 s blocks, p50", Quantity: quotient("anvil-250ms/latency/lone p50", lone), Bound: AtLeast, Target: 6, Unit: Times},
	{ID: "op-stack-safe", Row: rowOther, Title: "the OP Stack's safe head, p50", Quantity: quotient("op-stack-defaults/latency/safe p50", lone), Bound: AtLeast, Target: 1500, Unit: Times},
	{ID: "lone-bft-p50", Row: rowLone, Title: "BFT, p50", Quantity: figure(lone), Bound: Below, Target: 20, Unit: "ms"},
	{ID: "lone-bft-p99", Row: rowLone, Title: "BFT, p99", Quantity: figure("callseal-bft/commit/lone p99"), Bound: Below, Target: 40, Unit: "ms"},
	{ID: "lone-raft-p50", Row: rowLone, Title: "Raft, p50", Quantity: figure("callseal-raft/commit/lone p50"), Bound: Below, Target: 15, Unit: "ms"},
	{ID: "lone-raft-p99", Row: rowLone, Title: "Raft, p99", Quantity: figure("callseal-raft/commit/lone p99"), Bound: Below, Target: 30, Unit: "ms"},
	{ID: "steady-p99", Row: rowSteady, Title: "p99", Quantity: figure("callseal-bft/commit/rate=200 p99"), Bound: Below, Target: 100, Unit: "ms"},
	{ID: "details-3000", Row: rowSustained, Title: "first", Quantity: figure(details), Bound: AtLeast, Target: 3000, Unit: "/s"},
	{ID: "details-5000", Row: rowSustained, Title: "then", Quantity: figure(details), Bound: AtLeast, Target: 5000, Unit: "/s"},
	{ID: "no-details", Row: rowPlain, Title: "sustained without details", Quantity: figure(noDetails), Bound: AtLeast, Target: 7000, Unit: "/s", Note: noneNote},
	{ID: "network-cpu", Row: rowPlain, Title: "whole network's processor time, with details", Quantity: figure("callseal-bft/cpu/network/saturation/details"), Bound: Below, Target: 400, Unit: "µs"},
	{ID: "fabric-throughput", Row: rowFabric, Title: "throughput", Quantity: quotient(details, "fabric-stock/throughput/plain"), Bound: AtLeast, Target: 15, Unit: Times, Note: plainNote},
	{ID: "fabric-lone", Row: rowFabric, Title: "lone latency, p50", Quantity: quotient("fabric-stock/commit/lone-plain p50", lone), Bound: AtLeast, Target: 100, Unit: Times, Note: plainNote},
	{ID: "tessera-default-proof", Row: rowTessera, Title: "default settings, latency to proof, p50", Quantity: quotient("tessera-default/proof/lone p50", lone), Bound: AtLeast, Target: 20, Unit: Times, Note: proofNote},
	{ID: "tessera-tuned-proof", Row: rowTessera, Title: "tuned settings, latency to proof, p50", Quantity: quotient("tessera-tuned/proof/lone p50", lone), Bound: AtLeast, Target: 20, Unit: Times, Note: proofNote},
	{ID: "tessera-default-throughput", Row: rowTessera, Title: "default settings, throughput", Quantity: quotient(noDetails, "tessera-default/throughput/saturation"), Bound: AtLeast, Target: 1, Unit: Times, Note: "Neither side has details."},
	{ID: "tessera-tuned-throughput", Row: rowTessera, Title: "tuned settings, throughput", Quantity: quotient(noDetails, "tessera-tuned/throughput/saturation"), Bound: AtLeast, Target: 1, Unit: Times, Note: "Neither side has details."},
	{ID: "reputation-hot", Row: rowReputation, Title: "hot subject", Quantity: figure("callseal-bft/throughput/reputation/hot"), Bound: AtLeast, Target: 5000, Unit: "/s"},
	{ID: "reputation-cold", Row: rowReputation, Title: "cold subjects", Quantity: figure("callseal-bft/throughput/reputation/cold"), Bound: AtLeast, Target: 5000, Unit: "/s"},
	{ID: "reputation-conflicts", Row: rowReputation, Title: "conflicts", Quantity: figure("callseal-bft/conflicts/reputation"), Bound: AtMost, Target: 0, Unit: "none"},
	{ID: "reputation-mismatches", Row: rowReputation, Title: "mismatches between endorsers", Quantity: figure("callseal-bft/mismatches/reputation"), Bound: AtMost, Target: 0, Unit: "none"},
	{ID: "gateway-cpu", Row: rowGateway, Title: "gateway's processor time a CDR", Quantity: figure("callseal-bft/cpu/gateway/saturation/details"), Bound: Below, Target: 60, Unit: "µs"},
	{ID: "growth", Row: rowGrowth, Title: "against 10 thousand, p50", Quantity: quotient("callseal-growth/commit/lone/calls=1000000 p50", "callseal-growth/commit/lone/calls=10000 p50"), Bound: AtMost, Target: 1.1, Unit: Times},
	{ID: "adapter-cpu", Row: rowAdapter, Title: "processor time added, of one core", Quantity: figure("callseal-adapter/cpu/calls=30"), Bound: Below, Target: 5, Unit: "%"},
}

// Comparison is a part of the report that sets others beside Callseal.
type Comparison struct {
	Title string
	// Text says what is compared.
	Text string
	// Latencies and Values are the lines of its tables. The first of each is
	// Callseal's, over which, or of which, the ratios of the others are.
	Latencies, Values []Line
	// Pairs are figures of which each has its own counterpart.
	Pairs []Pair
	// Groups are those whose notes it shows.
	Groups []string
	// Plots are those it shows, by name.
	Plots []string
}

// Pair is a figure of somebody else's and Callseal's counterpart.
type Pair struct {
	Label        string
	Theirs, Ours Reference
	// More says that more is better, as of throughput.
	More bool
}

// Line is a measurement and what it is called beside others.
type Line struct{ Label, Group, Measurement string }

var comparisons = []Comparison{
	{
		Title: "All side by side",
		Text:  "A record on its own, and as many a second as there were. A step to the left is faster; the axes are logarithmic.",
		Plots: []string{"latency", "throughput"},
	},
	{
		Title: "Callseal by itself",
		Text:  "From when a record was due until the client heard that it was committed, and how many a second the network sustains. The details of a call are in a second transaction that its owner alone endorses.",
		Latencies: []Line{
			{"BFT, lone", "callseal-bft", "commit/lone"},
			{"BFT, a recorded call, from hang-up", "callseal-adapter", "hang-up"},
			{"Raft, lone", "callseal-raft", "commit/lone"},
			{"BFT, at 50/s", "callseal-bft", "commit/rate=50"},
			{"BFT, at 200/s", "callseal-bft", "commit/rate=200"},
			{"Raft, at 200/s", "callseal-raft", "commit/rate=200"},
			{"BFT, lone, until its details are stored", "callseal-bft", "settle/lone"},
			{"BFT, at 100/s among 60 reads/s", "callseal-bft", "mixed/commit"},
			{"a call read from the peer, among those writes", "callseal-bft", "mixed/read/point"},
			{"a conversation, the same", "callseal-bft", "mixed/read/conversation"},
			{"a page of 50 calls from the index, the same", "callseal-bft", "mixed/read/list"},
		},
		Values: []Line{
			{"BFT, with details", "callseal-bft", "throughput/saturation/details"},
			{"BFT, without details", "callseal-bft", "throughput/saturation/no-details"},
			{"Raft, with details", "callseal-raft", "throughput/saturation/details"},
			{"Raft, without details", "callseal-raft", "throughput/saturation/no-details"},
			{"BFT, calls whose details nobody stores, past the gateway", "callseal-growth", "throughput/fill/calls=1000000"},
		},
		Groups: []string{"callseal-bft", "callseal-raft", "callseal-growth"},
		Plots:  []string{"growth", "processor", "memory"},
	},
	{
		Title: "An Ethereum L2",
		Text:  "From when a record was due until its receipt, or until the safe head had reached its block. The registry holds the same record: its owner is checked and a second one under the same key is refused.",
		Latencies: []Line{
			{"Callseal, BFT", "callseal-bft", "commit/lone"},
			{"OP Stack, op-geth at its defaults", "op-stack-defaults", "latency/lone"},
			{"the same, at 20/s", "op-stack-defaults", "latency/open"},
			{"the same, safe head", "op-stack-defaults", "latency/safe"},
			{"OP Stack, op-geth tuned", "op-stack-tuned", "latency/lone"},
			{"the same, at 20/s", "op-stack-tuned", "latency/open"},
			{"the same, safe head", "op-stack-tuned", "latency/safe"},
			{"anvil, 1 s blocks", "anvil-1s", "latency/lone"},
			{"anvil, 0.25 s blocks", "anvil-250ms", "latency/lone"},
			{"anvil, a block a transaction", "anvil-automine", "latency/lone"},
		},
		Groups: []string{"op-stack-defaults", "op-stack-tuned", "anvil-1s", "anvil-250ms", "anvil-automine", "gas"},
		Plots:  []string{"gas", "fees"},
	},
	{
		Title: "A transparency log: Tessera on POSIX files",
		Text:  "What people use who need no consortium. " + proofNote,
		Latencies: []Line{
			{"Callseal, BFT", "callseal-bft", "commit/lone"},
			{"Tessera, default settings", "tessera-default", "proof/lone"},
			{"the same, after a quiet while", "tessera-default", "proof/quiet"},
			{"the same, at 200/s", "tessera-default", "proof/rate=200"},
			{"Tessera, tuned", "tessera-tuned", "proof/lone"},
			{"the same, after a quiet while", "tessera-tuned", "proof/quiet"},
			{"the same, at 200/s", "tessera-tuned", "proof/rate=200"},
		},
		Values: []Line{
			{"Callseal, BFT, without details", "callseal-bft", "throughput/saturation/no-details"},
			{"Tessera, default settings", "tessera-default", "throughput/saturation"},
			{"Tessera, tuned", "tessera-tuned", "throughput/saturation"},
		},
		Groups: []string{"tessera-default", "tessera-tuned"},
	},
	{
		Title: "Fabric as its samples set it",
		Text:  "A block after 2 s or 10 messages. " + plainNote,
		Latencies: []Line{
			{"Callseal, BFT", "callseal-bft", "commit/lone"},
			{"a plain application", "fabric-stock", "commit/lone-plain"},
			{"Callseal's gateway on such a network", "fabric-stock", "commit/lone"},
		},
		Values: []Line{
			{"Callseal, BFT, with details", "callseal-bft", "throughput/saturation/details"},
			{"plain applications", "fabric-stock", "throughput/plain"},
			{"Callseal's gateway on such a network", "fabric-stock", "throughput/gateway"},
		},
		Groups: []string{"fabric-stock"},
	},
	{
		Title: "RiVS: RabbitMQ, SQL and a process for each message",
		Text:  "The second paper's way and Callseal's, the same events in the same run. A ratio above 1 is for Callseal.",
		Pairs: []Pair{
			{"a CDR row: a process, or the adapter's parser", at("rivs/row/process p50"), at("rivs/row/parser"), false},
			{"a CDR row: from the table, or by the parser", at("rivs/row/sql p50"), at("rivs/row/parser"), false},
			{"a message: a process, or on the gateway's disk", at("rivs/message/process p50"), at("rivs/message/gateway p50"), false},
			{"a message: RabbitMQ, or on the gateway's disk", at("rivs/message/rabbitmq p50"), at("rivs/message/gateway p50"), false},
			{"messages a second", at("rivs/message/rabbitmq-peak"), at("rivs/message/gateway-peak"), true},
			{"a score: a process, or on the ledger", at("rivs/score/process p50"), at("rivs/score/gateway p50"), false},
			{"a score: SQL, or on the ledger", at("rivs/score/sql p50"), at("rivs/score/gateway p50"), false},
			{"scores a second: SQL, or on the ledger", at("rivs/score/sql-peak"), at("rivs/score/gateway-peak"), true},
			{"a row to its score, all of it", at("rivs/event/rivs p50"), at("rivs/event/callseal p50"), false},
			{"memory: RabbitMQ, or the gateway", at("rivs/memory/rabbitmq"), at("rivs/memory/gateway"), false},
		},
		Groups: []string{"rivs"},
	},
}

// series are lines of a plot.
type series struct {
	Line
	style style
}

// latencySeries are those of the cumulative distributions.
var latencySeries = []series{
	{Line{"Callseal, Raft", "callseal-raft", "commit/lone"}, style{color: blue, dashes: dashed}},
	{Line{"Callseal, BFT", "callseal-bft", "commit/lone"}, style{color: blue, dashes: solid}},
	{Line{"anvil, a block a transaction", "anvil-automine", "latency/lone"}, style{color: purple, dashes: dotted}},
	{Line{"anvil, 0.25 s blocks", "anvil-250ms", "latency/lone"}, style{color: purple, dashes: dashed}},
	{Line{"anvil, 1 s blocks", "anvil-1s", "latency/lone"}, style{color: purple, dashes: solid}},
	{Line{"Tessera, tuned, to proof", "tessera-tuned", "proof/lone"}, style{color: green, dashes: dashed}},
	{Line{"Tessera, default, to proof", "tessera-default", "proof/lone"}, style{color: green, dashes: solid}},
	{Line{"Fabric, sample settings", "fabric-stock", "commit/lone-plain"}, style{color: sky, dashes: solid}},
	{Line{"OP Stack, tuned", "op-stack-tuned", "latency/lone"}, style{color: red, dashes: dashed}},
	{Line{"OP Stack, defaults", "op-stack-defaults", "latency/lone"}, style{color: red, dashes: solid}},
	{Line{"OP Stack, safe head", "op-stack-defaults", "latency/safe"}, style{color: red, dashes: mixed}},
}

// rampSeries are those of throughput against latency: the measurements of a group whose
// names begin so and that have the parameter offered.
var rampSeries = []series{
	{Line{"Callseal, BFT", "callseal-bft", "commit/rate="}, style{color: blue, mark: draw.CircleGlyph{}, hollow: draw.RingGlyph{}}},
	{Line{"Callseal, Raft", "callseal-raft", "commit/rate="}, style{color: orange, mark: draw.BoxGlyph{}, hollow: draw.SquareGlyph{}}},
	{Line{"Tessera, tuned", "tessera-tuned", "proof/"}, style{color: green, mark: draw.PyramidGlyph{}, hollow: draw.TriangleGlyph{}}},
	{Line{"OP Stack, tuned", "op-stack-tuned", "latency/open"}, style{color: red, mark: draw.CrossGlyph{}, hollow: draw.PlusGlyph{}}},
}

// growthSeries are those of the growing ledger: the same, with the parameter calls.
var growthSeries = []series{
	{Line{"lone", "callseal-growth", "commit/lone"}, style{color: blue, mark: draw.CircleGlyph{}, hollow: draw.RingGlyph{}}},
	{Line{"at 200/s", "callseal-growth", "commit/rate=200"}, style{color: red, mark: draw.PyramidGlyph{}, hollow: draw.TriangleGlyph{}}},
}

// Bar is a bar of a plot: parts that are stacked, all of them or no bar.
type Bar struct {
	Label, Group string
	Segments     []Segment
	// Scale is what figures are multiplied by; 0 is 1.
	Scale float64
}

// Segment is a part of a bar.
type Segment struct{ Label, Measurement string }

// paperGas is what the paper reports for a CDR.
var paperGas = [2]float64{37_000, 50_000}

// registries are the variants of the contract.
var registries = [][2]string{
	{"two-slot struct and event", "struct"}, {"one slot and event", "slot"}, {"event only", "event"},
	{"Merkle root over 10", "merkle-10"}, {"Merkle root over 100", "merkle-100"}, {"Merkle root over 500", "merkle-500"},
}

var (
	gasBars = barsOf(registries, func(name string) Bar { return Bar{Group: "gas", Segments: []Segment{{"gas", "gas/" + name}}} })
	feeBars = barsOf(registries, func(name string) Bar {
		return Bar{Group: "gas", Scale: 1000, Segments: []Segment{{"execution on the L2", "fee-l2/" + name}, {"bytes on the L1", "fee-l1/" + name}}}
	})
	processorBars = barsOf([][2]string{
		{"BFT, with details", "callseal-bft details"}, {"BFT, without details", "callseal-bft no-details"},
		{"Raft, with details", "callseal-raft details"}, {"Raft, without details", "callseal-raft no-details"},
	}, func(name string) Bar {
		group, load, _ := strings.Cut(name, " ")
		return Bar{Group: group, Segments: []Segment{
			{"peers", "cpu/peers/saturation/" + load}, {"chaincode", "cpu/chaincode/saturation/" + load},
			{"orderers", "cpu/orderers/saturation/" + load}, {"gateway", "cpu/gateway/saturation/" + load},
		}}
	})
	memoryBars = []Bar{
		{Label: "Callseal's gateway, without a peer and orderers", Group: "callseal-bft", Segments: []Segment{{"one process", "memory/saturation/details"}}},
		{Label: "RabbitMQ, without a database", Group: "rivs", Segments: []Segment{{"one process", "memory/rabbitmq"}}},
		{Label: "OP Stack, tuned, 20 records/s", Group: "op-stack-tuned", Segments: []Segment{{"L1 geth", "memory/l1-geth"}, {"op-geth", "memory/op-geth"}, {"op-node", "memory/op-node"}, {"op-batcher", "memory/op-batcher"}}},
		{Label: "anvil, 0.25 s blocks, 20 records/s", Group: "anvil-250ms", Segments: []Segment{{"one process", "memory/anvil"}}},
	}
)

func barsOf(named [][2]string, of func(name string) Bar) []Bar {
	bars := make([]Bar, len(named))
	for i, one := range named {
		bars[i] = of(one[1])
		bars[i].Label = one[0]
	}
	return bars
}

// Guarded is a ratio that must not get worse from one report to the next. Ratios hold
// from one machine to another, more or less; figures do not.
type Guarded struct {
	// ID names it.
	ID string
	// Title is what it is.
	Title string
	// Quantity is the ratio.
	Quantity Quantity
	// Higher says that more is better.
	Higher bool
}

// guarded are of what `make bench-quick` measures. Of anvil the mean is taken: its
// latencies are even over a block's time, of which few samples tell the mean better
// than the median. The gateway's share is that at a rate: saturation begins with what the
// gateway takes in at once, which makes much of a short measurement.
var guarded = []Guarded{
	{"lone-to-anvil", "lone commit, anvil at 0.25 s blocks over BFT", quotient("anvil-250ms/latency/open mean", lone), true},
	{"raft-to-bft", "lone commit, Raft over BFT", quotient("callseal-raft/commit/lone p50", lone), true},
	{"steady-to-lone", "commit at 200 CDR/s over lone, p50", quotient("callseal-bft/commit/rate=200 p50", lone), false},
	{"details-to-fabric", "throughput with details over stock Fabric's", quotient(details, "fabric-stock/throughput/plain"), true},
	{"details-to-tessera", "throughput with details over Tessera's, tuned", quotient(details, "tessera-tuned/throughput/saturation"), true},
	{"details-to-none", "throughput with details over that without", quotient(details, noDetails), true},
	{"gateway-share", "gateway's share of the network's processor time at 200 CDR/s", quotient("callseal-bft/cpu/gateway/rate=200", "callseal-bft/cpu/network/rate=200"), false},
}
