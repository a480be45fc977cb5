package adapter

import (
	"flag"
	"math/rand/v2"
)

// What `make soak-adapter` asks for; without, the same is done in short.
var (
	long = flag.Bool("adapter.long", false, "run the long form: two thousand calls and three hundred disruptions, ten minutes of concurrent calls")
	seed = flag.Uint64("adapter.seed", rand.Uint64N(1_000_000), "decides what is disrupted, and when")
	out  = flag.String("adapter.out", "", "folder to write reports to")
)
