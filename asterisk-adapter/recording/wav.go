package recording

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// inspect tells a recording's type from its first block and refuses a WAV
// that is not finished.
func inspect(head []byte, size int64, name string) (string, time.Duration, error) {
	if !bytes.HasPrefix(head, []byte("RIFF")) {
		return mediaType(head, name), 0, nil
	}
	wav, err := ReadWAVHeader(head, size)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", name, err)
	}
	return "audio/wav", wav.Length(), nil
}

// mediaType covers the formats Asterisk writes. The headerless ones can only
// be told by name.
func mediaType(head []byte, name string) string {
	if bytes.HasPrefix(head, []byte("OggS")) {
		return "audio/ogg"
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".gsm":
		return "audio/gsm"
	case ".ulaw", ".ul", ".mu", ".pcm":
		return "audio/PCMU"
	case ".alaw", ".al":
		return "audio/PCMA"
	case ".g722":
		return "audio/G722"
	case ".sln", ".raw", ".sln16":
		return "audio/L16"
	}
	return http.DetectContentType(head)
}

// WAV is the header of a WAV file.
type WAV struct {
	Format        uint16 // 1 is PCM, 0x31 GSM
	Channels      uint16
	SampleRate    uint32 // hertz
	ByteRate      uint32 // bytes of audio a second
	BitsPerSample uint16
	DataOffset    int64 // where the audio begins
	DataBytes     int64 // how much there is, by the header
	RIFFBytes     int64 // the file's length less 8, by the header
}

// Length is how long the audio plays.
func (w WAV) Length() time.Duration {
	if w.ByteRate == 0 {
		return 0
	}
	return time.Duration(float64(w.DataBytes) / float64(w.ByteRate) * float64(time.Second))
}

// maxChunks bounds the walk through a file made of tiny chunks.
const maxChunks = 64

// ReadWAVHeader reads the header in a file's first block and holds its sizes
// against the file's. Errors wrap ErrNoAudio, ErrUnfinished or io.ErrUnexpectedEOF.
func ReadWAVHeader(head []byte, size int64) (WAV, error) {
	var w WAV
	if len(head) < 12 || string(head[:4]) != "RIFF" || string(head[8:12]) != "WAVE" {
		return w, errors.New("it is no WAV file")
	}
	le := binary.LittleEndian
	w.RIFFBytes = int64(le.Uint32(head[4:]))
	at, format := int64(12), false
	for range maxChunks {
		if at+8 > int64(len(head)) {
			break
		}
		id, length := string(head[at:at+4]), int64(le.Uint32(head[at+4:]))
		at += 8
		switch id {
		case "fmt ":
			if length < 16 || at+16 > int64(len(head)) {
				return w, fmt.Errorf("its format chunk is cut short: %w", io.ErrUnexpectedEOF)
			}
			f := head[at:]
			w.Format, w.Channels = le.Uint16(f), le.Uint16(f[2:])
			w.SampleRate, w.ByteRate, w.BitsPerSample = le.Uint32(f[4:]), le.Uint32(f[8:]), le.Uint16(f[14:])
			format = true
		case "data":
			if !format {
				return w, errors.New("its audio comes before its format")
			}
			w.DataOffset, w.DataBytes = at, length
			return w, w.check(size)
		}
		at += length + length&1
	}
	return w, fmt.Errorf("it has no audio chunk: %w", io.ErrUnexpectedEOF)
}

func (w WAV) check(size int64) error {
	behind := size - w.DataOffset
	switch {
	case behind == 0:
		return fmt.Errorf("%w: it is a header of %d bytes and nothing else, as an unanswered call leaves it", ErrNoAudio, w.DataOffset)
	case w.DataBytes == 0 || w.RIFFBytes == 0:
		return fmt.Errorf("%w: its header says 0 bytes of audio and %d follow; Asterisk is still writing, or died before it could finish", ErrUnfinished, behind)
	case w.DataBytes > behind:
		return fmt.Errorf("%w: its header says %d bytes of audio and only %d are there", ErrUnfinished, w.DataBytes, behind)
	}
	return nil
}
