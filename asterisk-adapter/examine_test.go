package adapter

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/pbx"
	"github.com/callseal/callseal/network/networktest"
)

// testExamined has the doctor look at the real Asterisk, MariaDB and gateway: nothing
// is to be changed; then at one thing after the other that is not as it should be.
func (s *scene) testExamined(t *testing.T) {
	t.Helper()
	whole := func() *Config { return s.config(t, t.TempDir(), "csv", "table", "ami", "ari") }
	found := Examine(t.Context(), whole(), s.asterisk.ConfigDir())
	for _, one := range found {
		require.NotEqual(t, Wrong, one.Verdict, "%+v", one)
		require.Equal(t, one.Verdict == Right, one.Change == "", "%+v", one)
	}
	for _, where := range []string{"cdr.conf:", "cdr_manager.conf:", pbx.Manager + ":", "cdr_adaptive_odbc.conf:", pbx.ARI + ":", "cdr.csv", "recordings.folder", "AMI", "ARI", "table of CDRs", "identity", "gateway"} {
		require.Condition(t, func() bool { return verdictOf(found, Right, where, "") }, "%s: %+v", where, found)
	}

	for _, c := range []struct{ file, old, changed, where, says string }{
		{pbx.CDR, "loguniqueid = yes", "loguniqueid = no", "cdr.conf:", "set loguniqueid = yes in [csv]"},
		{pbx.CDR, "newcdrcolumns = yes", "", "cdr.conf", "set newcdrcolumns = yes in [csv]"},
		{pbx.CDR, "usegmtime = yes", "", "cdr.conf", "cdr.local_times is false"},
		{pbx.CDR, "endbeforehexten = yes", "endbeforehexten = maybe", "cdr.conf:", "set endbeforehexten = yes in [general]"},
		{pbx.CDR, "batch = no", "batch = on", "cdr.conf:", "set batch = no in [general]"},
		{pbx.CDR, "", "", "cdr.conf", "copy it from asterisk-adapter/pbx"},
		{pbx.CDRManager, "enabled = yes", "", "cdr_manager.conf", "there are no Cdr events without it"},
		{pbx.CDRManager, "sequence => Sequence", "", "cdr_manager.conf", "set sequence = Sequence in [mappings]"},
		{pbx.Manager, "cdr,call,agent,user,system", "call,system", pbx.Manager + ":", "add cdr to read"},
		{"manager.conf", "#include " + pbx.Manager, "", "manager.conf", "set ami.user to one that is there"},
		{pbx.ARI, "websocket_write_timeout = 5000", "websocket_write_timeout = 100", pbx.ARI + ":", "events are lost otherwise"},
		{pbx.ARI, "type = user", "", "ari.conf", "set ari.user to one that is there"},
		{"http.conf", "enabled = yes", "enabled = no", "http.conf:", "the REST interface is off"},
		{"cdr_adaptive_odbc.conf", "usegmtime = no", "usegmtime = yes", "cdr_adaptive_odbc.conf:", "cdr.table.utc_times is false"},
		{"cdr_adaptive_odbc.conf", "table = cdr", "table = calls", "cdr_adaptive_odbc.conf", "set cdr.table.name"},
	} {
		folder := filepath.Join(t.TempDir(), "etc")
		require.NoError(t, os.CopyFS(folder, os.DirFS(s.asterisk.ConfigDir())))
		file := filepath.Join(folder, c.file)
		if c.old == "" {
			require.NoError(t, os.Remove(file))
		} else {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Contains(t, string(text), c.old, c.file)
			require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), c.old, c.changed, 1)), 0o600))
		}
		found := Examine(t.Context(), whole(), folder)
		require.Condition(t, func() bool { return verdictOf(found, Wrong, c.where, c.says) }, "%s without %q: %+v", c.file, c.old, found)
	}

	folder := filepath.Join(t.TempDir(), "etc")
	require.NoError(t, os.CopyFS(folder, os.DirFS(s.asterisk.ConfigDir())))
	for file, change := range map[string][2]string{pbx.Manager: {"cdr,call,agent,user,system", "cdr,user"}, "manager.conf": {"timestampevents = yes", ""}} {
		text, err := os.ReadFile(filepath.Join(folder, file))
		require.NoError(t, err)
		require.Contains(t, string(text), change[0])
		require.NoError(t, os.WriteFile(filepath.Join(folder, file), []byte(strings.Replace(string(text), change[0], change[1], 1)), 0o600))
	}
	found = Examine(t.Context(), whole(), folder)
	require.Condition(t, func() bool { return verdictOf(found, Better, pbx.Manager+":", "add call, agent to read") }, "%+v", found)
	require.Condition(t, func() bool { return verdictOf(found, Better, "manager.conf", "set timestampevents = yes") }, "%+v", found)

	for says, change := range map[string]func(*Config){
		"refused the login":      func(c *Config) { c.AMI.Secret = "wrong" },
		"401":                    func(c *Config) { c.ARI.Password = "wrong" },
		"GRANT SELECT ON":        func(c *Config) { c.CDR.Table.Name = "calls" },
		"no such file":           func(c *Config) { c.Recordings.Folder = "/nowhere" },
		"is no folder":           func(c *Config) { c.Recordings.Closed = s.asterisk.CSV() },
		"connection refused":     func(c *Config) { c.Gateway.Address = "127.0.0.1:1" },
		"the configuration says": func(c *Config) { c.PBX = "another" },
	} {
		config := whole()
		change(config)
		found := Examine(t.Context(), config, s.asterisk.ConfigDir())
		require.Condition(t, func() bool {
			for _, one := range found {
				if one.Verdict == Wrong && strings.Contains(one.Found, says) {
					return true
				}
			}
			return false
		}, "%s: %+v", says, found)
	}
	s.requireDoctor(t, whole())
}

func verdictOf(found []Finding, verdict Verdict, where, says string) bool {
	for _, one := range found {
		if one.Verdict == verdict && strings.HasPrefix(one.Where, where) && strings.Contains(one.Change, says) {
			return true
		}
	}
	return false
}

// requireDoctor runs the program: its exit code says whether something must be changed.
func (s *scene) requireDoctor(t *testing.T, config *Config) {
	t.Helper()
	program := filepath.Join(networktest.Build(t, "callseal-asterisk-adapter"), "callseal-asterisk-adapter")
	for _, healthy := range []bool{true, false} {
		if !healthy {
			config.AMI.User = "nobody"
		}
		text, err := yaml.Marshal(config)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "adapter.yaml")
		require.NoError(t, os.WriteFile(file, text, 0o600))
		var out, problems bytes.Buffer
		command := exec.CommandContext(t.Context(), program, "doctor", "--config", file, "--asterisk", s.asterisk.ConfigDir())
		command.Stdout, command.Stderr = &out, &problems
		err = command.Run()
		require.Equal(t, healthy, err == nil, "%v\n%s%s", err, out.String(), problems.String())
		require.Regexp(t, `(?m)^ok +cdr\.conf:3 +\[general\] enable = yes$`, out.String())
		require.Equal(t, healthy, !strings.Contains(out.String(), "→ add it as in asterisk-adapter/pbx/manager_callseal.conf"), out.String())
		require.Equal(t, healthy, problems.Len() == 0, problems.String())
	}
}
