package contract

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/callseal/callseal/chaincode/ledger"
)

// maxEpochs bounds the epochs of one PBX: each is a journal that was lost, or a
// new installation.
const maxEpochs = 1000

// shelf reads the segments of one PBX in the order of their keys. It is for
// queries only: pages and ranges have no place in a transaction that writes.
type shelf struct {
	stub     shim.ChaincodeStubInterface
	msp, pbx string
}

// page answers up to size segments from the given place on, and whether there are
// more. With within, it stays in the epoch.
func (s *shelf) page(epoch, seq int64, within bool, size int32) ([]ledger.AnchoredSegment, bool, error) {
	parts := []string{s.msp, s.pbx}
	from := ledger.SegmentKey(s.msp, s.pbx, epoch, seq)
	if within {
		_, split, err := ledger.SplitKey(from)
		if err != nil {
			return nil, false, ledger.Errorf(ledger.CodeInternal, "%v", err)
		}
		parts = split[:3]
	}
	// A bookmark is a key to begin at, be there one or not.
	iterator, metadata, err := s.stub.GetStateByPartialCompositeKeyWithPagination(ledger.TypeSegment, parts, size, from)
	if err != nil {
		return nil, false, ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
	}
	defer func() { _ = iterator.Close() }()
	var found []ledger.AnchoredSegment
	for iterator.HasNext() {
		entry, err := iterator.Next()
		if err != nil {
			return nil, false, ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
		}
		var anchored ledger.AnchoredSegment
		if err := decodeStored(entry.GetValue(), &anchored); err != nil {
			return nil, false, err
		}
		found = append(found, anchored)
	}
	return found, metadata.GetBookmark() != "", nil
}

// first answers the first segment from the given place on, nil where there is
// none.
func (s *shelf) first(epoch, seq int64, within bool) (*ledger.AnchoredSegment, error) {
	found, _, err := s.page(epoch, seq, within, 1)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// epochs answers the PBX's epochs below the bound, in order.
func (s *shelf) epochs(below int64) ([]int64, error) {
	var epochs []int64
	for next := int64(0); ; {
		found, err := s.first(next, 0, false)
		if err != nil {
			return nil, err
		}
		if found == nil || found.Segment.Epoch >= below {
			return epochs, nil
		}
		if len(epochs) == maxEpochs {
			return nil, ledger.Errorf(ledger.CodeTooLarge, "the PBX has more than %d epochs: its journal is lost again and again", maxEpochs)
		}
		epochs = append(epochs, found.Segment.Epoch)
		next = found.Segment.Epoch + 1
	}
}

// tail is how an epoch ends.
type tail struct {
	epoch, last int64 // the epoch and the number of its last record
	root        string
	closing     bool
}

// take sees a segment of the epoch, in order of keys.
func (t *tail) take(anchored *ledger.AnchoredSegment) {
	segment := &anchored.Segment
	if end := segment.FirstSeq + segment.Count - 1; end > t.last || t.epoch != segment.Epoch {
		t.epoch, t.last, t.root = segment.Epoch, end, segment.Root
	}
	t.closing = segment.Closing
}

// tailOf finds the end of an epoch without walking through it: nobody can read
// keys backwards, so the last is searched for by halves.
func (s *shelf) tailOf(epoch int64) (*tail, error) {
	found, err := s.first(epoch, 0, true)
	if err != nil || found == nil {
		return nil, err
	}
	known, beyond := found.Segment.FirstSeq, int64(ledger.MaxInteger)
	for step := int64(1024); known+1 < beyond; {
		middle := known + step
		if middle >= beyond {
			middle = known + (beyond-known)/2
		}
		if found, err = s.first(epoch, middle, true); err != nil {
			return nil, err
		}
		if found == nil {
			beyond, step = middle, max(1, step/2)
		} else {
			known, step = found.Segment.FirstSeq, step*2
		}
	}
	end := &tail{}
	return end, s.near(epoch, known, end.take)
}

// near visits the segments that may reach the given one, and that one: a segment
// holds at most ledger.MaxRecords records.
func (s *shelf) near(epoch, seq int64, visit func(*ledger.AnchoredSegment)) error {
	found, _, err := s.page(epoch, max(0, seq-ledger.MaxRecords+1), true, ledger.MaxRecords)
	if err != nil {
		return err
	}
	for i := range found {
		if found[i].Segment.FirstSeq <= seq {
			visit(&found[i])
		}
	}
	return nil
}
