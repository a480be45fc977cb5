package gateway

import (
	"log/slog"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/reputation"
)

// newTally counts evidence if the gateway has the consortium's key, else it is
// nil.
func newTally(config *Config, channel *fabric.Channel, log *slog.Logger) (*reputation.Tally, error) {
	if config.ConsortiumKeyFile == "" {
		return nil, nil //nolint:nilnil // a gateway need not count
	}
	keys := reputation.Config{Writer: config.Writer}
	var err error
	if keys.Key, err = reputation.ReadKey(config.ConsortiumKeyFile); err != nil {
		return nil, err
	}
	if config.PreviousConsortiumKeyFile != "" {
		if keys.PreviousKey, err = reputation.ReadKey(config.PreviousConsortiumKeyFile); err != nil {
			return nil, err
		}
	}
	return reputation.New(channel, keys, log), nil
}
