package recording

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// WAV is the header of a WAV file: RIFF (Microsoft, 1991), or RF64 (EBU Tech 3306)
// and BW64 (ITU-R BS.2088), whose lengths have 64 bits.
type WAV struct {
	Format        uint16 // 1 is PCM, 0x31 GSM
	Channels      uint16
	SampleRate    uint32 // hertz
	ByteRate      uint32 // bytes of audio a second
	BlockAlign    uint16 // bytes of one sample of all channels
	BitsPerSample uint16
	DataOffset    int64 // where the audio begins
	DataBytes     int64 // how much there is, by the header
	RIFFBytes     int64 // the file's length less 8, by the header

	wide   bool  // RF64 or BW64
	factAt int64 // where the number of samples is, 0 where it is not
}

// Length is how long the audio plays.
func (w *WAV) Length() time.Duration {
	if w.ByteRate == 0 {
		return 0
	}
	return time.Duration(float64(w.DataBytes) / float64(w.ByteRate) * float64(time.Second))
}

const (
	// maxChunks bounds the walk through a file made of tiny chunks.
	maxChunks = 64
	// inDS64 stands in a 32-bit length where the ds64 chunk has the right one.
	inDS64 = math.MaxUint32
	// formatGSM is what Asterisk writes as .WAV (wav49).
	formatGSM = 0x31
	// samplesPerGSM is how many samples a block of formatGSM holds.
	samplesPerGSM = 320
)

var errNoWAV = errors.New("it is no WAV file")

// ReadWAV reads the header of a file of the given size and holds its lengths
// against it. Errors wrap ErrNoAudio, ErrUnfinished, ErrCutShort or
// io.ErrUnexpectedEOF; with the first three the header is answered too.
func ReadWAV(file io.ReaderAt, size int64) (WAV, error) {
	var w WAV
	if err := w.readRIFF(file); err != nil {
		return w, err
	}
	wideData := int64(-1)
	at, format := int64(12), false
	for range maxChunks {
		head, err := stretch(file, at, 8)
		if err != nil {
			return w, err
		}
		if head == nil {
			break
		}
		id, length := string(head[:4]), int64(binary.LittleEndian.Uint32(head[4:]))
		at += 8
		switch id {
		case "ds64":
			if wideData, err = w.readDS64(file, at, length); err != nil {
				return w, err
			}
		case "fmt ":
			if err := w.readFormat(file, at, length); err != nil {
				return w, err
			}
			format = true
		case "fact":
			if length >= 4 {
				w.factAt = at
			}
		case "data":
			if !format {
				return w, errors.New("its audio comes before its format")
			}
			w.DataOffset, w.DataBytes = at, length
			if w.wide && length == inDS64 && wideData >= 0 {
				w.DataBytes = wideData
			}
			return w, w.check(file, size)
		}
		at += length + length&1 // a chunk of odd length is followed by a byte that fills up
	}
	return w, fmt.Errorf("it has no audio chunk: %w", io.ErrUnexpectedEOF)
}

// ReadWAVHeader is ReadWAV where the first part of the file is in memory.
func ReadWAVHeader(head []byte, size int64) (WAV, error) {
	return ReadWAV(bytes.NewReader(head), size)
}

// readRIFF reads what a file begins with.
func (w *WAV) readRIFF(file io.ReaderAt) error {
	start, err := stretch(file, 0, 12)
	if err != nil || start == nil || string(start[8:]) != "WAVE" {
		return errNoWAV
	}
	switch string(start[:4]) {
	case "RIFF":
	case "RF64", "BW64":
		w.wide = true
	default:
		return errNoWAV
	}
	w.RIFFBytes = int64(binary.LittleEndian.Uint32(start[4:]))
	return nil
}

// stretch reads a part of the file; nil where the file ends before its end.
func stretch(file io.ReaderAt, at, length int64) ([]byte, error) {
	part := make([]byte, length)
	n, err := file.ReadAt(part, at)
	switch {
	case int64(n) == length:
		return part, nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, nil
	}
	return nil, fmt.Errorf("read its header: %w", reason(err))
}

