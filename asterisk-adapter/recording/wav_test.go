package recording

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chunk is a chunk of a RIFF file, with the byte that fills up an odd length.
func chunk(id string, body []byte) []byte {
	made := binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body)))
	made = append(made, body...)
	if len(body)%2 == 1 {
		made = append(made, 0)
	}
	return made
}

// riff makes a file of chunks.
func riff(chunks ...[]byte) []byte {
	body := slices.Concat(chunks...)
	made := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(body)))
	return append(append(made, "WAVE"...), body...)
}

var pcm = chunk("fmt ", []byte{1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 16, 0})

func TestReadWAV(t *testing.T) {
	audio := bytes.Repeat([]byte{1, 2}, 800)
	long := riff(pcm, chunk("data", audio))
	binary.LittleEndian.PutUint32(long[40:], 5000)
	short := riff(pcm, chunk("data", audio))
	binary.LittleEndian.PutUint32(short[40:], 800)
	none := riff(pcm, chunk("data", nil), chunk("LIST", []byte("INFO")))
	for name, c := range map[string]struct {
		file   []byte
		offset int64
		bytes  int64
		err    error
	}{
		"plain":                         {riff(pcm, chunk("data", audio)), 44, 1600, nil},
		"chunks before":                 {riff(chunk("JUNK", make([]byte, 28)), chunk("bext", make([]byte, 602)), pcm, chunk("fact", []byte{1, 2, 3, 4}), chunk("LIST", []byte("INFOISFT")), chunk("data", audio)), 44 + 36 + 610 + 12 + 16, 1600, nil},
		"a chunk larger than a block":   {riff(pcm, chunk("JUNK", make([]byte, 2*block)), chunk("data", audio)), 44 + 8 + 2*block, 1600, nil},
		"chunks behind":                 {riff(pcm, chunk("data", audio), chunk("LIST", []byte("INFOISFT"))), 44, 1600, nil},
		"an odd chunk before":           {riff(chunk("bext", []byte{1, 2, 3}), pcm, chunk("data", audio)), 56, 1600, nil},
		"an odd length":                 {riff(pcm, chunk("data", audio[:999])), 44, 999, nil},
		"an odd length that ends there": {riff(pcm, chunk("data", audio[:999]))[:44+999], 44, 999, nil},
		"a length too large":            {long, 44, 5000, ErrCutShort},
		"a length too small":            {short, 44, 800, nil},
		"no audio, and a chunk behind":  {none, 44, 0, ErrNoAudio},
		"a header alone":                {riff(pcm, chunk("data", nil)), 44, 0, ErrNoAudio},
		"no audio chunk":                {riff(pcm, chunk("LIST", nil)), 0, 0, io.ErrUnexpectedEOF},
		"a format cut short":            {riff(chunk("fmt ", []byte{1, 0})), 0, 0, io.ErrUnexpectedEOF},
		"many chunks":                   {riff(pcm, bytes.Repeat(chunk("JUNK", nil), maxChunks), chunk("data", audio)), 0, 0, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := ReadWAV(bytes.NewReader(c.file), int64(len(c.file)))
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.offset, w.DataOffset)
			require.Equal(t, c.bytes, w.DataBytes)
			if c.offset > 0 {
				require.Equal(t, uint16(1), w.Channels)
				require.Equal(t, time.Duration(c.bytes)*time.Second/16000, w.Length())
			}
		})
	}
}

// TestReadRF64 reads headers of files with more than 4 GiB, which 32 bits cannot tell.
func TestReadRF64(t *testing.T) {
	const audio = 6 << 30
	for _, id := range []string{"RF64", "BW64"} {
		sizes := make([]byte, 28)
		ds64 := chunk("ds64", sizes)
		head := riff(ds64, pcm, chunk("data", nil))
		copy(head, id)
		size := int64(len(head)) + audio
		binary.LittleEndian.PutUint32(head[4:], inDS64)
		binary.LittleEndian.PutUint64(head[20:], uint64(size-8))
		binary.LittleEndian.PutUint64(head[28:], audio)
		binary.LittleEndian.PutUint32(head[len(head)-4:], inDS64)
		w, err := ReadWAVHeader(head, size)
		require.NoError(t, err)
		require.Equal(t, int64(audio), w.DataBytes)
		require.Equal(t, size-8, w.RIFFBytes)
		_, err = ReadWAVHeader(head, size-1)
		require.ErrorIs(t, err, ErrCutShort)
		require.Nil(t, w.lengths(size), "Asterisk writes none: there is nothing to repair")

		binary.LittleEndian.PutUint64(head[28:], 1<<63)
		_, err = ReadWAVHeader(head, size)
		require.ErrorContains(t, err, "lengths that no file has")
		_, err = ReadWAVHeader(head[:30], size)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

func FuzzWAVHeader(f *testing.F) {
	f.Add(wav(100), int64(144))
	f.Add(wav(0), int64(44))
	f.Add([]byte("RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xff"), int64(20))
	f.Add(riff(chunk("ds64", make([]byte, 28)), pcm, chunk("data", []byte{1})), int64(90))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		w, err := ReadWAVHeader(head, size)
		if err == nil {
			require.LessOrEqual(t, w.DataOffset+w.DataBytes, size)
			require.GreaterOrEqual(t, w.Length(), time.Duration(0))
		}
	})
}

// BenchmarkReadWAV reads the header of ten minutes as MixMonitor writes it, and of one
// with what broadcasters put before the audio.
func BenchmarkReadWAV(b *testing.B) {
	const audio = 600 * 16_000
	for name, before := range map[string][]byte{
		"plain":     nil,
		"broadcast": slices.Concat(chunk("JUNK", make([]byte, 28)), chunk("bext", make([]byte, 602)), chunk("LIST", make([]byte, 26))),
	} {
		head := riff(before, pcm, chunk("data", nil))
		size := int64(len(head)) + audio
		binary.LittleEndian.PutUint32(head[4:], uint32(size-8))
		binary.LittleEndian.PutUint32(head[len(head)-4:], audio)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w, err := ReadWAVHeader(head, size)
				if err != nil || w.DataBytes != audio {
					b.Fatal(w.DataBytes, err)
				}
			}
		})
	}
}
