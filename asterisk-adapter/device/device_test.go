package device

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	libari "github.com/CyCoreSystems/ari/v6"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/chaincode/ledger"
)

const domain = "pbx.atlas.example"

var (
	key = []byte(strings.Repeat("k", 32))
	now = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
)

// registry holds verdicts by address of record.
type registry struct {
	mu       sync.Mutex
	verdicts map[string]string
	judged   uint64
	missing  error
}

func (r *registry) set(aor, verdict string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts[aor] = verdict
	r.judged++
}

func (r *registry) Device(aor string, at time.Time) (*ledger.DeviceVerdict, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missing != nil {
		return nil, r.missing
	}
	normal, err := ledger.NormalizeAOR(aor)
	if err != nil {
		return nil, err
	}
	verdict := ledger.VerdictUnregistered
	if known := r.verdicts[normal]; known != "" {
		verdict = known
	}
	consequence := map[string]string{ledger.VerdictRegistered: ledger.ConsequenceAllow, ledger.VerdictUnregistered: ledger.ConsequenceFlag}[verdict]
	if consequence == "" {
		consequence = ledger.ConsequenceReject
	}
	return &ledger.DeviceVerdict{At: ledger.TimeOf(at), Verdict: verdict, Consequence: consequence}, nil
}

func (r *registry) AORRef(aor string) (string, error) { return ledger.AORRef(key, aor) }

func (r *registry) Judged() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.judged
}

// told judges, has everything told, and answers it.
func told(t *testing.T, b *Book) map[string]string {
	t.Helper()
	reports, err := b.Judge(now)
	require.NoError(t, err)
	found := map[string]string{}
	for _, report := range reports {
		found[report.AOR] = report.Before + ">" + report.Verdict
		b.Told(report)
	}
	return found
}

func TestBookTellsEachVerdictOnce(t *testing.T) {
	known := &registry{verdicts: map[string]string{"600@" + domain: ledger.VerdictRegistered, "601@" + domain: ledger.VerdictSuspended}}
	b := NewBook(domain, known, map[string]string{"604@" + domain: ledger.VerdictUnregistered})
	require.Empty(t, told(t, b))
	b.Replace(map[string][]string{"600": {"sip:a"}, "601": {"sip:b"}, "602": {"sip:c"}, "603": nil, "604": {"sip:d"}, "trunk@else.example": {"sip:e"}, "no address": {"sip:f"}}, now)
	require.True(t, b.Stale())
	require.Equal(t, map[string]string{
		"601@" + domain: ">suspended", "602@" + domain: ">unregistered", "trunk@else.example": ">unregistered", "no address@" + domain: ">unregistered",
	}, told(t, b), "what was told in an earlier run is not told again")
	require.False(t, b.Stale())
	require.Empty(t, told(t, b))
	require.Equal(t, map[string]int{"registered": 1, "suspended": 1, "unregistered": 4}, b.Count())

	known.set("600@"+domain, ledger.VerdictRevoked)
	known.set("601@"+domain, ledger.VerdictRegistered)
	require.True(t, b.Stale())
	require.Equal(t, map[string]string{"600@" + domain: ">revoked", "601@" + domain: "suspended>registered"}, told(t, b))

	b.Set("602", nil, now)
	b.Set("602", []string{"sip:g"}, now)
	require.Empty(t, told(t, b), "a device that comes back is no news")
	known.set("602@"+domain, ledger.VerdictRevoked)
	require.Equal(t, map[string]string{"602@" + domain: "unregistered>revoked"}, told(t, b))

	known.missing = errors.New("not yet")
	b.Set("605", []string{"sip:h"}, now)
	_, err := b.Judge(now)
	require.ErrorIs(t, err, known.missing)
	require.True(t, b.Stale(), "it is asked for again")
	known.missing = nil
	require.Equal(t, map[string]string{"605@" + domain: ">unregistered"}, told(t, b))

	b.Replace(map[string][]string{"600": {"sip:a"}}, now)
	require.True(t, b.Changed())
	require.False(t, b.Changed())
	list := b.List()
	require.Len(t, list, 1)
	require.Equal(t, ledger.VerdictRevoked, list[0].Verdict)
	require.Len(t, list[0].Ref, refLength)
}

