package limit

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what callers may do at once and in a second.
type Config struct {
	// Client bounds one caller: one certificate, or one person by token.
	Client Bounds `yaml:"client"`
	// Total bounds all callers together.
	Total Bounds `yaml:"total"`
	// Clients is how many callers are remembered; the one that called least
	// recently is forgotten for a new one.
	Clients int `yaml:"clients" reload:"true"`
	// Patience is how long a call waits for its turn when as many run as may.
	Patience time.Duration `yaml:"patience" reload:"true"`
	// Connections bounds connections, whoever makes them.
	Connections ConnectionConfig `yaml:"connections"`
}

// Bounds has one bound for each class of methods.
type Bounds struct {
	// Write is for calls that change something.
	Write Bound `yaml:"write"`
	// Read is for queries that answer one thing.
	Read Bound `yaml:"read"`
	// List is for queries that answer many.
	List Bound `yaml:"list"`
	// Stream is for streams: the rate is that of opening them.
	Stream Bound `yaml:"stream"`
}

// Bound is how many calls may begin in a second and run at once.
type Bound struct {
	// Rate is calls in a second, in the long run.
	Rate float64 `yaml:"rate" reload:"true"`
	// Burst is how many may come at once after a pause.
	Burst int `yaml:"burst" reload:"true"`
	// Concurrent is how many may be under way.
	Concurrent int `yaml:"concurrent" reload:"true"`
}

// DefaultConfig is wide enough that 64 adapters at full speed never meet it, and
// narrow enough that one caller gone mad leaves the others their share.
func DefaultConfig() Config {
	return Config{
		Client: Bounds{
			Write:  Bound{Rate: 1000, Burst: 2000, Concurrent: 64},
			Read:   Bound{Rate: 1000, Burst: 2000, Concurrent: 64},
			List:   Bound{Rate: 200, Burst: 400, Concurrent: 16},
			Stream: Bound{Rate: 20, Burst: 60, Concurrent: 32},
		},
		Total: Bounds{
			Write:  Bound{Rate: 20_000, Burst: 40_000, Concurrent: 1024},
			Read:   Bound{Rate: 20_000, Burst: 40_000, Concurrent: 1024},
			List:   Bound{Rate: 2000, Burst: 4000, Concurrent: 128},
			Stream: Bound{Rate: 400, Burst: 1200, Concurrent: 1024},
		},
		Clients:     4096,
		Patience:    5 * time.Second,
		Connections: DefaultConnectionConfig(),
	}
}

// Check answers what is wrong with the configuration.
func (c *Config) Check() error {
	var problems []error
	if c.Clients < 1 {
		problems = append(problems, errors.New("clients must be 1 or more"))
	}
	if c.Patience <= 0 {
		problems = append(problems, errors.New("patience must be above 0"))
	}
	for whose, bounds := range map[string]Bounds{"client": c.Client, "total": c.Total} {
		for _, class := range Classes {
			bound := bounds.of(class)
			if bound.Rate <= 0 || bound.Burst < 1 || bound.Concurrent < 1 {
				problems = append(problems, fmt.Errorf("%s.%s needs a rate above 0, and a burst and a concurrent of 1 or more", whose, class))
			}
		}
	}
	return errors.Join(problems...)
}

func (b *Bounds) of(class Class) Bound {
	switch class {
	case Write:
		return b.Write
	case List:
		return b.List
	case Stream:
		return b.Stream
	default:
		return b.Read
	}
}
