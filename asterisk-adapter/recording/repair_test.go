package recording

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// crashed is a file as a crash of Asterisk leaves it.
func crashed(audio int) []byte {
	content := wav(audio)
	copy(content[4:], make([]byte, 4))
	copy(content[40:], make([]byte, 4))
	return content
}

// gsm is a .WAV file of Asterisk's with that many blocks, as a crash leaves it.
func gsm(blocks int) []byte {
	content := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x14\x00\x00\x00\x31\x00\x01\x00\x40\x1f\x00\x00\x59\x06\x00\x00\x41\x00\x00\x00\x02\x00\x40\x01fact\x04\x00\x00\x00\x00\x00\x00\x00data\x00\x00\x00\x00")
	for range 65 * blocks {
		content = append(content, 7)
	}
	return content
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

func TestRepair(t *testing.T) {
	wanted := gsm(125)
	binary.LittleEndian.PutUint32(wanted[4:], uint32(len(wanted)-8))
	binary.LittleEndian.PutUint32(wanted[48:], 125*samplesPerGSM)
	binary.LittleEndian.PutUint32(wanted[56:], 125*65)
	odd := slices.Clone(wav(1000)) // half a sample was written
	odd = append(odd, 9)
	binary.LittleEndian.PutUint32(odd[4:], 1037)
	onlyRIFF := crashed(1000)
	binary.LittleEndian.PutUint32(onlyRIFF[40:], 998)
	rightRIFF := slices.Clone(onlyRIFF)
	binary.LittleEndian.PutUint32(rightRIFF[4:], 1036)
	for name, c := range map[string]struct{ found, want []byte }{
		"WAV":                        {crashed(300_000), wav(300_000)},
		"WAV49":                      {gsm(125), wanted},
		"half a sample":              {append(crashed(1000), 9), odd},
		"only the file's length":     {onlyRIFF, rightRIFF},
		"nothing to repair":          {wav(1000), wav(1000)},
		"more audio than it says of": {wav(1000), wav(1000)},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "a.wav", c.found)
			long := time.Now().Add(-time.Hour).Truncate(time.Second)
			require.NoError(t, os.Chtimes(path, long, long))
			var kept *Remains
			require.NoError(t, Repair(t.Context(), path, nil, func(found *Remains) error { kept = found; return nil }))
			now, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, c.want, now)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, long, info.ModTime())
			if slices.Equal(c.found, c.want) {
				require.Nil(t, kept)
				return
			}
			require.Equal(t, sum(c.found), kept.SHA256)
			require.Equal(t, int64(len(c.found)), kept.Bytes)
			d, err := Digest(t.Context(), path, kept.Earlier())
			require.NoError(t, err)
			require.Equal(t, []bool{true}, d.Begins, "the file proves what was found")
			// Once more changes nothing.
			require.NoError(t, Repair(t.Context(), path, kept, func(*Remains) error { return errors.New("nothing is found") }))
		})
	}
}

// TestRepairCutOff cuts a repair off after every byte that it may write.
func TestRepairCutOff(t *testing.T) {
	content, want := gsm(50), []byte(nil)
	header, err := ReadWAVHeader(content, int64(len(content)))
	require.ErrorIs(t, err, ErrUnfinished)
	fields := header.lengths(int64(len(content)))
	known := &Remains{Bytes: int64(len(content)), SHA256: sum(content), Was: zeroed(fields)}
	for done := range len(fields) * 4 {
		path := write(t, "a.WAV", content)
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		require.NoError(t, err)
		for i := range done {
			_, err := file.WriteAt(fields[i/4].Bytes[i%4:i%4+1], fields[i/4].At+int64(i%4))
			require.NoError(t, err)
		}
		require.NoError(t, file.Close())
		kept := known
		require.NoError(t, Repair(t.Context(), path, known, func(found *Remains) error { kept = found; return nil }))
		require.Equal(t, known, kept, "what was found stays what was found")
		now, err := os.ReadFile(path)
		require.NoError(t, err)
		if want == nil {
			want = now
		}
		if header, err := ReadWAVHeader(now, int64(len(now))); done < 8 || header.DataBytes == 50*65 {
			require.NoError(t, err)
		}
		d, err := Digest(t.Context(), path, known.Earlier())
		require.NoError(t, err)
		require.Equal(t, []bool{true}, d.Begins)
	}
}

