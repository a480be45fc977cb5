package demo

import (
	"fmt"
	"math/rand/v2"
	"net"

	"github.com/callseal/callseal/network"
)

// freePorts finds an offset at which every port of the network is free: the demo
// must not disturb a network that runs already.
func freePorts() (int, error) {
	const tries, step = 20, 400
	for try := range tries {
		offset := 0
		if try > 0 {
			offset = step * (1 + rand.IntN(60)) //nolint:gosec // no secret
		}
		moved, err := network.Development().WithPortOffset(offset)
		if err != nil {
			continue
		}
		if allFree(moved.Addresses()) {
			return offset, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports after %d tries: is another network running? See `callseal network status`", len(network.Development().Addresses()), tries)
}

func allFree(addresses []string) bool {
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address) //nolint:noctx // closed at once
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}
