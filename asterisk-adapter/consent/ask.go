package consent

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/chaincode/ledger"
)

// What the dialplan finds in Variable when the channel comes back.
const (
	// Variable is the channel variable. Unset means that nobody was asked.
	Variable = "CALLSEAL_CONSENT"
	// Allowed and Forbidden are its values.
	Allowed   = "allowed"
	Forbidden = "forbidden"
)

const (
	// maxNews is what may happen to one channel before it is dealt with.
	maxNews = 64
	// requestWithin bounds a request to Asterisk, and happensWithin the wait for what it
	// brings about.
	requestWithin = 2 * time.Second
	happensWithin = 2 * time.Second
	// maxEvidence bounds the recording of what a party is played, in seconds.
	maxEvidence = "300"
)

// Line is the part of an ari.Controller that an Asker needs.
type Line interface {
	// Application is the Stasis application's name.
	Application() string
	// Do makes a request that changes something.
	Do(ctx context.Context, method, path string, query url.Values) error
	// Waiting are the channels that wait in the application.
	Waiting(ctx context.Context) ([]ari.Happening, error)
}

// Asker asks the channels that the dialplan sends. It decides alone: by the book, the
// rules and the policy that was in force when the gateway was last asked.
type Asker struct {
	Line  Line
	Book  *Book
	Rules Rules
	PBX   string
	// Announcement is the sound as Asterisk names it, without its extension, and
	// AnnouncementDigest the SHA-256 of its file.
	Announcement, AnnouncementDigest string
	// Tries is how often the announcement is played at most, and Wait how long a key is
	// waited for after each time.
	Tries int
	Wait  time.Duration
	// Evidence is the folder for evidence, right below Asterisk's folder for ARI's
	// recordings.
	Evidence string
	// Ref makes a party's pseudonym of its number on a channel.
	Ref func(number, uniqueID string) string
	// Stated is told of each statement, and Unasked of each channel that could not be
	// asked.
	Stated  func(*Statement)
	Unasked func()
	Log     *slog.Logger

	mu sync.Mutex
	// talks are the channels that are asked, by whatever events name: the channel, the
	// snoop channel, the playback, the recording.
	talks   map[string]*talk
	talking sync.WaitGroup
}

// talk is a channel that is asked.
type talk struct {
	*Asker
	call Call
	news chan ari.Happening
	log  *slog.Logger

	name     string // of the evidence
	snooping bool
	recorded bool
	asked    time.Time
	answered time.Time
}

// Happened takes what happens, and never waits.
func (a *Asker) Happened(ctx context.Context, h ari.Happening) {
	if h.Kind == ari.Entered && !strings.HasPrefix(h.Name, "Snoop/") {
		a.begin(ctx, h)
		return
	}
	key := h.Channel
	if h.Kind == ari.Played || h.Kind == ari.Recorded {
		key = h.Name
	}
	a.mu.Lock()
	one := a.talks[key]
	a.mu.Unlock()
	if one == nil {
		return
	}
	select {
	case one.news <- h:
	default: // somebody plays with the keys
	}
}

// Resume asks the channels that a cut connection, or an adapter that ended, has left
// waiting.
func (a *Asker) Resume(ctx context.Context) {
	waiting, err := a.Line.Waiting(ctx)
	if err != nil {
		a.Log.Warn("channels that wait to be asked are not known", "error", err)
		return
	}
	for _, h := range waiting {
		if strings.HasPrefix(h.Name, "Snoop/") {
			a.mu.Lock()
			known := a.talks[h.Channel] != nil
			a.mu.Unlock()
			if !known {
				if err := a.uncounted(ctx, h.Channel); err != nil {
					a.Log.Warn("a channel that listened to an announcement has a CDR", "error", err)
				}
				a.hangUp(ctx, h.Channel)
			}
			continue
		}
		a.begin(ctx, h)
	}
}

// End returns when no channel is asked any more.
func (a *Asker) End() { a.talking.Wait() }

