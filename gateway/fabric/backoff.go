package fabric

import (
	"time"

	"google.golang.org/grpc/backoff"
)

// reconnectBackoff keeps a returning peer from waiting: gRPC's standard backoff
// grows to two minutes.
var reconnectBackoff = backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}
