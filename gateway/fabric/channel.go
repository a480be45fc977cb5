// Package fabric drives Callseal's channel through the operator's own peer:
// evaluate, endorse, submit, commit, each a stage with a deadline of its own.
package fabric

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
)

// Channel is one channel seen through the operator's own peers by one identity.
// It is safe for concurrent use.
type Channel struct {
	*shared
	chaincode string
}

// shared is what every chaincode of a channel is reached by.
type shared struct {
	msp       string
	name      string
	signer    *signer
	peers     []*Peer
	partners  *partners
	deadlines Deadlines
	commits   *Commits
	// blocksFrom counts the peers that ended a stream of blocks.
	blocksFrom atomic.Uint32
}

// Option is a part that a channel can do without.
type Option func(*choices)

type choices struct{ log *slog.Logger }

// WithLog logs what happens to the peers.
func WithLog(log *slog.Logger) Option { return func(c *choices) { c.log = log } }

// Open prepares the channel. It does not wait for the peers: one that is away
// shows in the calls, and in Height.
func Open(config Config, options ...Option) (*Channel, error) {
	var chosen choices
	for _, option := range options {
		option(&chosen)
	}
	if len(config.Peers) == 0 {
		return nil, errors.New("no peer is configured: name at least one of the operator's own")
	}
	if chosen.log == nil {
		chosen.log = slog.New(slog.DiscardHandler)
	}
	signer, err := config.signer()
	if err != nil {
		return nil, err
	}
	opened := &shared{
		msp: config.MSP, name: config.Channel, signer: signer,
		partners: &partners{own: config.MSP, msps: config.Partners}, deadlines: config.Deadlines.withDefaults(),
	}
	for _, at := range config.Peers {
		peer, err := connect(&config, at, signer)
		if err != nil {
			_ = opened.Close()
			return nil, err
		}
		opened.peers = append(opened.peers, peer)
	}
	channel := &Channel{shared: opened, chaincode: config.Chaincode}
	opened.commits = newCommits(channel, chosen.log)
	return channel, nil
}

// In is the same channel for another chaincode, on the same connections. Close
// only the first.
func (c *Channel) In(chaincode string) *Channel {
	return &Channel{shared: c.shared, chaincode: chaincode}
}

// contract is the chaincode by way of a peer.
func (c *Channel) contract() *client.Contract {
	return c.peers[0].network.GetContract(c.chaincode)
}

// MSP is the operator the channel's identity belongs to.
func (c *shared) MSP() string { return c.msp }

// Commits tells of the transactions that reached the channel's ledger.
func (c *shared) Commits() *Commits { return c.commits }

// Close ends what runs in the background and the connections.
func (c *shared) Close() error {
	if c.commits != nil {
		c.commits.close()
	}
	var failed []error
	for _, peer := range c.peers {
		failed = append(failed, peer.close())
	}
	return errors.Join(failed...)
}

// stage gives a call the stage's deadline, or the caller's if that is sooner.
func stage(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, bound)
}
