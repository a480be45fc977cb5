package setting_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/setting"
)

type house struct {
	Name    string        `yaml:"name" required:"true"`
	Wait    time.Duration `yaml:"wait"`
	Door    door          `yaml:"door"`
	Guests  []string      `yaml:"guests"`
	Windows []window      `yaml:"windows"`
	Rents   map[string]int64
}

type door struct {
	KeyFile string         `yaml:"key_file"`
	Weight  setting.Bytes  `yaml:"weight"`
	Code    setting.Secret `yaml:"code"`
	Locked  bool           `yaml:"locked" reload:"true"`
	Height  int            `yaml:"height"`
}

type window struct {
	Name      string `yaml:"name"`
	GlassFile string `yaml:"glass_file"`
}

func (d *door) Check() error {
	var problems []error
	if d.Height < 0 {
		problems = append(problems, errors.New("height is below the floor"))
	}
	if d.Weight > setting.GiB {
		problems = append(problems, errors.New("weight is more than a hinge bears"))
	}
	return errors.Join(problems...)
}

// home is the house without what cannot be configured.
type home struct {
	Name    string           `yaml:"name" required:"true"`
	Wait    time.Duration    `yaml:"wait"`
	Door    door             `yaml:"door"`
	Guests  []string         `yaml:"guests"`
	Windows []window         `yaml:"windows"`
	Rents   map[string]int64 `yaml:"rents"`
}

var schema = setting.NewSchema(home{Wait: time.Minute, Door: door{Weight: 64 * setting.MiB, Height: 2}, Guests: []string{"cat"}}, "HOUSE_")

func load(t *testing.T, text string, environ []string, arguments ...string) (home, setting.Origins, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "house.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	flags := pflag.NewFlagSet("house", pflag.ContinueOnError)
	schema.AddFlags(flags, func(setting.Option) string { return "" })
	require.NoError(t, flags.Parse(arguments))
	var got home
	origins, err := schema.Load(&got, setting.Sources{File: path, Environ: environ, Flags: flags})
	return got, origins, path, err
}

func TestLayers(t *testing.T) {
	text := `name: file
door:
  key_file: keys/door.pem
  weight: 1GiB
  code: "1234"
guests: [dog, bird]
windows:
- { name: east, glass_file: glass.pem }
- { name: west, glass_file: /abs/glass.pem }
rents: { May: 3 }
`
	got, origins, path, err := load(t, text, []string{"PATH=/bin", "HOUSE_NAME=environment", "HOUSE_WAIT=30s", "HOUSE_DOOR_LOCKED=true", "HOUSE_GUESTS=fox, hen"},
		"--name", "flag", "--door.height=3", "--windows=[{name: roof}]")
	require.NoError(t, err)
	require.Equal(t, home{
		Name: "flag", Wait: 30 * time.Second, Guests: []string{"fox", "hen"}, Windows: []window{{Name: "roof"}}, Rents: map[string]int64{"May": 3},
		Door: door{KeyFile: filepath.Join(filepath.Dir(path), "keys/door.pem"), Weight: setting.GiB, Code: "1234", Locked: true, Height: 3},
	}, got)
	require.Equal(t, setting.Origins{
		"name": "flag --name", "wait": "environment HOUSE_WAIT", "guests": "environment HOUSE_GUESTS", "windows": "flag --windows", "rents": path + ":10",
		"door.key_file": path + ":3", "door.weight": path + ":4", "door.code": path + ":5", "door.locked": "environment HOUSE_DOOR_LOCKED", "door.height": "flag --door.height",
	}, origins)

	got, origins, path, err = load(t, text, nil)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(filepath.Dir(path), "glass.pem"), got.Windows[0].GlassFile, "relative to the file, in lists too")
	require.Equal(t, "/abs/glass.pem", got.Windows[1].GlassFile)
	require.Equal(t, time.Minute, got.Wait)
	require.Equal(t, setting.DefaultOrigin, origins["wait"])

	here, err := os.Getwd()
	require.NoError(t, err)
	got, _, _, err = load(t, text, nil, "--door.key_file", "x.pem", "--door.locked")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(here, "x.pem"), got.Door.KeyFile, "relative to where it was typed")
	require.True(t, got.Door.Locked)
}

func TestPrintReadsBack(t *testing.T) {
	text := "name: 'a: b # c'\nwait: 1h30m\ndoor: {code: hunter2, weight: 1536KiB, key_file: k.pem}\nwindows: [{name: 'yes', glass_file: g}]\nguests: ['a,b', '1']\nrents: {a: 1}\n"
	want, origins, path, err := load(t, text, nil, "--door.height=5")
	require.NoError(t, err)
	var printed strings.Builder
	require.NoError(t, schema.Print(&printed, want, origins))
	require.NotContains(t, printed.String(), "hunter2")
	require.Contains(t, printed.String(), "# code: <redacted>")
	require.Regexp(t, `weight: 1536KiB +# `+path+`:3\n`, printed.String())
	require.Regexp(t, `height: 5 +# flag --door.height\n`, printed.String())
	require.Regexp(t, `locked: false +# default\n`, printed.String())
	got, _, _, err := load(t, printed.String(), []string{"HOUSE_DOOR_CODE=hunter2"})
	require.NoError(t, err, printed.String())
	require.Equal(t, want, got)
}