// parseArgs reads what the dialplan gives to Stasis(): linkedid, jurisdiction and the
// called number; what is empty or no such thing is left out.
func parseArgs(args []string) (linkedID, jurisdiction, called string) {
	arg := func(n int) string {
		if n < len(args) {
			return strings.TrimSpace(args[n])
		}
		return ""
	}
	if linkedID = arg(0); ledger.CheckName("linkedid", linkedID) != nil {
		linkedID = ""
	}
	if jurisdiction = arg(1); ledger.CheckJurisdiction("jurisdiction", jurisdiction) != nil {
		jurisdiction = ""
	}
	return linkedID, jurisdiction, arg(2)
}

func (a *Asker) begin(ctx context.Context, h ari.Happening) {
	linkedID, jurisdiction, called := parseArgs(h.Args)
	if linkedID == "" {
		linkedID = h.Channel
	}
	if jurisdiction == "" {
		jurisdiction = a.Rules.Jurisdiction
	}
	one := &talk{
		Asker: a, news: make(chan ari.Happening, maxNews), name: randomHex(16), log: a.Log.With("uniqueid", h.Channel),
		call: Call{UniqueID: h.Channel, LinkedID: linkedID, Jurisdiction: jurisdiction, Caller: a.Ref(h.Number, h.Channel), At: time.Now()},
	}
	if called != "" {
		one.call.Called = a.Ref(called, h.Channel)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.talks == nil {
		a.talks = map[string]*talk{}
	}
	if a.talks[h.Channel] != nil {
		return // told of twice
	}
	for _, key := range one.keys() {
		a.talks[key] = one
	}
	a.talking.Go(func() {
		one.run(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, key := range one.keys() {
			delete(a.talks, key)
		}
	})
}

func (t *talk) keys() []string {
	return []string{t.call.UniqueID, t.snoop(), t.playback(), t.recording()}
}

func (t *talk) snoop() string    { return "callseal-heard-" + t.name }
func (t *talk) playback() string { return "callseal-ask-" + t.name }

// recording is the name of the evidence's audio below Asterisk's recording folder.
func (t *talk) recording() string { return filepath.Base(t.Evidence) + "/" + t.name }

// run asks, keeps what was answered, and sends the channel on.
func (t *talk) run(ctx context.Context) {
	known, err := t.Book.Call(t.call.UniqueID)
	if err == nil && known == nil {
		answer := t.ask(ctx)
		t.stopHearing(ctx)
		if ctx.Err() == nil {
			known, err = t.conclude(answer)
		}
	}
	verdict := ""
	switch {
	case err != nil:
		t.log.Error("what a party answered cannot be kept: the call goes on as one that was not asked", "error", err)
		t.Unasked()
	case known == nil: // not asked to the end
		t.Unasked()
	case known.Allowed:
		verdict = Allowed
	default:
		verdict = Forbidden
	}
	t.goOn(ctx, verdict)
}

// goOn sends the channel on in the dialplan, also when the adapter stops.
func (t *talk) goOn(ctx context.Context, verdict string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWithin)
	defer cancel()
	path := "/channels/" + url.PathEscape(t.call.UniqueID)
	var err error
	if verdict != "" {
		err = t.Line.Do(ctx, http.MethodPost, path+"/variable", url.Values{"variable": {Variable}, "value": {verdict}})
	}
	if err == nil {
		err = t.Line.Do(ctx, http.MethodPost, path+"/continue", nil)
	}
	if err != nil && !errors.Is(err, ari.ErrGone) {
		t.log.Warn("a channel could not be sent on: the dialplan goes on by itself when its time is up", "error", err)
	}
}

// ask plays the announcement and waits for a key.
func (t *talk) ask(ctx context.Context) Answer {
	path := "/channels/" + url.PathEscape(t.call.UniqueID)
	if err := t.do(ctx, http.MethodPost, path+"/answer", nil); err != nil {
		return t.unable(err)
	}
	t.hear(ctx)
	answer := Answer{Stayed: true}
	for try := 0; try < t.Tries && answer.Stayed && answer.Digit == ""; try++ {
		if err := t.do(ctx, http.MethodPost, path+"/play/"+t.playback(), url.Values{"media": {"sound:" + t.Announcement}}); err != nil {
			return t.unable(err)
		}
		if t.asked.IsZero() {
			t.asked = time.Now()
		}
		t.log.Debug("a party is asked")
		t.listen(ctx, &answer)
	}
	t.answered = time.Now()
	if !answer.Heard && answer.Stayed && ctx.Err() == nil {
		t.log.Error("the announcement could not be played: see that Asterisk can read it", "announcement", t.Announcement)
	}
	return answer
}

// unable is the answer of a party that could not be asked.
func (t *talk) unable(err error) Answer {
	gone := errors.Is(err, ari.ErrGone)
	if !gone && !errors.Is(err, context.Canceled) {
		t.log.Error("a party cannot be asked", "error", err)
	}
	return Answer{Stayed: !gone}
}

// listen waits until a key that counts was pressed, or none after the announcement's
// end, or the party has gone.
func (t *talk) listen(ctx context.Context, answer *Answer) {
	var over <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			answer.Stayed = false
			return
		case <-over:
			return
		case h := <-t.news:
			switch {
			case h.Kind == ari.Left && h.Channel == t.call.UniqueID:
				answer.Stayed = false
				return
			case h.Kind == ari.Pressed && (h.Digit == t.Rules.Grant || h.Digit == t.Rules.Deny):
				answer.Heard, answer.Digit = true, h.Digit // while it was played
				return
			case h.Kind == ari.Played && h.Failed:
				return
			case h.Kind == ari.Played:
				answer.Heard = true
				over = time.After(t.Wait)
			}
		}
	}
}

