package driver

import (
	"errors"
	"fmt"
	"time"

	"github.com/goccy/go-yaml"
)

// Rounds is what is read of Caliper's benchmark file.
type Rounds struct {
	Test struct {
		Workers struct {
			Number int `yaml:"number"`
		} `yaml:"workers"`
		Rounds []Round `yaml:"rounds"`
	} `yaml:"test"`
}

// Round is one of its rounds.
type Round struct {
	// Label names it among all, such as get/saturation.
	Label string `yaml:"label"`
	// TxDuration is how long it takes, in seconds.
	TxDuration  int `yaml:"txDuration"`
	RateControl struct {
		Type string `yaml:"type"`
		Opts struct {
			// TPS is offered, in transactions a second.
			TPS float64 `yaml:"tps"`
			// TransactionLoad is how many are under way at once.
			TransactionLoad float64 `yaml:"transactionLoad"`
		} `yaml:"opts"`
	} `yaml:"rateControl"`
	Workload struct {
		Arguments struct {
			// Records are those of a transaction.
			Records float64 `yaml:"records"`
		} `yaml:"arguments"`
	} `yaml:"workload"`
}

// ErrRounds is a benchmark file that cannot be measured by.
var ErrRounds = errors.New("bad benchmark file")

// ParseRounds reads a benchmark file.
func ParseRounds(text []byte) (*Rounds, error) {
	var rounds Rounds
	if err := yaml.Unmarshal(text, &rounds); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRounds, err)
	}
	if rounds.Test.Workers.Number < 1 || len(rounds.Test.Rounds) == 0 {
		return nil, fmt.Errorf("%w: it needs test.workers.number and test.rounds", ErrRounds)
	}
	seen := map[string]bool{}
	for i, one := range rounds.Test.Rounds {
		if one.Label == "" || seen[one.Label] {
			return nil, fmt.Errorf("%w: round %d needs a label of its own", ErrRounds, i+1)
		}
		seen[one.Label] = true
		if one.TxDuration < 1 {
			return nil, fmt.Errorf("%w: the round %s needs a txDuration: how long it takes in seconds", ErrRounds, one.Label)
		}
	}
	return &rounds, nil
}

// Title is how the report calls the round.
func (r *Round) Title() string {
	if r.RateControl.Opts.TPS > 0 {
		return fmt.Sprintf("%s at %g transactions/s", r.name(), r.RateControl.Opts.TPS)
	}
	return fmt.Sprintf("%s, %g transactions under way", r.name(), r.RateControl.Opts.TransactionLoad)
}

// name is the label without what the rate control says.
func (r *Round) name() string {
	for i := range r.Label {
		if r.Label[i] == '/' {
			return r.Label[:i]
		}
	}
	return r.Label
}

// parameters are what the round is measured at.
func (r *Round) parameters() map[string]float64 {
	parameters := map[string]float64{}
	for name, value := range map[string]float64{
		"offered": r.RateControl.Opts.TPS, "underway": r.RateControl.Opts.TransactionLoad, "records": r.Workload.Arguments.Records,
	} {
		if value > 0 {
			parameters[name] = value
		}
	}
	return parameters
}

// patience is how long Caliper may take for all rounds: each is prepared, and rests five
// seconds after it.
func (r *Rounds) patience() time.Duration {
	const start, around = 2 * time.Minute, 40 * time.Second
	total := start
	for _, one := range r.Test.Rounds {
		total += around + time.Duration(one.TxDuration)*time.Second
	}
	return total
}
