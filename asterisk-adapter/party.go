package adapter

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/callseal/callseal/chaincode/ledger"
)

// e164 is a number in international form (ITU-T E.164): nothing else is taken
// for one, because guessing a country code would give one person two pseudonyms.
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// pseudonyms turns numbers into the references that stand on the ledger.
type pseudonyms struct {
	key []byte
	pbx string
}

// openPseudonyms reads the operator's key, or makes one on the first start.
func openPseudonyms(file, stateDir, pbx string) (*pseudonyms, error) {
	configured := file != ""
	if !configured {
		file = filepath.Join(stateDir, "party.key")
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && !configured {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails since Go 1.24
		text = []byte(hex.EncodeToString(key) + "\n")
		if err := renameio.WriteFile(file, text, 0o600); err != nil {
			return nil, fmt.Errorf("keep the party key: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("read the party key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s must hold 32 bytes in hexadecimal: make it with `openssl rand -hex 32`", file)
	}
	return &pseudonyms{key: key, pbx: pbx}, nil
}

// of is the reference of a number as a CDR has it; empty for an empty number.
func (p *pseudonyms) of(number string) string {
	switch {
	case number == "":
		return ""
	case e164.MatchString(number):
		return ledger.PartyRef(p.key, "tel:"+number)
	default:
		return ledger.PartyRef(p.key, "ext:"+number+"@"+p.pbx)
	}
}

// ofParty is the reference of who is on a channel; one without a number is somebody on
// that channel alone.
func (p *pseudonyms) ofParty(number, uniqueID string) string {
	if number == "" {
		return ledger.PartyRef(p.key, "call:"+uniqueID+"@"+p.pbx)
	}
	return p.of(number)
}