func TestEverythingWrongIsToldAtOnce(t *testing.T) {
	_, _, path, err := load(t, `nam: x
wait: soon
door:
  kee_file: x
  weight: heavy
  height: -1
  locked: perhaps
  code: <redacted>
height: 2
guests: 7
windows:
- { name: east, glas_file: x }
`, []string{"HOUSE_DOR_HEIGHT=1", "HOUSE_ZZZZZZZZZZZZZZ=1", "HOUSE_DOOR_WEIGHT=2TiB"}, "--wait=later")
	var problems *setting.Problems
	require.ErrorAs(t, err, &problems)
	for _, says := range []string{
		path + ":1: nam is unknown: did you mean name?",
		path + ":2: wait: this must be a duration such as 30s or 2m",
		path + ":4: door.kee_file is unknown: did you mean door.key_file?",
		path + ":5: door.weight: this must be a size such as 64MiB",
		path + ":6: door.height is below the floor",
		path + ":7: door.locked: this must be true or false",
		path + ":8: door.code: this is what a secret is printed as",
		path + ":9: height is unknown: did you mean door.height?",
		path + ":10: guests: this must be a list",
		path + ":1", // windows: where it is, is up to the parser
		"windows: this must be a list (unknown field \"glas_file\")",
		"environment HOUSE_DOR_HEIGHT is unknown: did you mean HOUSE_DOOR_HEIGHT?",
		"environment HOUSE_ZZZZZZZZZZZZZZ is unknown: --help lists what there is",
		"environment HOUSE_DOOR_WEIGHT: door.weight is more than a hinge bears",
		"flag --wait: wait: this must be a duration",
		path + ": name is missing: give it in the file, as HOUSE_NAME or as --name",
	} {
		require.Contains(t, err.Error(), says)
	}
	require.Len(t, problems.List(), 15, err.Error())
	for _, problem := range problems.List() {
		require.NotContains(t, problem, "\n")
	}
}

func TestBadFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"not YAML":        {"name: [", ":1: "},
		"a list":          {"- name", ":1: the configuration must be a mapping"},
		"a section":       {"name: x\ndoor: shut\n", ":2: door must be a mapping"},
		"twice":           {"name: x\nname: y\n", ":2: "},
		"two documents":   {"name: x\n---\nname: y\n", ":3: a second document begins here"},
		"nothing said":    {"name:\n", "name has no value: give one or remove the line"},
		"no name":         {"name: x\n1: y\n", ":2: 1 is no name of an option"},
		"a tab":           {"door:\n\tkey_file: x\n", ":2: "},
		"number too big":  {"name: x\ndoor: {height: 99999999999999999999}\n", ":2: door.height: this must be a whole number"},
		"a float":         {"name: x\ndoor: {height: 1.5}\n", ":2: door.height: this must be a whole number"},
		"a bare duration": {"name: x\nwait: 1.5x\n", ":2: wait: this must be a duration"},
		"anchors":         {"name: &a x\nguests: [*a]\n", ":2: guests: anchors and aliases are not taken here"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, path, err := load(t, c.text, nil)
			var problems *setting.Problems
			require.ErrorAs(t, err, &problems)
			require.Contains(t, err.Error(), c.says)
			require.Contains(t, err.Error(), path)
		})
	}
	_, err := schema.Load(&home{}, setting.Sources{File: filepath.Join(t.TempDir(), "none.yaml")})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = schema.Load(&door{}, setting.Sources{})
	require.ErrorContains(t, err, "is needed")
}

func TestStructsThatCannotBeConfigured(t *testing.T) {
	require.PanicsWithValue(t, "setting_test.house.Rents has no yaml name", func() { setting.NewSchema(house{}, "X_") })
	require.PanicsWithValue(t, "X_A_B stands for two options", func() {
		setting.NewSchema(struct {
			AB string `yaml:"a_b"`
			A  struct {
				B string `yaml:"b"`
			} `yaml:"a"`
		}{}, "X_")
	})
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"", "name: x", "door: {height: 1", "a: &a [*a]", "windows: [{name: 1}]", "? {a: b}\n: c", "<<: {name: x}\n", "name: !!binary x", "- - -", "wait: 5\ndoor:\n weight: 1\n"} {
		f.Add(seed)
	}
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(folder, "house.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		var got home
		origins, err := schema.Load(&got, setting.Sources{File: path})
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		var printed strings.Builder
		require.NoError(t, schema.Print(&printed, got, origins))
		require.NoError(t, os.WriteFile(path, []byte(printed.String()), 0o600))
		var again home
		_, err = schema.Load(&again, setting.Sources{File: path, Environ: []string{"HOUSE_DOOR_CODE=" + got.Door.Code.Reveal()}})
		require.NoError(t, err, printed.String())
	})
}
