package privacy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/util"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/privacy"
)

const number = "351912345678"

var needle = privacy.Text(map[string]string{"the caller": number})

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

func walked(t *testing.T, folder string, needles []privacy.Needle) *privacy.Report {
	t.Helper()
	report, err := privacy.Walk(t.Context(), []string{folder}, needles)
	require.NoError(t, err)
	require.Empty(t, report.Unread)
	return report
}

// raw says whether the needle stands in the folder's files as they are.
func raw(t *testing.T, folder string) bool {
	t.Helper()
	found := false
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var content []byte
			content, err = os.ReadFile(path)
			found = found || bytes.Contains(content, []byte(number))
		}
		return err
	}))
	return found
}

// TestEveryFormIsFound: a walk that cannot find is worth nothing.
func TestEveryFormIsFound(t *testing.T) {
	var wide []byte
	for _, unit := range utf16.Encode([]rune(number)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	forms := map[string]string{
		"plain": number, "hexadecimal": hex.EncodeToString([]byte(number)),
		"upper-case hexadecimal": strings.ToUpper(hex.EncodeToString([]byte("Z" + number))), "UTF-16 (little end first)": string(wide),
	}
	for name, text := range forms {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "file"), []byte("before"+text+"after"))
		report := walked(t, folder, needle)
		require.Len(t, report.Findings, 1, name)
		if name != "upper-case hexadecimal" { // digits look alike in either case
			require.Equal(t, name, report.Findings[0].Form)
		}
		require.Equal(t, "the caller", report.Findings[0].Needle)
		require.NotContains(t, report.Findings[0].String(), number, "a report repeats nothing")
	}
	upper := t.TempDir()
	write(t, filepath.Join(upper, "file"), []byte(strings.ToUpper(hex.EncodeToString([]byte("Beatriz")))))
	require.Equal(t, "upper-case hexadecimal", walked(t, upper, privacy.Text(map[string]string{"a name": "Beatriz"})).Findings[0].Form)
}

func TestBase64IsFoundAtEveryAlignment(t *testing.T) {
	for _, value := range []string{number, "Beatriz", "\xfb\xff\xbf\xfe\xef\xff\xfa\x7e\x3f", "twelve bytes"} {
		for before := range 7 {
			for after := range 4 {
				for name, encoding := range map[string]*base64.Encoding{"std": base64.StdEncoding, "raw": base64.RawStdEncoding, "url": base64.URLEncoding, "rawurl": base64.RawURLEncoding} {
					folder := t.TempDir()
					text := encoding.EncodeToString([]byte(strings.Repeat("\xa7", before) + value + strings.Repeat("\x5c", after)))
					write(t, filepath.Join(folder, "file"), []byte(`{"field":"`+text+`"}`))
					report := walked(t, folder, []privacy.Needle{{Name: "it", Value: []byte(value)}})
					require.NotEmpty(t, report.Findings, "%q after %d and before %d bytes in %s", value, before, after, name)
					require.Contains(t, report.Findings[0].Form, "base64")
				}
			}
		}
	}
}

func TestWhereAFileIsReadInPieces(t *testing.T) {
	for _, at := range []int{0, 1<<20 - 6, 1 << 20, 1<<20 + 70, 2<<20 - 3, 3<<20 + 17} {
		folder := t.TempDir()
		content := bytes.Repeat([]byte("."), 4<<20)
		copy(content[at:], number)
		write(t, filepath.Join(folder, "file"), content)
		report := walked(t, folder, needle)
		require.NotEmpty(t, report.Findings, at)
		for _, finding := range report.Findings {
			require.Equal(t, fmt.Sprintf("byte %d", at), finding.Place)
		}
		require.EqualValues(t, 4<<20, report.Bytes)
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "end"), []byte("..."+number))
	require.Len(t, walked(t, folder, needle).Findings, 1)
	write(t, filepath.Join(folder, "end"), []byte(number[:11]))
	require.Empty(t, walked(t, folder, needle).Findings)
}

