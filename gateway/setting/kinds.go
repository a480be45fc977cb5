package setting

import (
	"fmt"
	"log/slog"
	"math"

	"github.com/dustin/go-humanize"
)

// Bytes is a size, written "64MiB", "2GB" or as a plain number of bytes.
type Bytes int64

// The binary units.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	size, err := humanize.ParseBytes(string(text))
	if err != nil || size > math.MaxInt64 {
		return fmt.Errorf("%q is no size: write it such as 64MiB", text)
	}
	*b = Bytes(size)
	return nil
}

// MarshalText writes the size so that it reads back exactly.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String is the size in the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, unit := range []struct {
		size Bytes
		name string
	}{{TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if b != 0 && b%unit.size == 0 {
			return fmt.Sprintf("%d%s", b/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%dB", int64(b))
}

// redacted is what a secret prints as.
const redacted = "<redacted>"

// Secret is a value that never appears in print or logs.
type Secret string

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String tells only whether there is one.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from telling.
func (s Secret) GoString() string { return fmt.Sprintf("setting.Secret(%q)", s.String()) }

// MarshalText tells only whether there is one.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps logs from telling.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// UnmarshalText takes the secret as it is written.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}
