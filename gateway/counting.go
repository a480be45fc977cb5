package gateway

import (
	"log/slog"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/reputation"
)

// newTally counts evidence if the gateway has the consortium's key, else it is
// nil.
func newTally(config *Config, channel *fabric.Channel, log *slog.Logger) (*reputation.Tally, error) {
	if config.Reputation.KeyFile == "" {
		return nil, nil //nolint:nilnil // a gateway need not count
	}
	keys := config.Reputation
	if err := keys.ReadKeys(); err != nil {
		return nil, err
	}
	return reputation.New(channel, keys, log), nil
}
