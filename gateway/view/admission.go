// Package view streams to adapters what they must know to admit or refuse a call:
// what is held on subjects of reputation, the operator's devices, and the policies
// that judge them. A whole copy comes first, then every change as it comes onto the
// ledger, so that admission never leaves the adapter's memory.
package view

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway/index"
)

const (
	// heartbeat is how often a mark is sent when nothing changes: a stream that is
	// silent for longer is dead.
	heartbeat = 5 * time.Second
	// page is how many entries one message carries: some hundred kilobytes.
	page = 500
)

// decisive are the kinds of record that decide, policies first: the rest is read
// in their light.
var decisive = []index.Kind{index.KindPolicy, index.KindDevice, index.KindOpinion, index.KindPardon, index.KindAllowance}

// Admission is what the streams are made of. It is safe for concurrent use.
type Admission struct {
	index *index.Index
	msp   string
	keys  []*pb.PseudonymKey
}

// NewAdmission makes the streams' source. The keys are the consortium's, the one
// in force last; without any, adapters can look nothing up.
func NewAdmission(from *index.Index, msp string, keys ...[]byte) (*Admission, error) {
	admission := &Admission{index: from, msp: msp}
	for _, key := range keys {
		if key == nil {
			continue
		}
		commitment, err := reputation.Commitment(key)
		if err != nil {
			return nil, fmt.Errorf("the consortium's key: %w", err)
		}
		admission.keys = append(admission.keys, &pb.PseudonymKey{Commitment: commitment, Key: key})
	}
	return admission, nil
}

// Watch sends until the context ends or send fails. It holds one message at a
// time, so a slow reader costs no memory.
func (a *Admission) Watch(ctx context.Context, cursor string, send func(*pb.WatchAdmissionResponse) error) error {
	chain, err := a.index.Chain(ctx)
	if err != nil {
		return err
	}
	after, resumes := parse(cursor, chain)
	if err := send(&pb.WatchAdmissionResponse{Event: &pb.WatchAdmissionResponse_Start{Start: &pb.AdmissionStart{
		Restart: !resumes, Msp: a.msp, Keys: a.keys,
	}}}); err != nil {
		return err
	}
	if !resumes {
		if after, err = a.copy(ctx, send); err != nil {
			return err
		}
	}
	return a.follow(ctx, chain, after, send)
}

// copy sends what stands now, and answers from where on changes are to follow.
// What changes while it is sent is sent again then.
func (a *Admission) copy(ctx context.Context, send func(*pb.WatchAdmissionResponse) error) (index.Cursor, error) {
	after := index.EndOf(a.index.Height())
	epoch, err := a.epoch(ctx)
	if err != nil {
		return after, err
	}
	for _, kind := range decisive {
		for last := (index.Cursor{}); ; {
			found, err := a.index.Current(ctx, kind, last, page)
			if err != nil {
				return after, err
			}
			whole := len(found) == page
			if whole {
				last = found[page-1].Cursor
			}
			found = slices.DeleteFunc(found, func(one index.Change) bool { return outdated(&one, epoch) })
			if err := a.sendEntries(found, send); err != nil {
				return after, err
			}
			if !whole {
				break
			}
		}
	}
	return after, nil
}

// epoch is the pseudonyms' epoch in force: what is held under an earlier one
// decides nothing any more.
func (a *Admission) epoch(ctx context.Context) (int64, error) {
	policies, err := a.index.Current(ctx, index.KindPolicy, index.Cursor{}, page)
	if err != nil {
		return 0, err
	}
	for i := range policies {
		var version ledger.PolicyVersion
		if ledger.DecodeStrict(policies[i].Value, &version) == nil && version.Policy.Pseudonyms != nil {
			return version.Policy.Pseudonyms.Epoch, nil
		}
	}
	return 1, nil
}

// outdated says whether something is held on a subject of an epoch before that one.
func outdated(one *index.Change, epoch int64) bool {
	switch one.Kind {
	case index.KindOpinion, index.KindPardon, index.KindAllowance:
	default:
		return false
	}
	_, parts, err := ledger.SplitKey(one.Key)
	if err != nil || len(parts) == 0 {
		return false
	}
	its, err := ledger.ParseKeyNumber(parts[0])
	return err == nil && its < epoch
}

// follow sends changes as they come, and marks.
func (a *Admission) follow(ctx context.Context, chain []byte, after index.Cursor, send func(*pb.WatchAdmissionResponse) error) error {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		moved := a.index.Advanced()
		found, next, err := a.index.Changes(ctx, after, page, index.Filter{Kinds: decisive})
		if err != nil {
			return err
		}
		after = next
		if err := a.sendEntries(found, send); err != nil {
			return err
		}
		if len(found) == page {
			continue
		}
		if err := send(&pb.WatchAdmissionResponse{Event: &pb.WatchAdmissionResponse_Mark{Mark: &pb.AdmissionMark{
			Cursor: format(after, chain), Height: a.index.Height(), At: timestamppb.Now(),
		}}}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		case <-ticker.C:
		}
	}
}

func (a *Admission) sendEntries(found []index.Change, send func(*pb.WatchAdmissionResponse) error) error {
	entries := make([]*pb.AdmissionEntry, 0, len(found))
	for i := range found {
		// Another operator could register an address of ours and so let it pass.
		if found[i].Kind == index.KindDevice && found[i].MSP != a.msp {
			continue
		}
		entry := &pb.AdmissionEntry{Key: found[i].Key}
		if !found[i].Deleted {
			entry.Value = found[i].Value
		}
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		return nil
	}
	return send(&pb.WatchAdmissionResponse{Event: &pb.WatchAdmissionResponse_Entries{Entries: &pb.AdmissionEntries{Entries: entries}}})
}

// format writes a cursor: the chain's name, the block and the position in it.
func format(at index.Cursor, chain []byte) string {
	return fmt.Sprintf("%s.%d.%d", hex.EncodeToString(chain[:min(8, len(chain))]), at.Block, at.Position)
}

// parse reads a cursor; one of another chain, or none, has the copy begin anew.
func parse(text string, chain []byte) (index.Cursor, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != hex.EncodeToString(chain[:min(8, len(chain))]) {
		return index.Cursor{}, false
	}
	block, err := strconv.ParseUint(parts[1], 10, 40)
	if err != nil {
		return index.Cursor{}, false
	}
	position, err := strconv.ParseUint(parts[2], 10, 31)
	return index.Cursor{Block: block, Position: int(position)}, err == nil
}