func TestRepairRefuses(t *testing.T) {
	never := func(*Remains) error { return errors.New("kept") }
	// Somebody writes it, or only reads it.
	for _, flag := range []int{os.O_WRONLY | os.O_APPEND, os.O_RDONLY} {
		path := write(t, "a.wav", crashed(1000))
		file, err := os.OpenFile(path, flag, 0)
		require.NoError(t, err)
		require.ErrorIs(t, Repair(t.Context(), path, nil, never), ErrGrowing)
		require.NoError(t, file.Close())
		now, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, crashed(1000), now)
	}
	// What was found cannot be kept.
	path := write(t, "a.wav", crashed(1000))
	require.ErrorContains(t, Repair(t.Context(), path, nil, never), "kept")
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, crashed(1000), now)
	require.ErrorIs(t, Repair(t.Context(), filepath.Join(t.TempDir(), "none.wav"), nil, never), ErrMissing)
	require.ErrorIs(t, Repair(t.Context(), t.TempDir(), nil, never), ErrNotRegular)
	// Less than a sample.
	require.ErrorIs(t, Repair(t.Context(), write(t, "a.wav", append(crashed(0), 1)), nil, never), ErrNotWritable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, Repair(ctx, path, nil, never), context.Canceled)

	d, err := DigestAsFound(t.Context(), path)
	require.NoError(t, err)
	require.True(t, d.Unfinished)
	require.Equal(t, sum(crashed(1000)), hex.EncodeToString(d.SHA256[:]))
}

// TestAsFound takes a file as it is that lies where nobody may write.
func TestAsFound(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"), "this test needs to mount filesystems: run it as root")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	path := filepath.Join(dir, "a.wav")
	require.NoError(t, os.WriteFile(path, crashed(1000), 0o600))
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	err := Repair(t.Context(), path, nil, func(*Remains) error { return errors.New("kept") })
	require.ErrorIs(t, err, ErrNotWritable)
	require.NotContains(t, err.Error(), "a.wav")
	d, err := DigestAsFound(t.Context(), path)
	require.NoError(t, err)
	require.True(t, d.Unfinished)
	require.True(t, d.Closed, "root may ask whether somebody writes it")
	require.Equal(t, sum(crashed(1000)), hex.EncodeToString(d.SHA256[:]))
}

// FuzzRepair: whatever a file holds, a repair leaves its length and its audio as they
// are, and once more changes nothing.
func FuzzRepair(f *testing.F) {
	f.Add(crashed(100))
	f.Add(gsm(2))
	f.Add(append(crashed(3), 1))
	f.Add(riff(chunk("fact", []byte{0, 0, 0, 0}), pcm, chunk("data", nil), []byte("abcdefgh")))
	f.Add(riff(chunk("ds64", make([]byte, 28)), pcm, chunk("data", nil), []byte{1, 2}))
	path := filepath.Join(f.TempDir(), "a.wav")
	f.Fuzz(func(t *testing.T, content []byte) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		var kept *Remains
		err := Repair(t.Context(), path, nil, func(found *Remains) error { kept = found; return nil })
		now, readErr := os.ReadFile(path)
		require.NoError(t, readErr)
		require.Len(t, now, len(content))
		if err != nil || kept == nil {
			require.Equal(t, content, now)
			return
		}
		require.Equal(t, sum(content), kept.SHA256)
		header, err := ReadWAVHeader(now, int64(len(now)))
		require.NoError(t, err)
		require.Equal(t, content[header.DataOffset:], now[header.DataOffset:])
		laid(now, 0, kept.Was)
		require.Equal(t, content, now, "nothing else was changed")
		require.NoError(t, Repair(t.Context(), path, kept, func(*Remains) error { return errors.New("again") }))
	})
}
