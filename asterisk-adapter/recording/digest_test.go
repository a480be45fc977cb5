package recording

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// wav is a 16-bit mono 8 kHz WAV like Asterisk's.
func wav(audio int) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00")
	binary.LittleEndian.PutUint32(b[4:], uint32(36+audio))
	binary.LittleEndian.PutUint32(b[40:], uint32(audio))
	return append(b, bytes.Repeat([]byte{1, 2}, audio/2)...)
}

func write(tb testing.TB, name string, content []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	require.NoError(tb, os.WriteFile(path, content, 0o644))
	return path
}

func TestDigest(t *testing.T) {
	content := wav(1 << 20)
	path := write(t, "1795244650.0.wav", content)
	d, err := Digest(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, sha256.Sum256(content), d.SHA256)
	require.Equal(t, sha512.Sum512(content), d.SHA512)
	require.Equal(t, int64(len(content)), d.Bytes)
	require.Equal(t, "audio/wav", d.MediaType)
	require.Equal(t, 65536*time.Millisecond, d.Audio)
	exact := write(t, "exact.gsm", make([]byte, block)) // ends with a full block
	d, err = Digest(t.Context(), exact)
	require.NoError(t, err)
	require.Equal(t, sha256.Sum256(make([]byte, block)), d.SHA256)
	require.Equal(t, "audio/gsm", d.MediaType)
	d, err = Digest(t.Context(), write(t, "x-stereo.raw", []byte("audio/")))
	require.NoError(t, err)
	require.Equal(t, "audio/x-s16le;rate=8000", d.MediaType)
	require.Equal(t, "audio/x-s16le;rate=8000;channels=2", WithChannels(d.MediaType, 2))
	require.Equal(t, "audio/wav", WithChannels("audio/wav", 2))
	require.True(t, IsAudio("a.WAV") && IsAudio("a.sln16") && !IsAudio("a.txt"))
}

var errAny = errors.New("any error")

func TestDigestRefuses(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.wav")
	require.NoError(t, os.Symlink(write(t, "x.wav", wav(100)), link))
	pipe := filepath.Join(dir, "pipe.wav")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	zeroed := wav(1000)
	copy(zeroed[4:], make([]byte, 4))
	copy(zeroed[40:], make([]byte, 4))
	// Asterisk died between the two lengths: RIFF's is written first.
	riffOnly := slices.Clone(zeroed)
	binary.LittleEndian.PutUint32(riffOnly[4:], 1036)
	for name, c := range map[string]struct {
		path string
		want error
	}{
		"missing":       {filepath.Join(dir, "none.wav"), ErrMissing},
		"empty":         {write(t, "a.wav", nil), ErrEmpty},
		"header only":   {write(t, "a.wav", wav(0)), ErrNoAudio},
		"zero sizes":    {write(t, "a.wav", zeroed), ErrUnfinished},
		"cut short":     {write(t, "a.wav", wav(1000)[:500]), ErrCutShort},
		"half a length": {write(t, "a.wav", riffOnly), ErrUnfinished},
		"no format":     {write(t, "a.wav", []byte("RIFF\x10\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd")), errAny},
		"no WAVE":       {write(t, "a.wav", []byte("RIFF\x10\x00\x00\x00AVI data\x04\x00\x00\x00abcd")), errNoWAV},
		"a short head":  {write(t, "a.wav", []byte("RIFF")), errNoWAV},
		"link":          {link, ErrNotRegular},
		"pipe":          {pipe, ErrNotRegular},
		"folder":        {dir, ErrNotRegular},
		"device":        {"/dev/null", ErrNotRegular},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Digest(t.Context(), c.path)
			if require.Error(t, err); c.want != errAny { //nolint:errorlint // it is no error
				require.ErrorIs(t, err, c.want)
			}
			require.NotContains(t, err.Error(), dir, "a path is nobody's business")
			require.NotContains(t, err.Error(), filepath.Base(c.path), "nor is a name")
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Digest(ctx, write(t, "a.wav", wav(100)))
	require.ErrorIs(t, err, context.Canceled)
}

func TestDigestRefusesWhatIsBeingWritten(t *testing.T) {
	path := write(t, "a.wav", wav(100))
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = Digest(t.Context(), path)
	require.ErrorIs(t, err, ErrGrowing)
	require.NoError(t, writer.Close())
	_, err = Digest(t.Context(), path)
	require.NoError(t, err)
}

// meanwhile is a context that has something happen while a file is read: Digest asks
// it before each block.
type meanwhile struct {
	context.Context
	happens func()
}

func (m *meanwhile) Err() error {
	if happens := m.happens; happens != nil {
		m.happens = nil
		happens()
	}
	return m.Context.Err()
}

// TestDigestWhile: what happens to a file while it is read is noticed.
func TestDigestWhile(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(path string) error
		want    error
	}{
		"replaced":  {func(path string) error { return os.Rename(write(t, "b.wav", wav(1<<20)), path) }, ErrReplaced},
		"truncated": {func(path string) error { return os.Truncate(path, 1000) }, ErrGrowing},
		"removed":   {os.Remove, ErrMissing},
		"moved":     {func(path string) error { return os.Rename(path, path+".old") }, nil},
		"written to": {func(path string) error {
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				t.Cleanup(func() { _ = file.Close() })
			}
			return err
		}, ErrGrowing},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "a.wav", wav(1<<20))
			_, err := Digest(&meanwhile{t.Context(), func() { require.NoError(t, c.happens(path)) }}, path)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
			require.NotContains(t, err.Error(), "a.wav")
		})
	}
}

