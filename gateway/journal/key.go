package journal

import (
	"encoding/binary"
	"fmt"
)

// The first byte of a key says what stands under it.
const (
	keyMeta        = 'm' // → meta
	keyEntry       = 'e' // number → Entry
	keyPayload     = 'p' // number → payload
	keyName        = 'n' // PBX, epoch, first number → number
	keyLane        = 'l' // PBX, number → nothing, for what is pending
	keyRefused     = 'r' // number → nothing, for what is refused
	keySettled     = 's' // block, number → nothing, for receipts
	keyTransaction = 't' // transaction id → Transaction
	keyEnvelope    = 'v' // transaction id → envelope
)

func numberKey(kind byte, number int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(number)) //nolint:gosec // never negative
}

// numberAt reads the number that ends a key.
func numberAt(key []byte) (int64, error) {
	if len(key) < 9 {
		return 0, fmt.Errorf("a key of the journal has %d bytes", len(key))
	}
	return int64(binary.BigEndian.Uint64(key[len(key)-8:])), nil //nolint:gosec // written from one
}

func pbxKey(kind byte, pbx string) []byte {
	return append([]byte{kind, byte(len(pbx))}, pbx...) //nolint:gosec // checked
}

func nameKey(name Name) []byte {
	key := binary.BigEndian.AppendUint64(pbxKey(keyName, name.PBX), uint64(name.Epoch)) //nolint:gosec // checked
	return binary.BigEndian.AppendUint64(key, uint64(name.FirstSeq))                    //nolint:gosec // checked
}

func laneKey(pbx string, number int64) []byte {
	return binary.BigEndian.AppendUint64(pbxKey(keyLane, pbx), uint64(number)) //nolint:gosec // never negative
}

// pbxOfLane reads the PBX of a lane's key.
func pbxOfLane(key []byte) (string, error) {
	if len(key) < 2 || len(key) != 2+int(key[1])+8 {
		return "", fmt.Errorf("a lane's key of the journal has %d bytes", len(key))
	}
	return string(key[2 : len(key)-8]), nil
}

func settledKey(block uint64, number int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{keySettled}, block), uint64(number)) //nolint:gosec // never negative
}

func transactionKey(kind byte, id string) []byte { return append([]byte{kind}, id...) }

// after is the first key that does not begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
