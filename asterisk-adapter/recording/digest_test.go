package recording

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
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
}

func TestDigestRefuses(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link.wav")
	require.NoError(t, os.Symlink(write(t, "x.wav", wav(100)), link))
	pipe := filepath.Join(dir, "pipe.wav")
	require.NoError(t, unix.Mkfifo(pipe, 0o600))
	zeroed := wav(1000)
	copy(zeroed[4:], make([]byte, 4))
	copy(zeroed[40:], make([]byte, 4))
	for name, c := range map[string]struct {
		path string
		want error
	}{
		"missing":     {filepath.Join(dir, "none.wav"), ErrMissing},
		"empty":       {write(t, "a.wav", nil), ErrEmpty},
		"header only": {write(t, "a.wav", wav(0)), ErrNoAudio},
		"zero sizes":  {write(t, "a.wav", zeroed), ErrUnfinished},
		"cut short":   {write(t, "a.wav", wav(1000)[:500]), ErrUnfinished},
		"link":        {link, ErrNotRegular},
		"pipe":        {pipe, ErrNotRegular},
		"folder":      {dir, ErrNotRegular},
		"device":      {"/dev/null", ErrNotRegular},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Digest(t.Context(), c.path)
			require.ErrorIs(t, err, c.want)
			require.NotContains(t, err.Error(), dir, "a path is nobody's business")
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

// TestDigestMemory: an hour's recording takes no more memory than a second's.
func TestDigestMemory(t *testing.T) {
	path := write(t, "long.wav", nil)
	require.NoError(t, os.Truncate(path, 100<<20)) // sparse
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	header := wav(0)
	binary.LittleEndian.PutUint32(header[4:], 100<<20-8)
	binary.LittleEndian.PutUint32(header[40:], 100<<20-44)
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

func FuzzWAVHeader(f *testing.F) {
	f.Add(wav(100), int64(144))
	f.Add(wav(0), int64(44))
	f.Add([]byte("RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xff"), int64(20))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		w, err := ReadWAVHeader(head, size)
		if err == nil {
			require.LessOrEqual(t, w.DataOffset+w.DataBytes, size)
			require.GreaterOrEqual(t, w.Length(), time.Duration(0))
		}
	})
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