// TestDigestBegins: a file that was appended to is told from one that was changed.
func TestDigestBegins(t *testing.T) {
	hashed := func(content []byte) Earlier {
		sum := sha256.Sum256(content)
		return Earlier{Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
	}
	before, after := wav(1000), wav(600_000) // more than a block
	open := slices.Clone(before)             // as a crash left it
	copy(open[4:], make([]byte, 4))
	copy(open[40:], make([]byte, 4))
	changed := slices.Clone(after)
	changed[100] ^= 1
	raw := bytes.Repeat([]byte{3, 4}, 300_000)
	for name, c := range map[string]struct {
		file    string
		content []byte
		earlier Earlier
		want    bool
	}{
		"appended":             {"a.wav", after, hashed(before), true},
		"the same":             {"a.wav", before, hashed(before), true},
		"appended to the open": {"a.wav", after, hashed(open), true},
		"changed":              {"a.wav", changed, hashed(before), false},
		"shortened":            {"a.wav", before, hashed(after), false},
		"another header":       {"a.wav", after, hashed(append([]byte{0}, before...)), false},
		"headerless":           {"a.raw", raw, hashed(raw[:500_000]), true},
		"headerless, changed":  {"a.raw", raw, hashed(append([]byte{9}, raw[1:500_000]...)), false},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Digest(t.Context(), write(t, c.file, c.content), hashed([]byte("another")), c.earlier)
			require.NoError(t, err)
			require.Equal(t, []bool{false, c.want}, d.Begins)
		})
	}
}

// TestDigestMemory: an hour's recording takes no more memory than a second's.
func TestDigestMemory(t *testing.T) {
	path := write(t, "long.wav", nil)
	require.NoError(t, os.Truncate(path, 128<<20)) // sparse
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	header := wav(0)
	binary.LittleEndian.PutUint32(header[4:], 128<<20-8)
	binary.LittleEndian.PutUint32(header[40:], 128<<20-44)
	_, err = file.Write(header)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = Digest(t.Context(), path)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4*block))
}

func BenchmarkDigest(b *testing.B) {
	path := write(b, "a.wav", wav(32<<20))
	b.SetBytes(32 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Digest(b.Context(), path); err != nil {
			b.Fatal(err)
		}
	}
}
