package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/callseal/callseal/gateway/fault"
)

// Blocks streams the channel's whole blocks from a number on, in order and each
// once, as an own peer commits them. When that peer stops answering or delivering,
// another own peer takes over where it ended. The stream ends with the context, or
// when no own peer delivers: whoever reads asks again from where he is.
func (c *Channel) Blocks(ctx context.Context, from uint64) (<-chan *common.Block, error) {
	c.start()
	ctx, cancel := context.WithCancel(ctx)
	// The first answer says whether there is a peer at all.
	first, err := c.openBlocks(ctx, from)
	if err != nil {
		cancel()
		return nil, err
	}
	blocks := make(chan *common.Block)
	started := c.background(func(ended context.Context) {
		defer close(blocks)
		defer cancel()
		defer context.AfterFunc(ended, cancel)()
		for opened := first; opened != nil; {
			err := c.pass(ctx, opened, &from, blocks)
			opened.cancel()
			if ctx.Err() != nil {
				return
			}
			c.log.Debug("the stream of whole blocks broke", "peer", opened.peer.address, "next", from, "error", err)
			opened.peer.doubt()
			if opened, err = c.openBlocks(ctx, from); err != nil {
				return
			}
		}
	})
	if !started {
		cancel()
		return nil, classify(fault.StageEvaluate, "", errors.New("the channel was closed"))
	}
	return blocks, nil
}

// blocksOf is an open stream of whole blocks.
type blocksOf struct {
	peer   *Peer
	stream stream
	cancel context.CancelFunc
}

// openBlocks opens a stream at the best peer that has what is asked for.
func (c *Channel) openBlocks(ctx context.Context, from uint64) (*blocksOf, error) {
	var failed error
	for _, peer := range c.order() {
		height, err := c.heightOf(ctx, peer)
		if err == nil && height < from {
			err = &fault.Error{
				Kind: fault.Unavailable, Stage: fault.StageEvaluate,
				Message: fmt.Sprintf("the peer has %d blocks and not yet block %d", height, from),
			}
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		streaming, cancel := context.WithCancel(ctx)
		opened, err := peer.link.Load().deliver(streaming, from)
		if err == nil {
			return &blocksOf{peer: peer, stream: opened, cancel: cancel}, nil
		}
		cancel()
		failed = errors.Join(failed, classify(fault.StageEvaluate, "", err))
	}
	return nil, failed
}

// pass hands blocks over until the stream fails, its peer falls, or it owes for
// too long what some own peer has.
func (c *Channel) pass(ctx context.Context, from *blocksOf, next *uint64, to chan<- *common.Block) error {
	received := make(chan *common.Block)
	failed := make(chan error, 1)
	go func() {
		for {
			block, err := wholeBlock(from.stream)
			if err != nil {
				failed <- err
				return
			}
			select {
			case received <- block:
			case <-from.stream.Context().Done():
				failed <- from.stream.Context().Err()
				return
			}
		}
	}()
	defer func() {
		from.cancel()
		<-failed //nolint:errcheck // only that it has ended
	}()
	_, fell := from.peer.state()
	looking := time.NewTicker(streamPatience / 4)
	defer looking.Stop()
	var owing time.Time
	for {
		select {
		case block := <-received:
			if block.GetHeader().GetNumber() != *next {
				return fmt.Errorf("block %d came for block %d", block.GetHeader().GetNumber(), *next)
			}
			from.peer.has(*next + 1)
			from.peer.answered()
			owing = time.Time{}
			select {
			case to <- block:
				*next++
			case <-ctx.Done():
				return ctx.Err()
			}
		case err := <-failed:
			failed <- err
			return err
		case <-fell:
			return errors.New("the peer does not answer")
		case <-looking.C:
			switch {
			case c.tallest() <= *next:
				owing = time.Time{}
			case owing.IsZero():
				owing = time.Now()
			case time.Since(owing) > streamPatience:
				return errors.New("the peer does not deliver what there is")
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tallest is the largest height known of any own peer.
func (c *shared) tallest() uint64 {
	var height uint64
	for _, peer := range c.peers {
		height = max(height, peer.height.Load())
	}
	return height
}
