package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"

	adapter "github.com/callseal/callseal/asterisk-adapter"
)

const adapterPreface = `# The configuration of an adapter, with every option there is: as an example where that
# is the adapter's own to know, otherwise with the default, which may be left out. What is
# needed in any case is msp, pbx, state_dir, gateway, identity and one source of CDRs.
# ` + "`callseal-asterisk-adapter config --config F`" + ` shows what is in effect, ` + "`doctor`" + ` whether
# it will do.
#
# Durations are written 30s or 2m, sizes 256MiB, paths relative to this file. What is
# marked "reload" takes effect on SIGHUP, and so does what secret files hold by then.
#
# Written by tools/configdoc from the code.
`

// adapterExample is the text of asterisk-adapter/adapter.example.yaml.
func adapterExample(root string) ([]byte, error) {
	words, err := fieldComments(filepath.Join(root, "asterisk-adapter"))
	if err != nil {
		return nil, err
	}
	out := bytes.NewBufferString(adapterPreface)
	if err := writeSection(out, words, reflect.ValueOf(adapter.Defaults()).Elem(), "", ""); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// writeSection writes the members of a section, each below its comment.
func writeSection(out *bytes.Buffer, words map[string]map[string]string, section reflect.Value, indent, within string) error {
	for i := range section.NumField() {
		field := section.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		example := field.Tag.Get("example")
		if name == "" || name == "-" || !field.IsExported() || example == "-" {
			continue
		}
		said := words[section.Type().Name()][field.Name]
		if said == "" {
			return fmt.Errorf("%s%s has no comment: nobody could know what it is for", within, name)
		}
		if rest, begins := strings.CutPrefix(said, field.Name+" "); begins {
			said = name + " " + rest
		}
		if field.Tag.Get("reload") == "true" {
			said += " [reload]"
		}
		if indent == "" {
			out.WriteString("\n")
		}
		for line := range strings.Lines(said) {
			fmt.Fprintf(out, "%s# %s\n", indent, strings.TrimRight(line, "\n"))
		}
		value := reflect.Indirect(section.Field(i))
		if value.Kind() == reflect.Struct && example == "" {
			fmt.Fprintf(out, "%s%s:\n", indent, name)
			if err := writeSection(out, words, value, indent+"  ", within+name+"."); err != nil {
				return err
			}
			continue
		}
		if example == "" {
			text, err := yaml.MarshalWithOptions(section.Field(i).Interface(), yaml.Flow(true))
			if err != nil {
				return fmt.Errorf("write %s%s: %w", within, name, err)
			}
			example = strings.TrimSpace(string(text))
		}
		fmt.Fprintf(out, "%s%s: %s\n", indent, name, example)
	}
	return nil
}
