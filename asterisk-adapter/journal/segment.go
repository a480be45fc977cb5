package journal

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Signer signs segments with an adapter's certificate.
type Signer struct {
	MSP, PBX string
	// Fingerprint is the SHA-256 of the certificate's DER, hexadecimal.
	Fingerprint string
	Key         *ecdsa.PrivateKey
}

// Entry is what to close into a segment: exactly one kind of record, with the
// details of a leg or a recording.
type Entry struct {
	Beat *ledger.Beat
	Call *ledger.Call
	// Disagreement of a leg that is in an earlier segment, or before it in this one.
	Disagreement *ledger.Disagreement
	Link         *ledger.Link
	Omission     *ledger.Omission
	Opening      *ledger.Opening
	Progress     *ledger.Progress
	Recording    *ledger.Recording
	Details      ledger.Details
	// Join is the number of the join that became the link.
	Join uint64
	// File is the recording's file as it was digested.
	File File
}

// Record is the entry as a record that has no place yet.
func (e *Entry) Record() ledger.Record {
	return ledger.Record{
		Beat: e.Beat, Call: e.Call, Disagreement: e.Disagreement, Link: e.Link, Omission: e.Omission, Opening: e.Opening, Progress: e.Progress,
		Recording: e.Recording, V: ledger.SchemaVersion,
	}
}

// noDetails stands in a segment for the details of a record that has none.
const noDetails = "null"

// DetailsOf are the details of the i-th record, nil where it has none.
func (s *Segment) DetailsOf(i int) []byte {
	if string(s.Details[i]) == noDetails {
		return nil
	}
	return s.Details[i]
}

// Segment is a closed segment on its way to the gateway.
type Segment struct {
	Header    ledger.Segment   `json:"header"`
	Signature []byte           `json:"signature"`
	Records   []jsontext.Value `json:"records"`
	Details   []jsontext.Value `json:"details"`
	// Refused is the gateway's last word where sending it again cannot help.
	Refused string `json:"refused,omitzero"`
}

// File is a recording's file that was closed into a segment.
type File struct {
	Path string `json:"path"`
	// Size and Modified (ns since 1970) tell one content from the next.
	Size     int64 `json:"size"`
	Modified int64 `json:"modified"`
	// RecordingID and Revision are what the file was anchored as last.
	RecordingID string `json:"recording_id"`
	Revision    int64  `json:"revision"`
	SHA256      string `json:"sha256"`
	// Leg is the leg it was anchored with; empty in journals of before.
	Leg ledger.LegID `json:"leg,omitzero"`
	// NoCDR says that Leg names a channel alone.
	NoCDR bool `json:"no_cdr,omitzero"`
}

// CloseSegment numbers the entries, signs their segment and puts it into the
// outbox, in one write: no number is ever given twice or skipped.
func (j *Journal) CloseSegment(signer *Signer, entries []Entry) (*Segment, error) {
	if len(entries) == 0 || len(entries) > ledger.MaxRecords {
		return nil, fmt.Errorf("a segment takes 1 to %d records, not %d", ledger.MaxRecords, len(entries))
	}
	var closed *Segment
	err := j.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		first := readNumber(meta.Get(keyNextSeq))
		now := time.Now()
		header := ledger.Segment{
			ClosedAt: ledger.TimeOf(now), Count: int64(len(entries)), Epoch: j.Epoch(), FirstSeq: first,
			MSP: signer.MSP, PBX: signer.PBX, PrevFirstSeq: readNumber(meta.Get(keyPrevSeq)), PrevRoot: string(meta.Get(keyPrevRoot)), Signer: signer.Fingerprint, V: ledger.SchemaVersion,
		}
		if first == 1 && entries[0].Opening == nil {
			return errors.New("an epoch begins with its opening")
		}
		if last := entries[len(entries)-1].Beat; last != nil && last.Closing {
			header.Closing = true
		} else if promise := time.Duration(j.promise.Load()); promise > 0 {
			header.NextBy = ledger.TimeOf(now.Add(promise))
		}
		segment, err := seal(header, signer, entries)
		if err != nil {
			return err
		}
		text, err := encode(segment)
		if err != nil {
			return err
		}
		if err := noteEntries(tx, entries, first); err != nil {
			return err
		}
		if err := noteDisagreements(tx, entries); err != nil {
			return err
		}
		if err := noteDue(tx, entries, now); err != nil {
			return err
		}
		closed = segment
		return errors.Join(
			tx.Bucket(bucketOutbox).Put(number(first), text),
			meta.Put(keyNextSeq, number(first+int64(len(entries)))),
			meta.Put(keyPrevSeq, number(first)),
			meta.Put(keyPrevRoot, []byte(segment.Header.Root)),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("close a segment: %w", err)
	}
	return closed, nil
}

