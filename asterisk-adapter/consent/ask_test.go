package consent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/chaincode/ledger"
)

func newAsker(t *testing.T) (*Asker, *pbx) {
	t.Helper()
	line := &pbx{fails: map[string]error{}}
	asker := &Asker{
		Line: line, Book: newBook(t), Rules: Rules{Grant: "1", Deny: "2", Silence: SilenceByPolicy}, PBX: "pbx1", Announcement: "/sounds/ask",
		AnnouncementDigest: strings.Repeat("5a", 32), Tries: 1, Wait: time.Millisecond, Evidence: t.TempDir(), Ref: func(number, _ string) string { return ref(number) },
		Stated: func(*Statement) {}, Unasked: func() {}, Log: quiet,
	}
	line.asker = asker
	return asker, line
}

// TestAsk asks a channel under all that it may do.
func TestAsk(t *testing.T) {
	press := func(digits string) func(*Asker) func(string, string) {
		return func(a *Asker) func(string, string) {
			return func(channel, _ string) {
				for _, digit := range digits {
					a.Happened(t.Context(), ari.Happening{Kind: ari.Pressed, Channel: channel, Digit: string(digit)})
				}
			}
		}
	}
	played := func(failed bool) func(*Asker) func(string, string) {
		return func(a *Asker) func(string, string) {
			return func(_, playback string) {
				a.Happened(t.Context(), ari.Happening{Kind: ari.Played, Name: playback, Failed: failed})
			}
		}
	}
	leave := func(a *Asker) func(string, string) {
		return func(channel, _ string) { a.Happened(t.Context(), ari.Happening{Kind: ari.Left, Channel: channel}) }
	}
	const allow, forbid, unasked = "variable CALLSEAL_CONSENT=allowed, continue", "variable CALLSEAL_CONSENT=forbidden, continue", "continue"
	for name, c := range map[string]struct {
		plays     func(*Asker) func(string, string)
		args      []string
		change    func(*Asker, *pbx)
		status    string
		method    string
		done      string
		statement int
		plain     bool // without audio
	}{
		"granted":                {plays: press("1"), args: []string{"1.0", "PT"}, status: "granted", method: "dtmf", done: allow, statement: 1},
		"denied":                 {plays: press("2"), args: []string{"1.0"}, status: "denied", method: "dtmf", done: forbid, statement: 1},
		"other keys first":       {plays: press("7#1"), args: []string{"1.0"}, status: "granted", method: "dtmf", done: allow, statement: 1},
		"keys without end":       {plays: press(strings.Repeat("9", 1000)), args: []string{"1.0"}, change: func(a *Asker, _ *pbx) { a.Wait = time.Hour }, done: "", statement: -1},
		"silent, all parties":    {plays: played(false), args: []string{"1.0", "PT"}, status: "denied", method: "dtmf", done: forbid, statement: 1},
		"silent, one party":      {plays: played(false), args: []string{"1.0", "US-NY"}, status: "granted", method: "announcement", done: allow, statement: 1},
		"silent, grants":         {plays: played(false), args: []string{"1.0", "PT"}, change: func(a *Asker, _ *pbx) { a.Rules.Silence = SilenceGrants }, status: "granted", method: "announcement", done: allow, statement: 1},
		"silent, denies":         {plays: played(false), args: []string{"1.0", "US"}, change: func(a *Asker, _ *pbx) { a.Rules.Silence = SilenceDenies }, status: "denied", method: "dtmf", done: forbid, statement: 1},
		"asked thrice":           {plays: played(false), args: []string{"1.0", "PT"}, change: func(a *Asker, _ *pbx) { a.Tries = 3 }, status: "denied", method: "dtmf", done: forbid, statement: 1},
		"no sound":               {plays: played(true), args: []string{"1.0"}, done: unasked},
		"hung up":                {plays: leave, args: []string{"1.0"}, done: forbid},
		"Asterisk refuses":       {plays: press("1"), args: []string{"1.0"}, change: func(_ *Asker, p *pbx) { p.fails["/answer"] = errors.New("500") }, done: unasked},
		"gone before":            {plays: press("1"), args: []string{"1.0"}, change: func(_ *Asker, p *pbx) { p.fails["/answer"] = ari.ErrGone }, done: forbid},
		"nothing to listen with": {plays: press("1"), args: []string{"1.0"}, change: func(_ *Asker, p *pbx) { p.fails["/snoop"] = errors.New("500") }, status: "granted", method: "dtmf", done: allow, statement: 1, plain: true},
		"staff":                  {plays: press("1"), args: []string{"1.0", "", "1002"}, change: func(a *Asker, _ *pbx) { a.Rules.StaffEvidence = strings.Repeat("ab", 32) }, status: "granted", method: "dtmf", done: allow, statement: 2},
		"staff alone":            {plays: press("2"), args: []string{"1.0", "", "1002"}, change: func(a *Asker, _ *pbx) { a.Rules.StaffEvidence = strings.Repeat("ab", 32) }, status: "denied", method: "dtmf", done: forbid, statement: 2},
		"nonsense from dialplan": {plays: press("1"), args: []string{"a b", "Portugal"}, change: func(a *Asker, _ *pbx) { a.Rules.Jurisdiction = "US" }, status: "granted", method: "dtmf", done: allow, statement: 1},
		"the book is closed":     {plays: press("1"), args: []string{"1.0"}, change: func(a *Asker, _ *pbx) { _ = a.Book.Close() }, done: unasked, statement: -1},
	} {
		t.Run(name, func(t *testing.T) {
			asker, line := newAsker(t)
			line.plays = c.plays(asker)
			if c.change != nil {
				c.change(asker, line)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			asker.Happened(ctx, ari.Happening{Kind: ari.Entered, Channel: "1.1", Name: "PJSIP/1001-1", Number: "1001", Args: c.args})
			if c.statement < 0 && c.done == "" { // it waits: the adapter stops
				require.Eventually(t, func() bool { return line.count("POST /channels/1.1/play/") == 1 }, patience, time.Millisecond)
				cancel()
				c.done, c.statement = unasked, 0
			}
			asker.End()
			require.Equal(t, c.done, line.done())
			require.Empty(t, asker.talks)
			if line.fails["/snoop"] == nil {
				require.Equal(t, line.count("POST /channels/1.1/snoop/"), line.count("DELETE /channels/callseal-heard-"))
			}
			if c.statement < 0 {
				return
			}
			waiting, err := asker.Book.Outbox(9)
			require.NoError(t, err)
			require.Len(t, waiting, c.statement)
			if c.statement == 0 {
				return
			}
			one := waiting[0]
			require.Equal(t, []string{c.status, c.method, ref("1001")}, []string{one.Status, one.Method, one.Party})
			call, err := asker.Book.Call("1.1")
			require.NoError(t, err)
			require.Equal(t, c.done == allow, call.Allowed)
			if name == "nonsense from dialplan" {
				require.Equal(t, []string{"1.1", "US"}, []string{call.LinkedID, one.Jurisdiction})
			} else {
				require.Equal(t, "1.0", one.LinkedID)
			}
			if c.statement == 2 {
				require.Equal(t, []string{"granted", "contract", ref("1002"), strings.Repeat("ab", 32)}, []string{waiting[1].Status, waiting[1].Method, waiting[1].Party, waiting[1].Evidence})
			}
			requireProof(t, asker, &one.Statement, !c.plain)
			require.Equal(t, asker.Tries, line.count("POST /channels/1.1/play/"))
		})
	}
}

// requireProof finds a statement's evidence.
func requireProof(t *testing.T, asker *Asker, of *Statement, audio bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(asker.Evidence, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.Equal(t, of.Evidence, ledger.Digest(text))
	var evidence Evidence
	require.NoError(t, ledger.DecodeStrict(text, &evidence))
	require.Equal(t, []string{of.Status, of.Method, of.Party, asker.AnnouncementDigest}, []string{evidence.Status, evidence.Method, evidence.Party, evidence.Announcement})
	require.Equal(t, audio, evidence.Audio == ledger.Digest([]byte("heard")), evidence.Audio)
}

// TestResume takes up what a killed adapter has left: a channel that has answered goes
// on as it said, one that has not is asked, what listened is hung up.
func TestResume(t *testing.T) {
	asker, line := newAsker(t)
	require.NoError(t, asker.Book.Conclude(&Call{UniqueID: "1.1", LinkedID: "1.1", Allowed: true, At: time.Now()}))
	line.plays = func(channel, _ string) {
		asker.Happened(t.Context(), ari.Happening{Kind: ari.Pressed, Channel: channel, Digit: "2"})
	}
	line.waiting = []ari.Happening{
		{Kind: ari.Entered, Channel: "1.1", Name: "PJSIP/1001-1", Args: []string{"1.1"}},
		{Kind: ari.Entered, Channel: "1.2", Name: "PJSIP/1001-2", Args: []string{"1.2"}},
		{Kind: ari.Entered, Channel: "callseal-heard-left", Name: "Snoop/1.1-1"},
	}
	asker.Resume(t.Context())
	asker.End()
	require.Equal(t, "variable CALLSEAL_CONSENT=allowed, continue", line.done())
	require.Equal(t, 1, line.count(http.MethodPost+" /channels/1.2/variable CALLSEAL_CONSENT=forbidden"))
	require.Equal(t, 1, line.count(http.MethodDelete+" /channels/callseal-heard-left"))
	require.Zero(t, line.count("POST /channels/1.1/answer"))
	waiting, err := asker.Book.Outbox(9)
	require.NoError(t, err)
	require.Len(t, waiting, 1)
}

// TestFollow makes statements of what was said before on the same call.
func TestFollow(t *testing.T) {
	granted, denied, revoked := ledger.ConsentGranted, ledger.ConsentDenied, ledger.ConsentRevoked
	for _, c := range []struct{ before, now, becomes string }{
		{"", granted, granted}, {"", denied, denied}, {granted, granted, granted}, {granted, denied, revoked}, {denied, granted, granted},
		{denied, denied, ""}, {revoked, denied, ""}, {revoked, granted, granted},
	} {
		var standings []Statement
		if c.before != "" {
			standings = []Statement{said("1.1", "1001", c.before, 500), said("1.1", "1002", granted, 0)}
		}
		made := follow(standings, []Statement{said("1.1", "1001", c.now, 100)})
		if c.becomes == "" {
			require.Empty(t, made)
			continue
		}
		require.Len(t, made, 1)
		require.Equal(t, c.becomes, made[0].Status)
		if c.before != "" {
			require.Equal(t, ms(500), made[0].GivenAt, "statements are in order of time")
		}
		// The contract takes it.
		consent := made[0].on()
		var before *ledger.Consent
		if c.before != "" {
			last := standings[0].on()
			before = &last
		}
		require.NoError(t, consent.Statement.Follows(before, ms(1000)))
	}
}

func FuzzArgs(f *testing.F) {
	f.Add("1.1", "PT", "1002")
	f.Add("a b", "pt", ",")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, args := range [][]string{{a, b, c}, {a, b}, {a}, nil, {a, b, c, a}} {
			linkedID, jurisdiction, _ := parseArgs(args)
			if linkedID != "" {
				require.NoError(t, ledger.CheckName("linkedid", linkedID))
			}
			if jurisdiction != "" {
				require.NoError(t, ledger.CheckJurisdiction("jurisdiction", jurisdiction))
			}
		}
	})
}
