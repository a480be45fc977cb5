package adapter

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// examined looks at a folder of Asterisk's with all sources configured.
func examined(t *testing.T, folder string, look func(*examination)) []Finding {
	t.Helper()
	config := Defaults()
	config.StateDir, config.CDR.CSV, config.Recordings.Folder, config.Recordings.Closed = t.TempDir(), "/csv", t.TempDir(), t.TempDir()
	e := &examination{config: config, folder: folder, freePBX: isFreePBX(folder)}
	look(e)
	return e.findings
}

func TestExamineModules(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		wrong   []string
		nothing bool
	}{
		"all":           {text: "[modules]\nautoload = yes\n", nothing: true},
		"one left out":  {text: "[modules]\nautoload=yes\nnoload => cdr_csv.so\n", wrong: []string{"modules.conf:3 remove the line: without the module there is no file of CDRs"}},
		"none":          {text: "[modules]\nautoload=no\nload => cdr_csv.so\nload = res_odbc\n", wrong: []string{"modules.conf add load => cdr_manager.so: without the module there are no Cdr events"}},
		"nothing said":  {text: "", wrong: []string{"modules.conf add load => app_mixmonitor.so: without the module nothing is recorded"}},
		"transactions":  {text: "[modules]\nautoload=yes\nnoload = res_odbc_transaction.so\n", wrong: []string{"modules.conf:3 remove the line: without the module res_odbc does not load"}},
		"preloaded":     {text: "[modules]\nautoload=yes\npreload => res_odbc.so\nrequire => cdr_manager.so\n", nothing: true},
		"not there yet": {text: "-", wrong: []string{"modules.conf Asterisk loads nothing without it"}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if c.text != "-" {
				require.NoError(t, os.WriteFile(filepath.Join(folder, "modules.conf"), []byte(c.text), 0o600))
			}
			found := map[string]bool{}
			for _, one := range examined(t, folder, (*examination).modulesConf) {
				if one.Verdict == Wrong {
					found[one.Where+" "+one.Change] = true
				}
			}
			require.Equal(t, c.nothing, len(found) == 0, "%v", found)
			for _, says := range c.wrong {
				require.True(t, found[says], "%q is not in %v", says, found)
			}
		})
	}
}

// TestExamineFreePBX examines FreePBX's own files before anything was added: each line
// goes where FreePBX leaves it.
func TestExamineFreePBX(t *testing.T) {
	found := examined(t, "testdata/freepbx", func(e *examination) { e.cdrConf(); e.managerConf(); e.ariConf() })
	require.True(t, isFreePBX("testdata/freepbx"))
	require.False(t, isFreePBX(t.TempDir()))
	for _, says := range []string{
		"set endbeforehexten = yes in cdr_general_custom.conf, since FreePBX writes cdr.conf itself",
		"set loguniqueid = yes in [csv] of cdr_non_general_custom.conf, since FreePBX writes cdr.conf itself",
		"set enabled = yes in cdr_manager_general_custom.conf, since FreePBX writes cdr_manager.conf itself",
		"set linkedid = LinkedID in cdr_manager_mapping_custom.conf, since FreePBX writes cdr_manager.conf itself",
	} {
		require.Condition(t, func() bool { return verdictOf(found, Wrong, "", says) }, "%s: %+v", says, found)
	}
}

func TestExamineTheMachine(t *testing.T) {
	found := examined(t, t.TempDir(), func(e *examination) { e.disks(); e.watches(); e.clock() })
	require.Condition(t, func() bool { return verdictOf(found, Right, "state_dir", "") }, "%+v", found)
	require.Condition(t, func() bool { return verdictOf(found, Right, "timezone", "") }, "%+v", found)
	for _, one := range found {
		require.NotEqual(t, Wrong, one.Verdict, "%+v", one)
	}
	found = examined(t, t.TempDir(), func(e *examination) {
		e.config.diskFree, e.config.Timezone = 1<<60, "Pacific/Kiritimati"
		e.disks()
		e.clock()
	})
	require.Condition(t, func() bool { return verdictOf(found, Wrong, "state_dir", "make space") }, "%+v", found)
	require.Condition(t, func() bool { return verdictOf(found, Better, "timezone", "leave timezone out") }, "%+v", found)
}

// TestExamineAsTheUser has root look with the eyes of the adapter's user; whoever else
// looks, looks with its own.
func TestExamineAsTheUser(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "recordings")
	require.NoError(t, os.Mkdir(folder, 0o700))
	e := &examination{config: &Config{User: "nobody"}}
	if os.Geteuid() == 0 {
		require.ErrorContains(t, e.may(folder, "rx"), "the user nobody may not")
		require.NoError(t, e.may("/", "rx"))
	}
	e.config.User = ""
	require.NoError(t, e.may(folder, "rwx"))
	require.Error(t, e.may(filepath.Join(folder, "none"), "r"))
}
