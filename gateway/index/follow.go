package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
)

// Source is where blocks come from: the operator's own peers.
type Source interface {
	// Blocks streams whole blocks from a number on, in order, until the context ends
	// or the peer goes away.
	Blocks(ctx context.Context, from uint64) (<-chan *common.Block, error)
	// Block is one block.
	Block(ctx context.Context, number uint64) (*common.Block, error)
	// Height is the number of blocks the peer has.
	Height(ctx context.Context) (uint64, error)
}

const (
	// longestWait is between two tries to reach a peer.
	longestWait = 5 * time.Second
	// maxBatchWrites ends a batch: its rows are in memory.
	maxBatchWrites = 4000
)

// Run follows the source until the context ends. What goes wrong is logged, told by
// Trouble, and tried again.
func (x *Index) Run(ctx context.Context, source Source) {
	var polling sync.WaitGroup
	polling.Go(func() { x.pollPeer(ctx, source) })
	defer polling.Wait()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, longestWait
	for ctx.Err() == nil {
		before := x.Height()
		err := x.follow(ctx, source)
		if ctx.Err() != nil {
			return
		}
		if x.Height() != before {
			wait.Reset()
		}
		switch {
		case err == nil || errors.Is(err, errMoved):
		case isOtherChain(err):
			x.setTrouble(err)
			x.log.Error("the index does not follow the channel", "error", err)
		default:
			x.setTrouble(err)
			x.log.Warn("the index waits for its peer or database", "error", err)
		}
		pause := time.NewTimer(wait.NextBackOff())
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// follow projects blocks from the checkpoint on until the stream ends.
func (x *Index) follow(ctx context.Context, source Source) error {
	at, err := x.start(ctx, source)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	blocks, err := source.Blocks(ctx, at.height)
	if err != nil {
		return fmt.Errorf("ask for blocks from %d on: %w", at.height, err)
	}
	// A stream's sender waits for its reader without looking at the context.
	defer func() {
		cancel()
		go func() {
			for range blocks {
			}
		}()
	}()
	for {
		var first *common.Block
		var open bool
		select {
		case <-ctx.Done():
			return nil
		case first, open = <-blocks:
			if !open {
				return nil
			}
		}
		if at, err = x.project(ctx, at, first, blocks); err != nil {
			return err
		}
	}
}

// start reads the checkpoint and answers it, if the source's chain is the index's.
func (x *Index) start(ctx context.Context, source Source) (checkpoint, error) {
	at, err := loadCheckpoint(ctx, x.db.reader, "")
	if err != nil {
		return at, err
	}
	if at.height > 0 && at.projection != projectionVersion {
		x.log.Info("the index was made by another version and is made anew", "its", at.projection, "own", int64(projectionVersion))
		if err := x.Clear(ctx); err != nil {
			return at, err
		}
		at = checkpoint{}
	}
	x.reached(at.height)
	first, err := source.Block(ctx, 0)
	if err != nil {
		return at, fmt.Errorf("ask for block 0: %w", err)
	}
	genesis, err := at.checkGenesis(x.db.name, x.channel, x.msp, first)
	if err != nil {
		return at, err
	}
	if at.height == 0 {
		return checkpoint{channel: x.channel, msp: x.msp, genesis: genesis, projection: projectionVersion}, nil
	}
	return at, nil
}

// project takes a block and those that wait behind it into the database.
func (x *Index) project(ctx context.Context, at checkpoint, first *common.Block, waiting <-chan *common.Block) (checkpoint, error) {
	began := time.Now()
	b := newBatch(x.msp, x.chaincodes, at.height)
	b.hash = at.hash
	for block := first; block != nil; {
		hash, err := follows(x.db.name, block, b.to, b.hash)
		if err != nil {
			return at, err
		}
		if err := b.take(block); err != nil {
			return at, err
		}
		b.to, b.hash = b.to+1, hash
		block = nil
		if b.writes < maxBatchWrites && b.to-b.from < uint64(x.config.BatchBlocks) { //nolint:gosec // positive
			select {
			case block = <-waiting:
			default:
			}
		}
	}
	before := at
	if before.height == 0 {
		before = checkpoint{} // nothing stands yet
	}
	next := at
	if err := b.write(ctx, x.db, x.statements, before, next); err != nil {
		return at, err
	}
	next.height, next.hash = b.to, bytes.Clone(b.hash)
	x.metrics.blocks.Add(float64(b.to - b.from))
	x.metrics.rows.Add(float64(b.writes))
	x.metrics.unreadable.Add(float64(b.unreadable))
	x.metrics.batches.WithLabelValues().Observe(time.Since(began).Seconds())
	if b.unreadable > 0 {
		x.log.Warn("the ledger holds values that this version cannot read: they are kept and listed as unreadable", "writes", b.unreadable, "from_block", b.from, "to_block", b.to-1)
	}
	x.reached(next.height)
	x.setTrouble(nil)
	return next, nil
}

// pollPeer asks for the peer's height, and says how far the index is behind. It
// also looks at the checkpoint, which another gateway on the same database may
// have moved.
func (x *Index) pollPeer(ctx context.Context, source Source) {
	ticker := time.NewTicker(x.config.PollInterval)
	defer ticker.Stop()
	var behindSince time.Time
	for {
		if height, err := source.Height(ctx); err == nil {
			x.peerHeight.Store(height)
			// A peer that is back without a new block has nothing for the projection,
			// which would end the trouble.
			if x.Height() >= height && !isOtherChain(x.Trouble()) {
				x.setTrouble(nil)
			}
		}
		own, peer := x.Height(), x.PeerHeight()
		if own >= peer {
			behindSince = time.Time{}
			x.metrics.lagBlocks.Set(0)
			x.metrics.lagSeconds.Set(0)
		} else {
			if behindSince.IsZero() {
				behindSince = time.Now()
			}
			x.metrics.lagBlocks.Set(float64(peer - own))
			x.metrics.lagSeconds.Set(time.Since(behindSince).Seconds())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Clear forgets all rows: the next Run begins at block 0. Page tokens stay good.
func (x *Index) Clear(ctx context.Context) error {
	tx, err := x.db.begin(ctx)
	if err != nil {
		return err
	}
	for _, t := range projected {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+t.name); err != nil { //nolint:gosec // a name of the code's own
			return errors.Join(fmt.Errorf("clear %s: %w", t.name, err), tx.Rollback())
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM checkpoint"); err != nil {
		return errors.Join(fmt.Errorf("clear the checkpoint: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("clear the index: %w", err)
	}
	x.reached(0)
	return nil
}
