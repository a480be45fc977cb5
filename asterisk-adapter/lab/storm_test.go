package lab_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	libari "github.com/CyCoreSystems/ari/v6"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/lab"
)

// storm counts to 4,000 in the dialplan, which raises two events a step.
const storm = `[lab]
exten => storm,1,Set(STEP=0)
 same => n(more),Set(STEP=$[${STEP} + 1])
 same => n,GotoIf($[${STEP} < 4000]?more)
 same => n,Hangup()
exten => wait,1,Answer()
 same => n,Wait(60)
`

// TestStorm has a real Asterisk raise thousands of events as fast as it can, in several
// channels at once, while the consumer is slow: every one of them comes.
func TestStorm(t *testing.T) {
	ast, err := lab.Require(t).Start(t.Context(), lab.Options{Files: map[string]string{"extensions.conf": storm}})
	require.NoError(t, err)
	t.Cleanup(ast.Stop)
	const channels, steps = 3, 4000
	var mu sync.Mutex
	counted := map[string]map[int]bool{} // by channel, the steps that were told of
	destroyed := map[string]bool{}
	connected := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- ari.New(ari.Options{URL: ast.ARI(), User: lab.User, Password: ast.Secret()}).Run(ctx, ari.Handler{
			Connected: func(n int, _ ari.Listing) { connected <- n },
			Event: func(event libari.Event) {
				mu.Lock()
				defer mu.Unlock()
				switch e := event.(type) {
				case *libari.ChannelVarset:
					if step, err := strconv.Atoi(e.Value); err == nil && e.Variable == "STEP" && step > 0 {
						if counted[e.Channel.ID] == nil {
							counted[e.Channel.ID] = map[int]bool{}
							time.Sleep(200 * time.Millisecond) // a consumer that falls behind at once
						}
						counted[e.Channel.ID][step] = true
					}
				case *libari.ChannelDestroyed:
					destroyed[e.Channel.ID] = true
				}
			},
		})
	}()
	require.Equal(t, 1, <-connected)
	for range channels {
		_, err := ast.Command(t.Context(), "channel originate Local/storm@lab extension wait@lab")
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		if len(counted) < channels {
			return false
		}
		for id := range counted {
			if !destroyed[id] {
				return false
			}
		}
		return true
	}, 4*patience, 20*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Len(t, counted, channels)
	for id, told := range counted {
		require.Len(t, told, steps, "of the channel %s", id)
	}
	require.Empty(t, connected, "the connection held")
}