func (w *WAV) readDS64(file io.ReaderAt, at, length int64) (dataBytes int64, err error) {
	body, err := stretch(file, at, 24)
	if err != nil {
		return 0, err
	}
	if length < 24 || body == nil {
		return 0, fmt.Errorf("its ds64 chunk is cut short: %w", io.ErrUnexpectedEOF)
	}
	riff, data := binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:])
	if riff > math.MaxInt64 || data > math.MaxInt64 {
		return 0, errors.New("its ds64 chunk holds lengths that no file has")
	}
	if w.wide && w.RIFFBytes == inDS64 {
		w.RIFFBytes = int64(riff)
	}
	return int64(data), nil
}

func (w *WAV) readFormat(file io.ReaderAt, at, length int64) error {
	f, err := stretch(file, at, 16)
	if err != nil {
		return err
	}
	if length < 16 || f == nil {
		return fmt.Errorf("its format chunk is cut short: %w", io.ErrUnexpectedEOF)
	}
	le := binary.LittleEndian
	w.Format, w.Channels, w.SampleRate, w.ByteRate = le.Uint16(f), le.Uint16(f[2:]), le.Uint32(f[4:]), le.Uint32(f[8:])
	w.BlockAlign, w.BitsPerSample = le.Uint16(f[12:]), le.Uint16(f[14:])
	return nil
}

func (w *WAV) check(file io.ReaderAt, size int64) error {
	behind := size - w.DataOffset
	switch {
	case behind <= 0:
		return fmt.Errorf("%w: it is a header of %d bytes and nothing else, as an unanswered call leaves it", ErrNoAudio, w.DataOffset)
	case w.DataBytes == 0 && w.RIFFBytes == size-8 && chunksFill(file, w.DataOffset, size):
		return fmt.Errorf("%w: its header says so, and what follows is none", ErrNoAudio)
	case w.DataBytes == 0 || w.RIFFBytes == 0:
		return fmt.Errorf("%w: its header says 0 bytes of audio and %d follow; Asterisk is still writing, or died before it could finish", ErrUnfinished, behind)
	case w.DataBytes > behind:
		return fmt.Errorf("%w: its header says %d bytes of audio and only %d are there", ErrCutShort, w.DataBytes, behind)
	}
	return nil
}

// chunksFill says whether what is from there to the file's end are chunks.
func chunksFill(file io.ReaderAt, at, size int64) bool {
	for range maxChunks {
		if at == size {
			return true
		}
		head, err := stretch(file, at, 8)
		if err != nil || head == nil {
			return false
		}
		for _, letter := range head[:4] {
			if letter < ' ' || letter > '~' {
				return false
			}
		}
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		at += 8 + length + length&1
	}
	return false
}

// patch is what stands, or shall stand, in a place of a file.
type patch struct {
	At    int64  `json:"at"`
	Bytes []byte `json:"bytes"`
}

// lengths are the fields of a RIFF header that tell lengths, as they are in a
// finished file of the given size that is all audio behind the header. Nil where
// the format has no room for them.
func (w *WAV) lengths(size int64) []patch {
	data := size - w.DataOffset
	if block := int64(w.BlockAlign); block > 0 {
		data -= data % block
	}
	if w.wide || data <= 0 || size-8 >= inDS64 {
		return nil
	}
	field := func(at, n int64) patch { return patch{at, binary.LittleEndian.AppendUint32(nil, uint32(n))} } //nolint:gosec // bounded above
	fields := []patch{field(4, size-8), field(w.DataOffset-4, data)}
	if w.factAt > 0 && w.factAt < w.DataOffset && w.Format == formatGSM && w.BlockAlign > 0 {
		if samples := data / int64(w.BlockAlign) * samplesPerGSM; samples < inDS64 {
			fields = append(fields, field(w.factAt, samples))
		}
	}
	return fields
}

// zeroed are the same fields as they are while Asterisk writes.
func zeroed(fields []patch) []patch {
	zero := make([]patch, len(fields))
	for i, field := range fields {
		zero[i] = patch{field.At, make([]byte, len(field.Bytes))}
	}
	return zero
}

// touches says whether patches lie in a part of a file.
func touches(part []byte, at int64, patches []patch) bool {
	for _, p := range patches {
		if p.At < at+int64(len(part)) && p.At+int64(len(p.Bytes)) > at {
			return true
		}
	}
	return false
}

// laid lays patches over a part of a file that begins at the given place.
func laid(part []byte, at int64, patches []patch) {
	for _, p := range patches {
		for i, b := range p.Bytes {
			if place := p.At + int64(i) - at; place >= 0 && place < int64(len(part)) {
				part[place] = b
			}
		}
	}
}
