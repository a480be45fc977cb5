package driver

import (
	"context"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// Confirmation is a transaction that was found in a block.
type Confirmation struct {
	// Receipt is what the chain says of it.
	Receipt *types.Receipt
	// At is when its receipt was here.
	At time.Time
}

// Follower reads every block of a chain as it becomes its latest, and tells whoever
// waits for one of its transactions.
type Follower struct {
	client *ethclient.Client
	stop   context.CancelFunc
	done   chan struct{}
	err    error

	mutex   sync.Mutex
	waiting map[common.Hash]func(Confirmation)
}

// Follow connects to a chain by WebSocket and follows it until the context or Close
// ends it.
func Follow(ctx context.Context, url string) (*Follower, error) {
	client, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect to the chain: %w", err)
	}
	heads := make(chan *types.Header, 64)
	subscription, err := client.SubscribeNewHead(ctx, heads)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("follow the chain's heads: %w", err)
	}
	// What came before there is anybody to wait for it needs no reading.
	next, err := client.BlockNumber(ctx)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("ask the chain for its height: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	f := &Follower{client: client, stop: stop, done: make(chan struct{}), waiting: map[common.Hash]func(Confirmation){}}
	go func() {
		defer close(f.done)
		defer client.Close()
		defer subscription.Unsubscribe()
		f.err = f.read(ctx, heads, subscription.Err(), next+1)
	}()
	return f, nil
}

// read reads blocks from number next on.
func (f *Follower) read(ctx context.Context, heads <-chan *types.Header, failed <-chan error, next uint64) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-failed:
			return fmt.Errorf("the chain tells of no more heads: %w", err)
		case head := <-heads:
			// A node may tell of the last of several blocks only.
			for ; next <= head.Number.Uint64(); next++ {
				receipts, err := f.client.BlockReceipts(ctx, rpc.BlockNumberOrHashWithNumber(rpc.BlockNumber(next))) //nolint:gosec // a height
				if err != nil {
					return fmt.Errorf("read the receipts of block %d: %w", next, err)
				}
				f.tell(receipts, time.Now())
			}
		}
	}
}

func (f *Follower) tell(receipts types.Receipts, at time.Time) {
	for _, receipt := range receipts {
		f.mutex.Lock()
		told := f.waiting[receipt.TxHash]
		delete(f.waiting, receipt.TxHash)
		f.mutex.Unlock()
		if told != nil {
			told(Confirmation{Receipt: receipt, At: at})
		}
	}
}

// Expect has confirmed called, once and soon, when a transaction that is about to be
// sent is in a block. confirmed must not block.
func (f *Follower) Expect(transaction common.Hash, confirmed func(Confirmation)) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.waiting[transaction] = confirmed
}

// Waiting is how many transactions are expected still.
func (f *Follower) Waiting() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return len(f.waiting)
}

// Done is closed when it follows no more.
func (f *Follower) Done() <-chan struct{} { return f.done }

// Err says why it follows no more, once Done is closed.
func (f *Follower) Err() error { return f.err }

// Close ends it.
func (f *Follower) Close() {
	f.stop()
	<-f.done
}

// Safe is the height that the chain calls safe.
func Safe(ctx context.Context, client *ethclient.Client) (uint64, error) {
	header, err := client.HeaderByNumber(ctx, big.NewInt(int64(rpc.SafeBlockNumber)))
	if err != nil {
		return 0, fmt.Errorf("ask for the safe head: %w", err)
	}
	return header.Number.Uint64(), nil
}
