package index

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

// checkpoint is how far the index is, and of which chain.
type checkpoint struct {
	channel, msp  string
	genesis, hash []byte
	height        uint64
	projection    int64
}

func (c checkpoint) equal(other checkpoint) bool {
	return c.channel == other.channel && c.msp == other.msp && c.height == other.height && c.projection == other.projection &&
		bytes.Equal(c.genesis, other.genesis) && bytes.Equal(c.hash, other.hash)
}

// querier is a transaction or a pool.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// loadCheckpoint is the checkpoint as it stands; the zero one where there is none.
func loadCheckpoint(ctx context.Context, from querier, suffix string) (checkpoint, error) {
	var c checkpoint
	var height int64
	err := from.QueryRowContext(ctx, "SELECT channel, msp, genesis, hash, height, projection FROM checkpoint WHERE id = 1"+suffix).
		Scan(&c.channel, &c.msp, &c.genesis, &c.hash, &height, &c.projection)
	if errors.Is(err, sql.ErrNoRows) {
		return checkpoint{}, nil
	}
	if err != nil {
		return checkpoint{}, fmt.Errorf("read the index's checkpoint: %w", err)
	}
	c.height = uint64(height) //nolint:gosec // written from one
	return c, nil
}

// save writes the checkpoint.
func (c *checkpoint) save(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO checkpoint (id, channel, msp, genesis, height, hash, projection) VALUES (1, $1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET channel = excluded.channel, msp = excluded.msp, genesis = excluded.genesis,
		height = excluded.height, hash = excluded.hash, projection = excluded.projection`,
		c.channel, c.msp, c.genesis, int64(c.height), c.hash, c.projection) //nolint:gosec // 2^63 blocks are far
	if err != nil {
		return fmt.Errorf("write the index's checkpoint: %w", err)
	}
	return nil
}

// otherChain says that the index is not of the peer's chain, and what to do.
func otherChain(name, found string) error {
	return fault.New(fault.State, "the index in %s is not of the peer's channel: %s. If the network was made anew or the peer restored from another backup, make the index anew with `callseal gateway index rebuild`; if the configuration names the wrong peer, channel or index, mend it", name, found)
}

// isOtherChain recognizes what otherChain says.
func isOtherChain(err error) bool {
	var what *fault.Error
	return errors.As(err, &what) && what.Kind == fault.State
}

// checkGenesis answers unless the checkpoint is of the chain that begins with the
// block.
func (c *checkpoint) checkGenesis(name, channel, msp string, block *common.Block) ([]byte, error) {
	genesis, err := fabric.HeaderHash(block.GetHeader())
	switch {
	case err != nil:
		return nil, err
	case c.height == 0:
		return genesis, nil
	case c.channel != channel:
		return nil, otherChain(name, fmt.Sprintf("it is of channel %q, the configuration names %q", c.channel, channel))
	case c.msp != msp:
		return nil, otherChain(name, fmt.Sprintf("it is %s's, the configuration names %s", c.msp, msp))
	case !bytes.Equal(c.genesis, genesis):
		return nil, otherChain(name, fmt.Sprintf("it begins with block %.12x…, the channel with %.12x…", c.genesis, genesis))
	}
	return genesis, nil
}

// follow answers the hash of a block's header, if the block is the one after a
// header with the hash given, and whole.
func follows(name string, block *common.Block, number uint64, previous []byte) ([]byte, error) {
	header := block.GetHeader()
	if header.GetNumber() != number {
		return nil, fmt.Errorf("the peer sent block %d where block %d was next", header.GetNumber(), number)
	}
	if number > 0 && !bytes.Equal(header.GetPreviousHash(), previous) {
		return nil, otherChain(name, fmt.Sprintf("block %d does not follow the block %d that was indexed", number, number-1))
	}
	if err := fabric.CheckData(block); err != nil {
		return nil, fmt.Errorf("check the block: %w", err)
	}
	return fabric.HeaderHash(header)
}
