package driver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
)

// confirmPatience is how long after the last was sent all must be in blocks.
const confirmPatience = 30 * time.Second

// Sample is a record that was sent and is in a block.
type Sample struct {
	// Due is when it was to be sent; what is late in being sent counts as latency.
	Due time.Time
	// Confirmed is when its receipt was here.
	Confirmed time.Time
	// Block is that of its transaction.
	Block uint64
}

// Next signs the next record's transaction.
type Next func() (*types.Transaction, error)

// Lone sends one record at a time, for a while. Between two it pauses for a random
// part of pause, which is to be the chain's block time: whoever sends as soon as a
// block has come would always meet the chain at the same phase.
func Lone(ctx context.Context, sender *Sender, follower *Follower, next Next, duration, pause time.Duration, random *rand.Rand) ([]Sample, error) {
	var samples []Sample
	for began := time.Now(); time.Since(began) < duration || len(samples) == 0; {
		if pause > 0 {
			if err := sleep(ctx, time.Duration(random.Int64N(int64(pause)))); err != nil {
				return nil, err
			}
		}
		due := time.Now()
		transaction, err := next()
		if err != nil {
			return nil, err
		}
		confirmed := make(chan Confirmation, 1)
		follower.Expect(transaction.Hash(), func(c Confirmation) { confirmed <- c })
		if err := sender.Send(ctx, transaction); err != nil {
			return nil, err
		}
		select {
		case c := <-confirmed:
			if c.Receipt.Status != types.ReceiptStatusSuccessful {
				return nil, ErrReverted
			}
			samples = append(samples, Sample{Due: due, Confirmed: c.At, Block: c.Receipt.BlockNumber.Uint64()})
		case <-follower.Done():
			return nil, follower.Err()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(confirmPatience):
			return nil, errUnconfirmed
		}
	}
	return samples, nil
}

var errUnconfirmed = fmt.Errorf("a transaction is in no block %s after it was sent", confirmPatience)

// OpenLoop sends records at Poisson arrivals of that many a second for a while,
// whatever becomes of those before, and waits until all are in blocks. Arrivals at
// even distances would meet the chain at few phases only.
func OpenLoop(ctx context.Context, sender *Sender, follower *Follower, next Next, duration time.Duration, rate float64, random *rand.Rand) ([]Sample, error) {
	var (
		mutex    sync.Mutex
		samples  []Sample
		reverted error
		sent     sync.WaitGroup
	)
	began := time.Now()
	for due := began; ; {
		due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
		if due.Sub(began) > duration {
			break
		}
		if err := sleep(ctx, time.Until(due)); err != nil {
			return nil, err
		}
		transaction, err := next()
		if err != nil {
			return nil, err
		}
		sent.Add(1)
		follower.Expect(transaction.Hash(), func(c Confirmation) {
			defer sent.Done()
			mutex.Lock()
			defer mutex.Unlock()
			if c.Receipt.Status != types.ReceiptStatusSuccessful {
				reverted = ErrReverted
			}
			samples = append(samples, Sample{Due: due, Confirmed: c.At, Block: c.Receipt.BlockNumber.Uint64()})
		})
		if err := sender.Send(ctx, transaction); err != nil {
			return nil, err
		}
	}
	all := make(chan struct{})
	go func() { sent.Wait(); close(all) }()
	select {
	case <-all:
	case <-follower.Done():
		return nil, follower.Err()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(confirmPatience):
		return nil, errUnconfirmed
	}
	if reverted == nil && len(samples) == 0 {
		reverted = errors.New("no transaction was due within that time: measure for longer, or at a higher rate")
	}
	return samples, reverted
}

func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