func TestBookJudgesCalls(t *testing.T) {
	known := &registry{verdicts: map[string]string{"600@" + domain: ledger.VerdictRegistered}}
	b := NewBook(domain, known, nil)
	best, err := b.Verdict([]string{"601", "600"}, now)
	require.NoError(t, err)
	require.Equal(t, ledger.VerdictRegistered, best.Verdict)
	best, err = b.Verdict([]string{"601", "602"}, now)
	require.NoError(t, err)
	require.Equal(t, ledger.VerdictUnregistered, best.Verdict)
	require.NotEmpty(t, best.Ref)
}

// pbx is an Asterisk that answers what it is set to.
type pbx struct {
	mu        sync.Mutex
	endpoints []ari.Endpoint
	aors      map[string][]string
	contacts  map[string][]string
	gone      error
}

func (p *pbx) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *pbx) Endpoints(context.Context) ([]ari.Endpoint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.endpoints, p.gone
}

func (p *pbx) AORs(_ context.Context, endpoint string) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.aors[endpoint], p.gone
}

func (p *pbx) Contacts(_ context.Context, aor string) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.contacts[aor], p.gone
}

func TestWatch(t *testing.T) {
	known := &registry{verdicts: map[string]string{"600@" + domain: ledger.VerdictRegistered}}
	asterisk := &pbx{
		endpoints: []ari.Endpoint{{Technology: "PJSIP", Resource: "desk"}, {Technology: "PJSIP", Resource: "trunk"}, {Technology: "IAX2", Resource: "old", State: "online"}, {Technology: "IAX2", Resource: "off", State: "offline"}},
		aors:      map[string][]string{"desk": {"600", "601"}}, contacts: map[string][]string{"600": {"sip:600@h"}}, gone: errors.New("down"),
	}
	var mu sync.Mutex
	reported, called, listed := map[string]string{}, map[string]string{}, 0
	w := NewWatch(NewBook(domain, known, nil), asterisk, Handler{
		Reported: func(r Report) error {
			mu.Lock()
			defer mu.Unlock()
			reported[r.AOR] = r.Verdict
			return nil
		},
		Called: func(id string, stranger Report) {
			mu.Lock()
			defer mu.Unlock()
			called[id] = called[id] + stranger.AOR
		},
		Changed: func(all []Device) {
			mu.Lock()
			defer mu.Unlock()
			listed = len(all)
		},
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	until := func(so func() bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return so()
		}, 20*time.Second, time.Millisecond)
	}
	w.Call("1.1", "PJSIP/desk-0000001f")
	w.Call("1.2", "PJSIP/trunk-00000020") // has no address of record
	w.Call("1.3", "Local/600@from-internal-00000001;1")
	w.Call("1.4", "odd")
	w.Connected() // and cannot be asked at first
	asterisk.set(func() { asterisk.gone = nil })
	until(func() bool {
		return listed == 2 && reported["old@"+domain] == ledger.VerdictUnregistered && called["1.2"] != ""
	})
	require.Equal(t, map[string]string{"1.2": "trunk@" + domain}, called)
	require.Len(t, reported, 1)

	asterisk.set(func() { asterisk.contacts["601"] = []string{"sip:601@h"} })
	w.Event(&libari.ContactStatusChange{ContactInfo: libari.ContactInfo{Aor: "601"}})
	until(func() bool { return reported["601@"+domain] == ledger.VerdictUnregistered && listed == 3 })
	asterisk.set(func() { delete(asterisk.contacts, "600") })
	w.Event(&libari.ContactStatusChange{ContactInfo: libari.ContactInfo{Aor: "600", ContactStatus: "Removed"}})
	until(func() bool { return listed == 2 })
	asterisk.set(func() { asterisk.endpoints[3].State = "online" })
	w.Event(&libari.PeerStatusChange{Endpoint: libari.EndpointData{Technology: "IAX2", Resource: "off"}})
	until(func() bool { return reported["off@"+domain] != "" })
	known.set("old@"+domain, ledger.VerdictRevoked)
	until(func() bool { return reported["old@"+domain] == ledger.VerdictRevoked })

	// Each call once, by whichever sign it is known first.
	w.Event(&libari.ChannelCreated{Channel: libari.ChannelData{ID: "1.5", Name: "IAX2/old-1", State: "Ring"}})
	w.Event(&libari.ChannelCreated{Channel: libari.ChannelData{ID: "1.6", Name: "IAX2/old-2", State: "Down"}})
	until(func() bool { return called["1.5"] != "" })
	w.Call("1.5", "IAX2/old-1")
	w.Call("1.7", "IAX2/old-3")
	until(func() bool { return called["1.7"] != "" })
	require.Equal(t, map[string]string{"1.2": "trunk@" + domain, "1.5": "old@" + domain, "1.7": "old@" + domain}, called)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
