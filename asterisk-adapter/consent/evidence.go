package consent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/callseal/callseal/chaincode/ledger"
)

// evidenceVersion is the version of Evidence.
const evidenceVersion = 1

// Evidence is the proof of a statement. It stays on the PBX, as canonical JSON in a
// file of a random name; its SHA-256 is what the ledger has. It binds what the party
// was played and what it did, and holds none of its voice: that would be the recording
// it is asked about.
type Evidence struct {
	// Announcement is the SHA-256 of the sound file that is played.
	Announcement string `json:"announcement"`
	// AnsweredAt is when the key was pressed, or the wait for one was over.
	AnsweredAt ledger.Time `json:"answered_at"`
	// AskedAt is when the announcement began.
	AskedAt ledger.Time `json:"asked_at"`
	// Audio is the SHA-256 of what the party's channel was sent meanwhile, which
	// lies beside this file; absent where that could not be recorded.
	Audio string `json:"audio,omitzero"`
	// Digit is the key; absent for silence, and where it was said otherwise.
	Digit        string `json:"digit,omitzero"`
	Jurisdiction string `json:"jurisdiction,omitzero"`
	LinkedID     string `json:"linkedid"`
	Method       string `json:"method"`
	Party        string `json:"party"`
	PBX          string `json:"pbx"`
	// PolicyVersion and Rule are what was applied.
	PolicyVersion int64  `json:"policy_version"`
	Rule          string `json:"rule"`
	// Salt is 256 random bits: the digest tells nothing of the key that was pressed.
	Salt     string `json:"salt"`
	Status   string `json:"status"`
	UniqueID string `json:"uniqueid"`
	V        int    `json:"v"`
}

// keep writes the evidence into the folder and answers its digest. It is on disk when
// this returns.
func (e *Evidence) keep(folder, name string) (string, error) {
	e.V, e.Salt = evidenceVersion, randomHex(sha256.Size)
	text, err := ledger.Canonical(e)
	if err != nil {
		return "", fmt.Errorf("encode the evidence: %w", err)
	}
	// For the group too: the folder's is the one that may see evidence.
	if err := renameio.WriteFile(filepath.Join(folder, name+".json"), text, 0o640); err != nil {
		return "", fmt.Errorf("keep the evidence: %w", err)
	}
	return ledger.Digest(text), nil
}

// FileDigest is the SHA-256 of a file, such as the announcement's.
func FileDigest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // it was only read
	digest := sha256.New()
	n, err := io.Copy(digest, file)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", fmt.Errorf("%s is empty", path)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// audioDigest is the digest of what a party was played, empty where there is none.
func audioDigest(folder, name string) (string, error) {
	digest, err := FileDigest(filepath.Join(folder, name+".wav"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return digest, err
}

func randomHex(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	return hex.EncodeToString(raw)
}