// seal builds the records, their root and the signature.
func seal(header ledger.Segment, signer *Signer, entries []Entry) (*Segment, error) {
	segment := &Segment{}
	leaves := make([][]byte, len(entries))
	records := make([]ledger.Record, len(entries))
	for i := range entries {
		records[i] = entries[i].Record()
		record := &records[i]
		record.Epoch, record.MSP, record.PBX, record.Segment, record.Seq = header.Epoch, header.MSP, header.PBX, header.FirstSeq, header.FirstSeq+int64(i)
		// What the ledger would refuse must not get a number: it would block the
		// sequence for ever.
		if err := record.Check(); err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		leaf, err := ledger.Canonical(record)
		if err != nil {
			return nil, err
		}
		details := []byte(noDetails)
		if record.DetailsDigest() != "" {
			if details, err = ledger.Canonical(&entries[i].Details); err != nil {
				return nil, err
			}
		}
		leaves[i] = leaf
		segment.Records = append(segment.Records, leaf)
		segment.Details = append(segment.Details, details)
	}
	root, err := ledger.Root(leaves)
	if err != nil {
		return nil, err
	}
	header.Root, header.Boots = root, ledger.BootsOf(records)
	segment.Header = header
	segment.Signature, err = header.Sign(signer.Key)
	return segment, err
}

// noteEntries marks the legs and files as closed.
func noteEntries(tx *bbolt.Tx, entries []Entry, first int64) error {
	for i := range entries {
		seq := first + int64(i)
		if call := entries[i].Call; call != nil {
			// The call as closed: it may have gained ARI's times.
			if err := updateLeg(tx, call.Leg, func(leg *Leg) { leg.Seq, leg.Call, leg.Details = seq, *call, entries[i].Details }); err != nil {
				return err
			}
			if err := raiseWater(tx, call); err != nil {
				return err
			}
		}
		if progress := entries[i].Progress; progress != nil {
			if err := noteProgress(tx, progress, seq); err != nil {
				return err
			}
		}
		if entries[i].Link != nil {
			if err := noteLink(tx, &entries[i]); err != nil {
				return err
			}
		}
		if entries[i].Recording != nil {
			file := entries[i].File
			file.Leg, file.NoCDR = entries[i].Recording.Leg, entries[i].Recording.NoCDR
			if err := putFile(tx, &file); err != nil {
				return err
			}
		}
	}
	return nil
}

// Outbox answers the segments that are not on the ledger yet, in order, but those
// the gateway refused for good.
func (j *Journal) Outbox() (waiting, refused []*Segment, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketOutbox).ForEach(func(_, stored []byte) error {
			segment := &Segment{}
			if err := decode(stored, segment); err != nil {
				return err
			}
			if segment.Refused != "" {
				refused = append(refused, segment)
			} else {
				waiting = append(waiting, segment)
			}
			return nil
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the outbox: %w", err)
	}
	return waiting, refused, nil
}

// Committed takes a segment out of the outbox: it is on the ledger.
func (j *Journal) Committed(firstSeq int64) error {
	err := j.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketOutbox).Delete(number(firstSeq)) })
	if err != nil {
		return fmt.Errorf("clear the outbox: %w", err)
	}
	return nil
}

// Refuse keeps a segment aside with the gateway's reason.
func (j *Journal) Refuse(firstSeq int64, reason string) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		outbox := tx.Bucket(bucketOutbox)
		stored := outbox.Get(number(firstSeq))
		if stored == nil {
			return fmt.Errorf("the outbox does not hold segment %d", firstSeq)
		}
		segment := &Segment{}
		if err := decode(stored, segment); err != nil {
			return err
		}
		segment.Refused = reason
		text, err := encode(segment)
		if err != nil {
			return err
		}
		return outbox.Put(number(firstSeq), text)
	})
	if err != nil {
		return fmt.Errorf("set a segment aside: %w", err)
	}
	return nil
}

func readNumber(stored []byte) int64 {
	var n int64
	for _, b := range stored {
		n = n<<8 | int64(b)
	}
	return n
}