// hear has what the party's channel is sent recorded, from before the announcement on:
// the announcement as it went out, and nothing that the party says. The channel that
// listens is no call and shall have no record among the calls'.
func (t *talk) hear(ctx context.Context) {
	err := t.do(ctx, http.MethodPost, "/channels/"+url.PathEscape(t.call.UniqueID)+"/snoop/"+t.snoop(), url.Values{"spy": {"out"}, "app": {t.Line.Application()}})
	if err == nil {
		t.snooping = true
		err = t.until(ctx, ari.Entered)
	}
	if err == nil {
		err = t.uncounted(ctx, t.snoop())
	}
	if err == nil {
		err = t.do(ctx, http.MethodPost, "/channels/"+t.snoop()+"/record", url.Values{
			"name": {t.recording()}, "format": {"wav"}, "ifExists": {"fail"}, "maxDurationSeconds": {maxEvidence}, "terminateOn": {"none"},
		})
	}
	t.recorded = err == nil
	if err != nil && !errors.Is(err, ari.ErrGone) && ctx.Err() == nil {
		t.log.Warn("what a party is played cannot be recorded: its evidence has no audio", "error", err)
	}
}

// uncounted keeps a channel from having a CDR.
func (a *Asker) uncounted(ctx context.Context, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	return a.Line.Do(ctx, http.MethodPost, "/channels/"+url.PathEscape(channel)+"/variable", url.Values{"variable": {"CDR_PROP(disable)"}, "value": {"1"}})
}

