package journal

import (
	"fmt"
	"time"

	"github.com/callseal/callseal/gateway/setting"
)

// Config bounds a journal. A zero member takes its default.
type Config struct {
	// MaxEntries bounds the entries that are not settled, refused ones among them;
	// 200,000 by default. An append beyond it is refused as Busy.
	MaxEntries int `yaml:"max_entries"`
	// MaxBytes bounds their payloads, in bytes; 2 GiB by default.
	MaxBytes setting.Bytes `yaml:"max_bytes"`
	// ReserveBytes is the size of a file beside the journal that is given up when
	// the disk is full, so that what was accepted can still be worked off; 64 MiB
	// by default.
	ReserveBytes setting.Bytes `yaml:"reserve_bytes"`
	// MinFreeBytes is what must be free on the disk, the reserve aside, for an
	// append to be taken; 64 MiB by default.
	MinFreeBytes setting.Bytes `yaml:"min_free_bytes"`
	// KeepSettled bounds the receipts that are kept for repetitions once the index
	// has projected them; 100,000 by default, none when negative.
	KeepSettled int `yaml:"keep_settled"`
	// KeepFor bounds how long they are kept; 24 hours by default. It counts the
	// time that the gateway runs, not the wall clock's, which may jump.
	KeepFor time.Duration `yaml:"keep_for"`
	// MemTableBytes is how much is held in memory before it is written out in
	// order; 4 MiB by default. Two of them may be in memory at a time.
	MemTableBytes setting.Bytes `yaml:"mem_table_bytes"`
	// CacheBytes is the cache of what is read from disk; 4 MiB by default.
	CacheBytes setting.Bytes `yaml:"cache_bytes"`
}

// The defaults, and the least that works.
const (
	defaultMaxEntries    = 200_000
	defaultMaxBytes      = 2 * setting.GiB
	defaultReserveBytes  = 64 * setting.MiB
	defaultMinFreeBytes  = 64 * setting.MiB
	defaultKeepSettled   = 100_000
	defaultKeepFor       = 24 * time.Hour
	defaultMemTableBytes = 4 * setting.MiB
	defaultCacheBytes    = 4 * setting.MiB
	leastMemTableBytes   = 64 * setting.KiB
)

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{
		MaxEntries: defaultMaxEntries, MaxBytes: defaultMaxBytes, ReserveBytes: defaultReserveBytes, MinFreeBytes: defaultMinFreeBytes,
		KeepSettled: defaultKeepSettled, KeepFor: defaultKeepFor, MemTableBytes: defaultMemTableBytes, CacheBytes: defaultCacheBytes,
	}
}

// Check fills in the defaults and refuses what cannot work.
func (c *Config) Check() error {
	for _, member := range []struct {
		name     string
		value    *setting.Bytes
		standard setting.Bytes
		least    setting.Bytes
	}{
		{"max_bytes", &c.MaxBytes, defaultMaxBytes, 1},
		{"reserve_bytes", &c.ReserveBytes, defaultReserveBytes, 1},
		{"min_free_bytes", &c.MinFreeBytes, defaultMinFreeBytes, 1},
		{"mem_table_bytes", &c.MemTableBytes, defaultMemTableBytes, leastMemTableBytes},
		{"cache_bytes", &c.CacheBytes, defaultCacheBytes, 1},
	} {
		if *member.value == 0 {
			*member.value = member.standard
		}
		if *member.value < member.least {
			return fmt.Errorf("journal.%s is %s, it must be at least %s", member.name, *member.value, member.least)
		}
	}
	if c.MaxEntries == 0 {
		c.MaxEntries = defaultMaxEntries
	}
	if c.MaxEntries < 1 {
		return fmt.Errorf("journal.max_entries is %d, it must be at least 1", c.MaxEntries)
	}
	if c.KeepSettled == 0 {
		c.KeepSettled = defaultKeepSettled
	}
	c.KeepSettled = max(c.KeepSettled, 0)
	if c.KeepFor == 0 {
		c.KeepFor = defaultKeepFor
	}
	if c.KeepFor < 0 {
		return fmt.Errorf("journal.keep_for is %s, it must not be negative", c.KeepFor)
	}
	return nil
}
