package anchor

import (
	"errors"
	"time"

	"github.com/callseal/callseal/gateway/setting"
)

// Config bounds a segment's way to the ledger.
type Config struct {
	// InFlight is how many public transactions may be under way at once; a second one
	// begins only when it is full or its segments have waited.
	InFlight int `yaml:"in_flight"`
	// DetailsInFlight is the same of transactions that store details.
	DetailsInFlight int `yaml:"details_in_flight"`
	// MaxPerPBX bounds the segments of one PBX that are accepted and not settled: a
	// PBX that floods the gateway is told to wait while others go on.
	MaxPerPBX int `yaml:"max_per_pbx"`
	// MaxUnderWay bounds the same of all PBXs together: each takes about 1 KiB of
	// memory, whatever its size.
	MaxUnderWay int `yaml:"max_under_way"`
	// AcceptBytes bounds what is being checked and written to the journal at once;
	// what comes beyond it waits on its stream.
	AcceptBytes setting.Bytes `yaml:"accept_bytes"`
	// HoldBytes is how much of what is in the journal is held in memory too; the
	// rest is read again when its turn comes.
	HoldBytes setting.Bytes `yaml:"hold_bytes"`
	// Window bounds the segments of one stream that have no answer yet.
	Window int `yaml:"window"`
	// DrainFor bounds the wait, at a shutdown, for transactions that are under way;
	// those that take longer are found again at the next start.
	DrainFor time.Duration `yaml:"drain_for"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{
		InFlight: 4, DetailsInFlight: 2, MaxPerPBX: 10_000, MaxUnderWay: 40_000, AcceptBytes: 8 * setting.MiB, HoldBytes: 4 * setting.MiB, Window: 128, DrainFor: 5 * time.Second,
	}
}

// Check refuses what cannot work.
func (c *Config) Check() error {
	switch {
	case c.InFlight < 1 || c.InFlight > 64:
		return errors.New("in_flight must lie between 1 and 64")
	case c.DetailsInFlight < 1 || c.DetailsInFlight > 64:
		return errors.New("details_in_flight must lie between 1 and 64")
	case c.MaxPerPBX < 1:
		return errors.New("max_per_pbx must be at least 1")
	case c.MaxUnderWay < c.MaxPerPBX:
		return errors.New("max_under_way must be at least max_per_pbx")
	case c.AcceptBytes < 2*maxWireBytes:
		return errors.New("accept_bytes must be at least 4 MiB: one segment takes up to that")
	case c.HoldBytes < 0:
		return errors.New("hold_bytes must not be negative")
	case c.Window < 1:
		return errors.New("window must be at least 1")
	case c.DrainFor < 0:
		return errors.New("drain_for must not be negative")
	}
	return nil
}
