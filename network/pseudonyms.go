package network

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// consortiumKeyBytes is the length of the key that pseudonyms are made with.
const consortiumKeyBytes = 32

// newConsortiumKey draws the key that the gateways of a development network make
// pseudonyms with, as its file holds it. Operators of a real one agree on theirs
// outside the network.
func newConsortiumKey() ([]byte, error) {
	key := make([]byte, consortiumKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("draw the consortium key: %w", err)
	}
	return []byte(hex.EncodeToString(key) + "\n"), nil
}