func TestInALevelDBTable(t *testing.T) {
	folder := t.TempDir()
	db, err := leveldb.OpenFile(folder, nil)
	require.NoError(t, err)
	// So repetitive that Snappy copies the number's digits together.
	for i := range 500 {
		require.NoError(t, db.Put(fmt.Appendf(nil, "key %05d", i), fmt.Appendf(nil, "35191234567 12345678 35191234 value 3519123456"), nil))
	}
	require.NoError(t, db.Put([]byte("key 00250 x"), []byte("35191234567 "+number+" 3519123456"), nil))
	require.NoError(t, db.CompactRange(util.Range{}))
	require.NoError(t, db.Close())
	require.False(t, raw(t, folder), "compressed: a search of the bytes as they are misses it")
	report := walked(t, folder, needle)
	require.NotEmpty(t, report.Findings)
	require.Contains(t, report.Findings[0].Place, "of the table")
	require.Contains(t, report.Findings[0].Path, ".ldb")
	require.Greater(t, report.Entries, int64(500))
}

func TestInALevelDBKeyThatSharesItsBeginning(t *testing.T) {
	folder := t.TempDir()
	db, err := leveldb.OpenFile(folder, nil)
	require.NoError(t, err)
	for i := range 10 {
		require.NoError(t, db.Put(fmt.Appendf(nil, "%s%d", number[:11], i), []byte{byte(i)}, nil))
	}
	require.NoError(t, db.CompactRange(util.Range{}))
	require.NoError(t, db.Close())
	for _, log := range []string{"LOG", "LOG.old"} {
		_ = os.Remove(filepath.Join(folder, log)) // LevelDB's own log prints keys
	}
	report := walked(t, folder, needle)
	require.Contains(t, fmt.Sprint(report.Findings), "of the table")
}

func TestWhatIsDeletedFromALevelDBIsFound(t *testing.T) {
	folder := t.TempDir()
	db, err := leveldb.OpenFile(folder, nil)
	require.NoError(t, err)
	require.NoError(t, db.Put([]byte("erased"), []byte(number), nil))
	require.NoError(t, db.CompactRange(util.Range{}))
	require.NoError(t, db.Delete([]byte("erased"), nil))
	require.NoError(t, db.Close())
	require.NotEmpty(t, walked(t, folder, needle).Findings)
}

// A record is split where a block of 32 KiB ends, with a header between.
func TestInALevelDBLogAcrossBlocks(t *testing.T) {
	found := false
	for shift := range 60 {
		one := t.TempDir()
		db, err := leveldb.OpenFile(one, nil)
		require.NoError(t, err)
		value := bytes.Repeat([]byte("."), 40<<10)
		copy(value[32<<10-60+shift:], number)
		require.NoError(t, db.Put([]byte("key"), value, nil))
		require.NoError(t, db.Close())
		require.NotEmpty(t, walked(t, one, needle).Findings, shift)
		found = found || !raw(t, one)
	}
	require.True(t, found, "at one of them a search of the bytes as they are misses it")
}

// A gateway's journal packs what it holds, in logs and in tables.
func TestInAPebbleDatabaseThatPacks(t *testing.T) {
	for name, flush := range map[string]bool{"in its log": false, "in a table": true} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "db")
			db, err := pebble.Open(folder, &pebble.Options{Logger: quiet{}})
			require.NoError(t, err)
			packed := s2.Encode(nil, []byte(strings.Repeat("3519", 40)+number+strings.Repeat("3519", 40)))
			for n := range 50 {
				require.NoError(t, db.Set(fmt.Appendf(nil, "entry-%d", n), packed, pebble.Sync))
			}
			if flush {
				require.NoError(t, db.Flush())
			}
			require.NoError(t, db.Close())
			require.False(t, raw(t, folder), "it must be found where a plain search misses it")
			found := walked(t, folder, needle).Of("the caller")
			require.NotEmpty(t, found)
			require.Contains(t, found[0].Place, "packed")
		})
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func TestInABboltFile(t *testing.T) {
	folder := t.TempDir()
	db, err := bbolt.Open(filepath.Join(folder, "keyring.db"), 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("bucket"))
		if err == nil {
			err = bucket.Put([]byte("key"), append(bytes.Repeat([]byte("."), 9000), number...))
		}
		return err
	}))
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("bucket")).Delete([]byte("key")) }))
	require.NoError(t, db.Close())
	require.NotEmpty(t, walked(t, folder, needle).Findings, "deleted, and in a freed page")
}

