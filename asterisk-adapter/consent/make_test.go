package consent

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/chaincode/ledger"
)

// patience is how long a test waits for what takes milliseconds.
const patience = time.Minute

var quiet = slog.New(slog.DiscardHandler)

func openBook(t *testing.T, path string) *Book {
	t.Helper()
	book, err := OpenBook(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = book.Close() })
	return book
}

func newBook(t *testing.T) *Book {
	t.Helper()
	return openBook(t, filepath.Join(t.TempDir(), "consents.db"))
}

func ms(n int) ledger.Time { return ledger.TimeOf(time.UnixMilli(1796000000000 + int64(n))) }

// ref is a pseudonym.
func ref(of string) string { return ledger.PartyRef([]byte("key"), of) }

func said(linkedID, party, status string, at int) Statement {
	return Statement{
		Key: linkedID + party + status, LinkedID: linkedID, Party: ref(party), Status: status, Method: ledger.MethodDTMF,
		Evidence: ledger.Digest([]byte(linkedID + party + status)), GivenAt: ms(at),
	}
}

// pbx is as much of Asterisk as an Asker acts on. What it does is what the test says.
type pbx struct {
	asker *Asker

	mu    sync.Mutex
	did   []string
	fails map[string]error // by the request's end
	// plays is called when the announcement is played.
	plays   func(channel, playback string)
	waiting []ari.Happening
}

func (p *pbx) Application() string { return "callseal-consent" }

func (p *pbx) Waiting(context.Context) ([]ari.Happening, error) { return p.waiting, nil }

func (p *pbx) Do(ctx context.Context, method, path string, query url.Values) error {
	said := method + " " + path
	if value := query.Get("value"); value != "" {
		said += " " + query.Get("variable") + "=" + value
	}
	p.mu.Lock()
	p.did = append(p.did, said)
	var failure error
	for end, err := range p.fails {
		if strings.HasSuffix(path, end) || strings.Contains(path, end+"/") {
			failure = err
		}
	}
	plays := p.plays
	p.mu.Unlock()
	if failure != nil {
		return failure
	}
	parts := strings.Split(path, "/")
	switch {
	case strings.Contains(path, "/snoop/"):
		p.asker.Happened(ctx, ari.Happening{Kind: ari.Entered, Channel: parts[4], Name: "Snoop/" + parts[2]})
	case strings.HasPrefix(path, "/recordings/live/"):
		name, _ := url.PathUnescape(parts[3])
		if err := os.WriteFile(filepath.Join(p.asker.Evidence, filepath.Base(name)+".wav"), []byte("heard"), 0o600); err != nil {
			return err
		}
		p.asker.Happened(ctx, ari.Happening{Kind: ari.Recorded, Name: name})
	case strings.Contains(path, "/play/"):
		plays(parts[2], parts[4])
	}
	return nil
}

// done is what was done to the channel itself at the end.
func (p *pbx) done() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last []string
	for _, one := range p.did {
		if strings.HasPrefix(one, "POST /channels/1.1/variable") || one == "POST /channels/1.1/continue" {
			_, one, _ = strings.Cut(one, "1.1/")
			last = append(last, one)
		}
	}
	return strings.Join(last, ", ")
}

func (p *pbx) count(prefix string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, one := range p.did {
		if strings.HasPrefix(one, prefix) {
			n++
		}
	}
	return n
}