// until waits for something to happen to what was begun. The party may go meanwhile,
// which is kept for whoever listens next.
func (t *talk) until(ctx context.Context, kind ari.HappeningKind) error {
	late := time.NewTimer(happensWithin)
	defer late.Stop()
	var kept []ari.Happening
	defer func() {
		for _, h := range kept {
			select {
			case t.news <- h:
			default:
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return errors.New("Asterisk does not do what it was asked")
		case h := <-t.news:
			if h.Kind == kind {
				return nil
			}
			kept = append(kept, h)
		}
	}
}

// stopHearing closes the evidence's audio and waits until its file is whole.
func (t *talk) stopHearing(ctx context.Context) {
	if !t.snooping {
		return
	}
	ctx = context.WithoutCancel(ctx)
	if t.recorded {
		err := t.do(ctx, http.MethodPost, "/recordings/live/"+url.PathEscape(t.recording())+"/stop", nil)
		if err == nil {
			err = t.until(ctx, ari.Recorded)
		}
		if err != nil && !errors.Is(err, ari.ErrGone) {
			t.log.Warn("what a party was played may not be whole in its evidence", "error", err)
		}
	}
	t.hangUp(ctx, t.snoop())
}

func (a *Asker) hangUp(ctx context.Context, channel string) {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	if err := a.Line.Do(ctx, http.MethodDelete, "/channels/"+url.PathEscape(channel), nil); err != nil && !errors.Is(err, ari.ErrGone) {
		a.Log.Warn("a channel that listened to an announcement is still there", "error", err)
	}
}

func (t *talk) do(ctx context.Context, method, path string, query url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	return t.Line.Do(ctx, method, path, query)
}

// conclude keeps what was answered; nil where the party was not asked to the end and
// is still there.
func (t *talk) conclude(answer Answer) (*Call, error) {
	policy, err := t.Book.Policy()
	if err != nil {
		return nil, err
	}
	rule := ruleOf(policy, t.call.Jurisdiction)
	status, method := t.Rules.read(answer, rule)
	if status == "" && answer.Stayed {
		return nil, nil //nolint:nilnil // it could not be asked
	}
	standings, err := t.Book.Standings(t.call.LinkedID)
	if err != nil {
		return nil, err
	}
	var made []Statement
	if status != "" {
		given := ledger.TimeOf(t.answered)
		evidence := &Evidence{
			Announcement: t.AnnouncementDigest, AnsweredAt: given, AskedAt: ledger.TimeOf(t.asked), Digit: answer.Digit,
			Jurisdiction: t.call.Jurisdiction, LinkedID: t.call.LinkedID, Method: method, Party: t.call.Caller, PBX: t.PBX,
			PolicyVersion: policy.Version, Rule: rule, Status: status, UniqueID: t.call.UniqueID,
		}
		if t.recorded {
			if evidence.Audio, err = audioDigest(t.Evidence, t.name); err != nil {
				t.log.Warn("the evidence's audio cannot be read: it has none", "error", err)
			}
		}
		digest, err := evidence.keep(t.Evidence, t.name)
		if err != nil {
			return nil, err
		}
		made = append(made, Statement{
			Key: randomHex(16), LinkedID: t.call.LinkedID, Party: t.call.Caller, Status: status, Method: method, Jurisdiction: t.call.Jurisdiction,
			Evidence: digest, GivenAt: given,
		})
		if t.call.Called != "" && t.call.Called != t.call.Caller && t.Rules.StaffEvidence != "" {
			made = append(made, Statement{
				Key: randomHex(16), LinkedID: t.call.LinkedID, Party: t.call.Called, Status: ledger.ConsentGranted, Method: ledger.MethodContract,
				Jurisdiction: t.call.Jurisdiction, Evidence: t.Rules.StaffEvidence, GivenAt: given,
			})
		}
	}
	made = follow(standings, made)
	t.call.Allowed = status != "" && allowed(merge(standings, made), t.call.Jurisdiction, policy, ledger.TimeOf(time.Now()))
	if err := t.Book.Conclude(&t.call, made...); err != nil {
		return nil, err
	}
	for i := range made {
		t.Stated(&made[i])
	}
	t.log.Info("a party was asked whether the call may be recorded", "answer", status, "method", method, "allowed", t.call.Allowed)
	return &t.call, nil
}

// follow makes statements such as may follow on what the parties have said on this
// call before: what is denied after a grant is a revocation, and an objection that
// stands is not repeated.
func follow(standings, made []Statement) []Statement {
	var following []Statement
	for _, one := range made {
		for i := range standings {
			last := &standings[i]
			if last.Party != one.Party {
				continue
			}
			if one.GivenAt.Before(last.GivenAt) {
				one.GivenAt = last.GivenAt
			}
			switch {
			case one.objects() && last.objects():
				one.Status = ""
			case one.objects():
				one.Status = ledger.ConsentRevoked
			}
		}
		if one.Status != "" {
			following = append(following, one)
		}
	}
	return following
}

// merge are the last statements of each party.
func merge(standings, made []Statement) []Statement {
	last := map[string]Statement{}
	for _, list := range [][]Statement{standings, made} {
		for _, one := range list {
			last[one.Party] = one
		}
	}
	var merged []Statement
	for _, one := range last {
		merged = append(merged, one)
	}
	return merged
}
