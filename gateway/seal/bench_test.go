package seal_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/seal"
)

// BenchmarkSeal seals the details of that many records at once, in a keyring that
// holds 100,000 keys: what a record costs must not grow with what is there.
func BenchmarkSeal(b *testing.B) {
	keyring, err := seal.Open(filepath.Join(b.TempDir(), "keyring.db"))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, keyring.Close()) })
	n := 0
	items := func(count int) []seal.Item {
		made := make([]seal.Item, count)
		for i := range made {
			n++
			made[i] = seal.Item{Key: fmt.Sprintf("record %d", n), Details: make([]byte, 350)}
		}
		return made
	}
	for range 200 {
		_, err := keyring.Seal(items(500))
		require.NoError(b, err)
	}
	for _, count := range []int{1, 50, 500} {
		b.Run(fmt.Sprintf("records=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := keyring.Seal(items(count))
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*count), "µs/record")
		})
	}
}
