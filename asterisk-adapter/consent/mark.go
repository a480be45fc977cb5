package consent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// lookAgain is how often the folder of marks is looked at: it is nearly always
	// empty, and the PBX has ended the recording by itself.
	lookAgain = 250 * time.Millisecond
	// maxMark is the longest mark, in bytes.
	maxMark = 1024
)

// ErrMark says that a file is no mark.
var ErrMark = errors.New("not a mark of the dialplan")

// Mark is what the dialplan leaves when a party withdraws its consent by a key: a file
// outlives whatever is not running. It names no number.
type Mark struct {
	// Caller says that it was the calling party, else the called one.
	Caller bool
	// UniqueID is the recorded channel, and LinkedID its call.
	UniqueID, LinkedID string
}

// ParseMark reads a mark: "revoked,caller,UNIQUEID,LINKEDID" and a line's end, without
// which it is not written whole. Errors wrap ErrMark.
func ParseMark(text string) (Mark, error) {
	line, whole := strings.CutSuffix(text, "\n")
	fields := strings.Split(line, ",")
	switch {
	case !whole || len(text) > maxMark:
		return Mark{}, fmt.Errorf("%w: it has no end", ErrMark)
	case len(fields) != 4 || fields[0] != "revoked" || fields[1] != "caller" && fields[1] != "called":
		return Mark{}, fmt.Errorf("%w: it does not read revoked,caller|called,UNIQUEID,LINKEDID", ErrMark)
	}
	for _, name := range fields[2:] {
		if err := ledger.CheckName("a mark's id", name); err != nil {
			return Mark{}, fmt.Errorf("%w: %w", ErrMark, err)
		}
	}
	return Mark{Caller: fields[1] == "caller", UniqueID: fields[2], LinkedID: fields[3]}, nil
}

// Marks turns the dialplan's marks into statements.
type Marks struct {
	// Folder is where the dialplan leaves them.
	Folder string
	// Evidence is the folder for evidence.
	Evidence string
	PBX      string
	Book     *Book
	// Parties answers who is on a channel that was not asked, by what its leg says;
	// false where its leg is not known yet.
	Parties func(uniqueID string) (caller, called string, known bool)
	// Stated is told of each statement.
	Stated func(context.Context, *Statement)
	Log    *slog.Logger

	reported map[string]bool
}

// Run takes marks until the context ends.
func (m *Marks) Run(ctx context.Context) error {
	m.reported = map[string]bool{}
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		if err := m.look(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func (m *Marks) look(ctx context.Context) error {
	found, err := os.ReadDir(m.Folder)
	if err != nil {
		return fmt.Errorf("look for revocations that the dialplan left: %w", err)
	}
	for _, one := range found {
		if !one.Type().IsRegular() {
			continue
		}
		path := filepath.Join(m.Folder, one.Name())
		switch err := m.take(ctx, path); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, ErrMark):
			if !m.reported[path] { // it may be written just now
				m.Log.Warn("a file among the dialplan's marks is none", "error", err)
				m.reported[path] = true
			}
		default:
			return err
		}
	}
	return nil
}

// take has a mark's statement in the book, then removes it. Between the two the book
// knows it by its time.
func (m *Marks) take(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxMark {
		return fmt.Errorf("%w: it has %d bytes", ErrMark, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	mark, err := ParseMark(string(text))
	if err != nil {
		return err
	}
	call, err := m.Book.Call(mark.UniqueID)
	if err != nil {
		return err
	}
	if call == nil {
		caller, called, known := m.Parties(mark.UniqueID)
		if !known {
			return nil // its leg will tell
		}
		call = &Call{UniqueID: mark.UniqueID, LinkedID: mark.LinkedID, Caller: caller, Called: called}
	}
	if err := m.revoke(ctx, call, mark, info.ModTime()); err != nil {
		return err
	}
	return os.Remove(path)
}

func (m *Marks) revoke(ctx context.Context, call *Call, mark Mark, at time.Time) error {
	party := call.Called
	if mark.Caller {
		party = call.Caller
	}
	log := m.Log.With("uniqueid", mark.UniqueID)
	if party == "" {
		log.Error("a party withdrew its consent, and nothing says who it is: the recording has ended, the ledger does not know why")
		return nil
	}
	given := ledger.TimeOf(at)
	standings, err := m.Book.Standings(call.LinkedID)
	if err != nil {
		return err
	}
	for i := range standings {
		last := &standings[i]
		if last.Party != party {
			continue
		}
		if last.objects() {
			log.Info("a party withdrew a consent that it does not give")
			return nil
		}
		if given.Before(last.GivenAt) {
			given = last.GivenAt // the file system's clock is coarser
		}
	}
	policy, err := m.Book.Policy()
	if err != nil {
		return err
	}
	evidence := &Evidence{
		AnsweredAt: given, AskedAt: given, Jurisdiction: call.Jurisdiction, LinkedID: call.LinkedID, Method: ledger.MethodDTMF, Party: party, PBX: m.PBX,
		PolicyVersion: policy.Version, Rule: ruleOf(policy, call.Jurisdiction), Status: ledger.ConsentRevoked, UniqueID: call.UniqueID,
	}
	digest, err := evidence.keep(m.Evidence, randomHex(16))
	if err != nil {
		return err
	}
	statement := Statement{
		Key: randomHex(16), LinkedID: call.LinkedID, Party: party, Status: ledger.ConsentRevoked, Method: ledger.MethodDTMF, Jurisdiction: call.Jurisdiction,
		Evidence: digest, GivenAt: given,
	}
	if err := m.Book.Conclude(nil, statement); err != nil {
		return err
	}
	log.Info("a party has withdrawn its consent")
	m.Stated(ctx, &statement)
	return nil
}
