package pause

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// slack is by how much a recording's time may differ from the clock's: where
	// nobody sends anything, MixMonitor writes nothing.
	slack = 2 * time.Second
	// edge is what may be missing of a pause at its ends: a mute counts from the next
	// frame on, and events take their time.
	edge = 300 * time.Millisecond
	// shortest is the shortest silence that is looked at.
	shortest = 100 * time.Millisecond
	// most is how many pauses a record takes.
	most = 100
	// headBytes is where a WAV's header is looked for.
	headBytes = 64 << 10
)

// ErrMany says that a recording has more pauses than a record takes: the first are
// answered.
var ErrMany = errors.New("a recording has more pauses than a record takes")

// ErrHeard says that a recording is not silent where it should be.
var ErrHeard = errors.New("a recording is not silent in its pause")

// Locate finds a channel's pauses in its recording, in ms from the recording's start.
// A WAV of 16 bits is read: where it is digitally silent is more exact than the clock,
// and a pause in which there is something is not answered, but ErrHeard beside those
// that are right. In any other file the clock has to do.
func (c *Channel) Locate(path string) ([]ledger.Pause, error) {
	sound, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("look for the pauses of a recording: %w", err)
	}
	var pauses []ledger.Pause
	var heard error
	for _, span := range c.Spans {
		from, to := c.within(span, sound)
		if sound.read && to-from > edge {
			found, silent := sound.silence(from, to)
			if !silent {
				heard = ErrHeard
				continue
			}
			from, to = found.from, found.to
		}
		pauses = add(pauses, from, to)
	}
	if len(pauses) > most {
		return pauses[:most], errors.Join(heard, ErrMany)
	}
	return pauses, heard
}

// within is where the clock says that a pause lies. Without a known start the file's
// end tells.
func (c *Channel) within(span Span, sound *sound) (from, to time.Duration) {
	start := c.Started
	if start.IsZero() || start.After(span.From) {
		start = sound.modified.Add(-sound.length)
	}
	from, to = span.From.Sub(start), sound.length
	if !span.To.IsZero() {
		to = span.To.Sub(start)
	}
	if sound.length > 0 {
		from, to = min(from, sound.length), min(to, sound.length)
	}
	return max(0, from), max(0, to)
}

// add appends a pause, in order and apart from the one before.
func add(pauses []ledger.Pause, from, to time.Duration) []ledger.Pause {
	one := ledger.Pause{FromMS: from.Milliseconds(), Reason: ledger.PauseCard, ToMS: to.Milliseconds()}
	if n := len(pauses); n > 0 && one.FromMS <= pauses[n-1].ToMS {
		pauses[n-1].ToMS = max(pauses[n-1].ToMS, one.ToMS)
		return pauses
	}
	if one.ToMS <= one.FromMS {
		return pauses // it ended before a sample was written
	}
	return append(pauses, one)
}

// sound is what is known of a recording.
type sound struct {
	modified time.Time
	length   time.Duration // 0 where it is not known
	read     bool
	silences []silence // at least shortest, in order
}

// silence is a stretch in which every sample is 0.
type silence struct{ from, to time.Duration }

// silence finds where a pause lies that the clock sees from one time to another.
func (s *sound) silence(from, to time.Duration) (silence, bool) {
	var best silence
	var overlap time.Duration
	for _, one := range s.silences {
		if common := min(one.to, to+slack) - max(one.from, from-slack); common > overlap {
			best, overlap = one, common
		}
	}
	length := best.to - best.from
	switch {
	case length < to-from-edge:
		return silence{}, false
	case length <= to-from+edge:
		return best, true
	}
	// It was silent before or after too.
	exact := silence{max(from, best.from), min(to, best.to)}
	if exact.to-exact.from < to-from-edge {
		return silence{}, false
	}
	return exact, true
}

// open reads a recording through, with flat memory.
func open(path string) (*sound, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, min(headBytes, info.Size()))
	if _, err := io.ReadFull(file, head); err != nil {
		return nil, err
	}
	s := &sound{modified: info.ModTime()}
	wav, err := recording.ReadWAVHeader(head, info.Size())
	if err != nil || wav.SampleRate == 0 || wav.Channels == 0 {
		return s, nil // another format
	}
	s.length = wav.Length()
	if wav.Format != 1 || wav.BitsPerSample != 16 {
		return s, nil
	}
	if _, err := file.Seek(wav.DataOffset, io.SeekStart); err != nil {
		return nil, err
	}
	s.read = true
	return s, s.scan(bufio.NewReaderSize(io.LimitReader(file, wav.DataBytes), 64<<10), int64(wav.SampleRate), int64(wav.Channels))
}

// scan notes the silences.
func (s *sound) scan(audio *bufio.Reader, rate, channels int64) error {
	at := func(frame int64) time.Duration { return time.Duration(frame) * time.Second / time.Duration(rate) }
	frame, begun := make([]byte, 2*channels), int64(-1)
	note := func(end int64) {
		if begun >= 0 && at(end)-at(begun) >= shortest {
			s.silences = append(s.silences, silence{at(begun), at(end)})
		}
		begun = -1
	}
	for n := int64(0); ; n++ {
		_, err := io.ReadFull(audio, frame)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			note(n)
			return nil
		}
		if err != nil {
			return err
		}
		silent := true
		for _, b := range frame {
			silent = silent && b == 0
		}
		if silent && begun < 0 {
			begun = n
		} else if !silent {
			note(n)
		}
	}
}
