package index

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Index is one operator's projection of one channel. It is safe for concurrent
// use.
type Index struct {
	config             Config
	msp, channel       string
	chaincodes         []string
	db                 *database
	statements         *statements
	tokenKey           []byte
	scan               int // maxScan, or what a test says
	log                *slog.Logger
	metrics            *Metrics
	height, peerHeight atomic.Uint64

	mu       sync.Mutex
	advanced chan struct{} // closed when the height moves
	trouble  error         // why it does not follow; nil where it does
}

// Subject says what an index is of.
type Subject struct {
	// MSP is the operator's: reputations are merged as for it.
	MSP string
	// Channel and Chaincode are Fabric's names.
	Channel, Chaincode string
}

// Open opens the index, and makes it where there is none. Run makes it follow.
func Open(ctx context.Context, config Config, of Subject, log *slog.Logger, metrics *Metrics) (*Index, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, &config)
	if err != nil {
		return nil, err
	}
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	x := &Index{
		config: config, msp: of.MSP, channel: of.Channel, scan: maxScan, chaincodes: []string{of.Chaincode, ledger.GovernanceChaincode}, db: db,
		statements: newStatements(db), log: log, metrics: metrics, advanced: make(chan struct{}),
	}
	if err := x.load(ctx); err != nil {
		_ = db.close()
		return nil, err
	}
	return x, nil
}

func (x *Index) load(ctx context.Context) error {
	if err := x.db.reader.QueryRowContext(ctx, "SELECT key FROM token_key WHERE id = 1").Scan(&x.tokenKey); err != nil {
		return fmt.Errorf("read the key for page tokens: %w", err)
	}
	at, err := loadCheckpoint(ctx, x.db.reader, "")
	if err != nil {
		return err
	}
	x.reached(at.height)
	return nil
}

// Close closes the database. Run must have ended.
func (x *Index) Close() error {
	x.statements.close()
	return x.db.close()
}

// Height is the number of blocks that are projected: all that stands in blocks
// below it is in the rows, on disk.
func (x *Index) Height() uint64 { return x.height.Load() }

// PeerHeight is the number of blocks the own peer had when it was asked last.
func (x *Index) PeerHeight() uint64 { return x.peerHeight.Load() }

// Advanced is closed when the index next moves on: take it, look, and wait.
func (x *Index) Advanced() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.advanced
}

// Await waits until so many blocks are projected.
func (x *Index) Await(ctx context.Context, height uint64) error {
	for {
		moved := x.Advanced()
		if x.Height() >= height {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the index: %w", ctx.Err())
		case <-moved:
		}
	}
}

// Trouble is why the index does not follow its peer; nil where it does.
func (x *Index) Trouble() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.trouble
}

// reached notes the height and wakes those who wait for it.
func (x *Index) reached(height uint64) {
	if x.height.Swap(height) == height {
		return
	}
	x.metrics.height.Set(float64(height))
	x.mu.Lock()
	defer x.mu.Unlock()
	close(x.advanced)
	x.advanced = make(chan struct{})
}

func (x *Index) setTrouble(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trouble = err
}

// Stored is the number of blocks that are projected by the database itself, which
// another gateway may write too.
func (x *Index) Stored(ctx context.Context) (uint64, error) {
	at, err := loadCheckpoint(ctx, x.db.reader, "")
	return at.height, err
}