func TestInABlockFile(t *testing.T) {
	folder := t.TempDir()
	envelope, err := proto.Marshal(&common.Envelope{Payload: fmt.Appendf(nil, `{"note":"%s"}`, base64.StdEncoding.EncodeToString([]byte("to "+number)))})
	require.NoError(t, err)
	block, err := proto.Marshal(&common.Block{Data: &common.BlockData{Data: [][]byte{envelope}}})
	require.NoError(t, err)
	write(t, filepath.Join(folder, "chains", "calls", "blockfile_000000"), block)
	require.Len(t, walked(t, folder, needle).Findings, 1)
}

func TestInCompressedFilesAndNames(t *testing.T) {
	folder := t.TempDir()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = fmt.Fprint(zip, strings.Repeat("3519123456 12345678 ", 50)+number)
	require.NoError(t, zip.Close())
	write(t, filepath.Join(folder, "package.tar.gz"), packed.Bytes())
	require.False(t, raw(t, folder))
	require.Len(t, walked(t, folder, needle).Findings, 1)

	folder = t.TempDir()
	write(t, filepath.Join(folder, "calls", number+".wav"), []byte("audio"))
	report := walked(t, folder, needle)
	require.Len(t, report.Findings, 1)
	require.Equal(t, "its name", report.Findings[0].Place)
}

func TestAWalkSaysWhatItCouldNotRead(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "CURRENT"), []byte("MANIFEST-000001\n"))
	write(t, filepath.Join(folder, "000003.ldb"), []byte("this is no table"))
	write(t, filepath.Join(folder, "cut.gz"), []byte{0x1f, 0x8b, 8, 0})
	report, err := privacy.Walk(t.Context(), []string{folder}, needle)
	require.NoError(t, err)
	require.Len(t, report.Unread, 2)

	_, err = privacy.Walk(t.Context(), []string{filepath.Join(folder, "nothing")}, needle)
	require.ErrorIs(t, err, os.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = privacy.Walk(ctx, []string{folder}, needle)
	require.ErrorIs(t, err, context.Canceled)
	_, err = privacy.Walk(t.Context(), []string{folder}, []privacy.Needle{{Name: "short", Value: []byte("12345")}})
	require.ErrorContains(t, err, "short has 5 bytes")
}

func TestOneFileIsNotReportedEndlessly(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "file"), bytes.Repeat([]byte(number), 1000))
	require.Len(t, walked(t, folder, needle).Of("the caller"), 3)
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte("prefix"), []byte("Beatriz Almeida"), []byte("suffix"))
	f.Add([]byte{0xff}, []byte{0, 1, 2, 3, 4, 5}, []byte{})
	f.Fuzz(func(t *testing.T, before, value, after []byte) {
		if len(value) < 6 || len(value) > 1000 || len(before)+len(after) > 10_000 {
			return
		}
		folder := t.TempDir()
		whole := bytes.Join([][]byte{before, value, after}, nil)
		for name, content := range map[string][]byte{
			"plain": whole, "base64": []byte(base64.StdEncoding.EncodeToString(whole)), "hex": []byte(hex.EncodeToString(whole)),
		} {
			write(t, filepath.Join(folder, name, "file"), content)
			report, err := privacy.Walk(t.Context(), []string{filepath.Join(folder, name)}, []privacy.Needle{{Name: "it", Value: value}})
			require.NoError(t, err)
			require.NotEmpty(t, report.Findings, name)
		}
	})
}
