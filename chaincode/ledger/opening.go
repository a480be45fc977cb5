package ledger

// Object types of an adapter's words about itself.
const (
	TypeOpening = "opening"
	TypeBeat    = "beat"
)

// Why an epoch begins.
const (
	// OpeningFirst: the ledger holds no earlier epoch of the PBX.
	OpeningFirst = "first"
	// OpeningLost: the journal of the epoch before was lost, and with it whatever
	// it had not sent.
	OpeningLost = "journal_lost"
	// OpeningPlanned: the adapter was set up anew after it had closed its journal.
	OpeningPlanned = "planned"
)

// Opening is the first record of an epoch: it says why the epoch begins and what
// the ledger held of the one before, so that nothing can be cut off between them
// unseen.
type Opening struct {
	// At is when the journal was begun, by the PBX's clock.
	At Time `json:"at"`
	// PrevEpoch, PrevRoot and PrevSeq are the epoch before, the root of its last
	// segment and the number of its last record, as the ledger held them; absent
	// where there is none.
	PrevEpoch int64  `json:"prev_epoch,omitzero"`
	PrevRoot  string `json:"prev_root,omitzero"`
	PrevSeq   int64  `json:"prev_seq,omitzero"`
	// Why is one of the reasons above.
	Why string `json:"why"`
}

// OpeningKey is the key of an opening: opening ⟨msp, pbx, epoch⟩.
func OpeningKey(msp, pbx string, epoch int64) string {
	return CompositeKey(TypeOpening, msp, pbx, keyNumber(epoch))
}

type openingContent struct{ *Opening }

func (c openingContent) key(r *Record) string     { return OpeningKey(r.MSP, r.PBX, r.Epoch) }
func (c openingContent) indexes(*Record) []string { return nil }
func (c openingContent) moment() Time             { return c.At }
func (c openingContent) leg() LegID               { return LegID{} }

func (c openingContent) check(r *Record) error {
	switch c.Why {
	case OpeningFirst:
		if c.PrevEpoch != 0 || c.PrevSeq != 0 || c.PrevRoot != "" {
			return Errorf(CodeInvalid, "an opening that is the first names no epoch before it")
		}
	case OpeningLost, OpeningPlanned:
		if c.PrevEpoch < 1 || c.PrevEpoch > MaxInteger || c.PrevEpoch == r.Epoch || c.PrevSeq < 1 || c.PrevSeq > MaxInteger {
			return Errorf(CodeInvalid, "an opening that is not the first names another epoch before it and its last record")
		}
		if err := CheckHex("prev_root", c.PrevRoot, 32); err != nil {
			return err
		}
	default:
		return Errorf(CodeInvalid, "an epoch begins because it is the first, because of journal_lost, or planned")
	}
	return checkMoment("at", c.At)
}

// maxBoots bounds the starts of Asterisk that one beat or segment tells of.
const maxBoots = 20

// Beat says that the adapter is there although it may have nothing to tell, or
// that it stops. A segment with a beat is how a quiet PBX proves it is quiet.
type Beat struct {
	// At is when it was said, by the PBX's clock.
	At Time `json:"at"`
	// Closing says that the adapter was told to stop.
	Closing bool `json:"closing,omitzero"`
	// HighWater is, for the latest starts of Asterisk, the highest CDR sequence the
	// adapter has seen, in order of the starts.
	HighWater []HighWater `json:"high_water,omitzero"`
}

// HighWater is the highest CDR sequence of one start of Asterisk.
type HighWater struct {
	// Boot is when Asterisk was started, in ms since 1970.
	Boot int64 `json:"boot"`
	// Sequence is the highest CDR sequence seen of it.
	Sequence int64 `json:"sequence"`
}

// BeatKey is the key of a beat: beat ⟨msp, pbx, epoch, seq⟩.
func BeatKey(msp, pbx string, epoch, seq int64) string {
	return CompositeKey(TypeBeat, msp, pbx, keyNumber(epoch), keyNumber(seq))
}

type beatContent struct{ *Beat }

func (c beatContent) key(r *Record) string     { return BeatKey(r.MSP, r.PBX, r.Epoch, r.Seq) }
func (c beatContent) indexes(*Record) []string { return nil }
func (c beatContent) moment() Time             { return c.At }
func (c beatContent) leg() LegID               { return LegID{} }

func (c beatContent) check(*Record) error {
	if c.HighWater != nil && len(c.HighWater) == 0 {
		return Errorf(CodeInvalid, "high_water holds none: leave it out")
	}
	if len(c.HighWater) > maxBoots {
		return Errorf(CodeInvalid, "high_water tells of %d starts of Asterisk, at most %d are allowed", len(c.HighWater), maxBoots)
	}
	for i, water := range c.HighWater {
		if err := checkBoot(water.Boot); err != nil {
			return err
		}
		if err := CheckNumber("sequence", water.Sequence); err != nil {
			return err
		}
		if i > 0 && c.HighWater[i-1].Boot >= water.Boot {
			return Errorf(CodeInvalid, "high_water must be in order of the starts, each named once")
		}
	}
	return checkMoment("at", c.At)
}

func checkBoot(boot int64) error {
	if boot < 1 || boot > MaxInteger {
		return Errorf(CodeInvalid, "boot is %d, it is the time of Asterisk's start in ms since 1970", boot)
	}
	return nil
}
