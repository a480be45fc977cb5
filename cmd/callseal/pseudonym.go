package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// secretKeyBytes is the length of a key that pseudonyms are made under.
const secretKeyBytes = 32

// readSecretKey reads a key from a file, 32 bytes in hexadecimal.
func readSecretKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the key that pseudonyms are made under: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != secretKeyBytes {
		return nil, fmt.Errorf("%s must hold %d bytes in hexadecimal: make it with `openssl rand -hex %d`", file, secretKeyBytes, secretKeyBytes)
	}
	return key, nil
}
