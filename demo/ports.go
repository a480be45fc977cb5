package demo

import (
	"fmt"
	"math/rand/v2"

	"github.com/callseal/callseal/network"
)

// freePorts finds an offset at which every port of the network is free: the demo
// must not disturb a network that runs already.
func freePorts() (int, error) {
	const tries, step = 20, 400
	for try := range tries {
		offset := 0
		if try > 0 {
			offset = step * (1 + rand.IntN(60))
		}
		moved, err := network.Development().WithPortOffset(offset)
		if err != nil {
			continue
		}
		if moved.PortsFree() {
			return offset, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports after %d tries: is another network running? See `callseal network status`", len(network.Development().Addresses()), tries)
}
