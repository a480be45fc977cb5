package conf

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// folder writes files and answers where.
func folder(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range files {
		require.NoError(tb, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(tb, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func TestRead(t *testing.T) {
	dir := folder(t, map[string]string{
		"cdr.conf": `; before
[general] ; the first
Enable=yes
batch = no ; not yes
secret = a\;b
;-- a block
[ignored]
enable = no
--; after = block
#include cdr_general_custom.conf
#include "missing.conf"
#tryinclude <missing.conf>
#include nothing.d/*.conf
#include parts.d/*.conf
#exec /bin/true
;---- a line, no block ----
[csv]
usegmtime=>yes
usegmtime = no
[base](!)
read = cdr
[user](base)
secret = x
[user](+)
write = all
`,
		"cdr_general_custom.conf": "endbeforehexten = yes\n#include cdr.deeper\n",
		"cdr.deeper":              "deep = 1",
		"parts.d/1.conf":          "one = 1\n",
		"parts.d/2.conf":          "[two]\nx = y\nno setting\n[open\n",
	})
	c, err := Read(dir, "cdr.conf")
	require.NoError(t, err)
	require.Equal(t, []string{"general", "two", "csv", "user"}, c.Sections())
	for _, want := range []struct{ section, key, value, place string }{
		{"general", "enable", "yes", "cdr.conf:3"}, {"general", "batch", "no", "cdr.conf:4"}, {"general", "secret", "a;b", "cdr.conf:5"}, {"general", "after", "block", "cdr.conf:9"},
		{"general", "endbeforehexten", "yes", "cdr_general_custom.conf:1"}, {"general", "deep", "1", "cdr.deeper:1"}, {"general", "one", "1", "parts.d/1.conf:1"},
		{"two", "x", "y", "parts.d/2.conf:2"}, {"csv", "usegmtime", "no", "cdr.conf:19"}, {"user", "read", "cdr", "cdr.conf:21"}, {"user", "write", "all", "cdr.conf:25"},
	} {
		line, found := c.Get(want.section, want.key)
		require.True(t, found, want.key)
		require.Equal(t, want.value, line.Value)
		require.Equal(t, want.place, line.Place())
	}
	require.Len(t, c.All("csv", "USEGMTIME"), 2)
	require.False(t, c.Has("base"), "a template is no section")
	_, found := c.Get("general", "none")
	require.False(t, found)
	var unread []string
	for _, line := range c.Unread {
		unread = append(unread, line.Place()+" "+line.Key)
	}
	require.Equal(t, []string{"cdr.conf:11 include", "parts.d/2.conf:3 setting", "parts.d/2.conf:4 section", "cdr.conf:15 exec"}, unread)
}

func TestReadRefuses(t *testing.T) {
	dir := folder(t, map[string]string{"loop.conf": "#include loop.conf\n"})
	_, err := Read(dir, "loop.conf")
	require.ErrorIs(t, err, ErrTooMuch)
	_, err = Read(dir, "none.conf")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Read(dir, ".")
	require.ErrorIs(t, err, ErrTooMuch)
}

func FuzzRead(f *testing.F) {
	f.Add("[general]\na = b ; c\n;-- x\n--; d => e\n#exec x\n[t](!)\n[u](t,+)\n")
	f.Fuzz(func(t *testing.T, text string) {
		dir := folder(t, map[string]string{"fuzz.conf": text})
		c, err := Read(dir, "fuzz.conf")
		if err != nil {
			require.ErrorIs(t, err, ErrTooMuch)
			return
		}
		for _, section := range c.Sections() {
			require.True(t, c.Has(section))
			for _, line := range c.sections[section] {
				_, found := c.Get(section, line.Key)
				require.True(t, found)
			}
		}
	})
}
