package consent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// TestMarks takes what the dialplan leaves.
func TestMarks(t *testing.T) {
	book := newBook(t)
	var stated []Statement
	known := map[string][2]string{}
	marks := &Marks{
		Folder: t.TempDir(), Evidence: t.TempDir(), PBX: "pbx1", Book: book, Log: quiet, reported: map[string]bool{},
		Parties: func(uniqueID string) (string, string, bool) {
			parties, found := known[uniqueID]
			return parties[0], parties[1], found
		},
		Stated: func(_ context.Context, statement *Statement) { stated = append(stated, *statement) },
	}
	leave := func(name, text string) string {
		path := filepath.Join(marks.Folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	look := func() { require.NoError(t, marks.look(t.Context())) }
	granted := said("1.1", "1001", ledger.ConsentGranted, 0)
	granted.GivenAt = ledger.TimeOf(time.Now().Add(time.Hour)) // by a clock that was set since
	require.NoError(t, book.Conclude(&Call{UniqueID: "1.1", LinkedID: "1.1", Caller: ref("1001"), Called: ref("1002"), Jurisdiction: "PT"}, granted))

	path := leave("1.1-caller", "revoked,caller,1.1,1.1\n")
	look()
	require.NoFileExists(t, path)
	require.Len(t, stated, 1)
	one := stated[0]
	require.Equal(t, []string{ledger.ConsentRevoked, ledger.MethodDTMF, ref("1001"), "1.1", "PT"}, []string{one.Status, one.Method, one.Party, one.LinkedID, one.Jurisdiction})
	require.Equal(t, granted.GivenAt, one.GivenAt, "not before what it takes back")
	evidence, err := filepath.Glob(filepath.Join(marks.Evidence, "*.json"))
	require.NoError(t, err)
	require.Len(t, evidence, 1)
	text, err := os.ReadFile(evidence[0])
	require.NoError(t, err)
	require.Equal(t, one.Evidence, ledger.Digest(text))

	leave("1.1-caller", "revoked,caller,1.1,1.1\n") // killed before it was removed
	look()
	require.Len(t, stated, 1)

	path = leave("1.1-called", "revoked,called,1.1,1.1\n")
	info, err := os.Stat(path)
	require.NoError(t, err)
	look()
	require.Len(t, stated, 2)
	require.Equal(t, ref("1002"), stated[1].Party)
	require.Equal(t, ledger.TimeOf(info.ModTime()), stated[1].GivenAt)

	// A channel that was not asked is known by its leg, once there is one.
	path = leave("1.2-caller", "revoked,caller,1.2,1.0\n")
	look()
	require.FileExists(t, path)
	require.Len(t, stated, 2)
	known["1.2"] = [2]string{ref("1001"), ref("1002")}
	look()
	require.NoFileExists(t, path)
	require.Equal(t, []string{"1.0", ref("1001")}, []string{stated[2].LinkedID, stated[2].Party})
	// Of nobody nothing can be stated.
	known["1.3"] = [2]string{}
	path = leave("1.3-caller", "revoked,caller,1.3,1.3\n")
	look()
	require.NoFileExists(t, path)
	require.Len(t, stated, 3)

	// What is no mark, or not whole yet, is left alone.
	for name, text := range map[string]string{"half": "revoked,caller,1.1", "empty": "", "other": "granted,caller,1.1,1.1\n", "long": strings.Repeat("x", maxMark+1) + "\n"} {
		path := leave(name, text)
		look()
		require.FileExists(t, path)
	}
	require.NoError(t, os.Mkdir(filepath.Join(marks.Folder, "folder"), 0o700))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(marks.Folder, "link")))
	look()
	require.Len(t, stated, 3)
	require.NoError(t, os.RemoveAll(marks.Folder))
	require.Error(t, marks.look(t.Context()))
}

func FuzzParseMark(f *testing.F) {
	for _, text := range []string{"revoked,caller,1.1,1.1\n", "revoked,called,pbx-1796.1,1.1\n", "revoked,caller,,\n", "\n", "revoked,caller,1.1,1.1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mark, err := ParseMark(text)
		if err != nil {
			require.ErrorIs(t, err, ErrMark)
			require.Equal(t, Mark{}, mark)
			return
		}
		who := "called"
		if mark.Caller {
			who = "caller"
		}
		require.Equal(t, text, "revoked,"+who+","+mark.UniqueID+","+mark.LinkedID+"\n")
		require.NoError(t, ledger.CheckName("uniqueid", mark.UniqueID))
	})
}
