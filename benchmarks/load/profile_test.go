package load_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// profile takes processor, block and mutex profiles of the gateway until it is ended.
func (s *stage) profile(b *testing.B, name string) (end func()) {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	var taking sync.WaitGroup
	for _, kind := range []string{"profile?seconds=10", "allocs", "mutex", "block"} {
		taking.Go(func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.meter.Profiles()+kind, nil)
			if err != nil {
				return
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return // the measurement ended first
			}
			defer func() { _ = response.Body.Close() }()
			text, err := io.ReadAll(response.Body)
			if err != nil {
				return
			}
			require.NoError(b, os.WriteFile(filepath.Join(*profiles, s.group.Name+"-"+name+"-"+kind[:5]+".pprof"), text, 0o644))
		})
	}
	return func() { taking.Wait(); stop() }
}
