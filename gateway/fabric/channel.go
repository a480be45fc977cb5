// Package fabric drives Callseal's channel through the operator's own peer:
// evaluate, endorse, submit, commit, each a stage with a deadline of its own.
package fabric

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Channel is one channel seen through the operator's own peers by one identity.
// It is safe for concurrent use.
type Channel struct {
	*shared
	chaincode string
}

// shared is what every chaincode of a channel is reached by.
type shared struct {
	*life
	msp       string
	name      string
	peers     []*Peer
	turn      atomic.Uint64
	partners  *partners
	deadlines Deadlines
	commits   *Commits
	log       *slog.Logger
	watched   sync.Once
	metrics   *Metrics
	closing   func() error
	config    Config
	// token holds the identity's key, where that is in hardware.
	token hardwareKey
}

// Option is a part that a channel can do without.
type Option func(*choices)

type choices struct {
	log     *slog.Logger
	metrics *Metrics
}

// WithMetrics measures.
func WithMetrics(metrics *Metrics) Option { return func(c *choices) { c.metrics = metrics } }

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
		return nil, errNoPeer
	}
	if chosen.metrics == nil {
		chosen.metrics = NewMetrics(nil)
	}
	if chosen.log == nil {
		chosen.log = slog.New(slog.DiscardHandler)
	}
	var token hardwareKey
	if config.PKCS11.ModuleFile != "" {
		var err error
		if token, err = openToken(config.PKCS11); err != nil {
			return nil, err
		}
	}
	signer, err := config.signer(token)
	if err != nil {
		return nil, errors.Join(err, closeToken(token))
	}
	opened := &shared{metrics: chosen.metrics, config: config, token: token, life: newLife(), msp: config.MSP, name: config.Channel, deadlines: config.Deadlines.withDefaults(), log: chosen.log}
	opened.closing = sync.OnceValue(opened.closeAll)
	opened.partners = newPartners(config.MSP, config.Partners, func(msp string, left bool) {
		opened.log.Info("an operator's endorsement is asked for or not", "operator", msp, "left_out", left)
	})
	for _, at := range config.Peers {
		link, err := connect(&config, at, signer)
		if err != nil {
			return nil, errors.Join(err, opened.Close())
		}
		opened.peers = append(opened.peers, newPeer(at.Address, link, chosen.log, chosen.metrics))
	}
	channel := &Channel{shared: opened, chaincode: config.Chaincode}
	opened.commits = newCommits(channel, chosen.log)
	if chosen.metrics.registerer != nil {
		chosen.metrics.registerer.MustRegister(standing{opened})
	}
	return channel, nil
}

// start looks after the peers' health from the first call on, where there is a
// choice.
func (c *Channel) start() {
	if len(c.peers) > 1 {
		c.watchAll()
	}
}

func (c *Channel) watchAll() {
	c.watched.Do(func() {
		c.background(c.followFiles)
		for _, peer := range c.peers {
			c.background(func(ctx context.Context) { c.watch(ctx, peer) })
		}
	})
}

// In is the same channel for another chaincode, on the same connections. Close
// only the first.
func (c *Channel) In(chaincode string) *Channel {
	return &Channel{shared: c.shared, chaincode: chaincode}
}

// MSP is the operator the channel's identity belongs to.
func (c *shared) MSP() string { return c.msp }

// Commits tells of the transactions that reached the channel's ledger.
func (c *shared) Commits() *Commits { return c.commits }

// Close ends what runs in the background and the connections. Closing again does
// nothing.
func (c *shared) Close() error { return c.closing() }

func (c *shared) closeAll() error {
	c.end()
	var failed []error
	for _, peer := range c.peers {
		failed = append(failed, peer.close())
	}
	return errors.Join(append(failed, closeToken(c.token))...)
}

func closeToken(token hardwareKey) error {
	if token == nil {
		return nil
	}
	return token.Close()
}

// stage gives a call the stage's deadline, or the caller's if that is sooner.
func stage(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, bound)
}
