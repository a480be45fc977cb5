package reputation

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"

	arithmetic "github.com/callseal/callseal/chaincode/reputation"
)

// ReadKey reads a consortium key: 64 hexadecimal digits in a file of its own,
// which all operators have agreed on outside the ledger.
func ReadKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the consortium key: %w", err)
	}
	text = bytes.TrimSpace(text)
	key := make([]byte, hex.DecodedLen(len(text)))
	if _, err := hex.Decode(key, text); err != nil || len(key) != arithmetic.KeyBytes {
		return nil, fmt.Errorf("%s holds no consortium key: it is %d hexadecimal digits", file, 2*arithmetic.KeyBytes)
	}
	return key, nil
}
