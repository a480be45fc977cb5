package setting

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// Print writes a configuration as YAML that reads back as the same, each value
// with a comment that says where it came from. Secrets are left out, and said to
// be.
func (s *Schema) Print(to io.Writer, config any, origins Origins) error {
	return s.write(to, reflect.Indirect(reflect.ValueOf(config)), func(option *Option, line string) string {
		return fmt.Sprintf("%-58s # %s", line, origins[option.Name])
	}, nil)
}

// Write writes a configuration as YAML, with text above options and sections.
func (s *Schema) Write(to io.Writer, config any, above func(name string) string) error {
	return s.write(to, reflect.Indirect(reflect.ValueOf(config)), func(_ *Option, line string) string { return line }, above)
}

func (s *Schema) write(to io.Writer, config reflect.Value, lineOf func(*Option, string) string, above func(string) string) error {
	var text strings.Builder
	var open []string // the sections that are open
	for i := range s.options {
		option := &s.options[i]
		parts := strings.Split(option.Name, ".")
		sections := parts[:len(parts)-1]
		same := 0
		for same < min(len(open), len(sections)) && open[same] == sections[same] {
			same++
		}
		for depth := same; depth < len(sections); depth++ {
			indent := strings.Repeat("  ", depth)
			if above != nil {
				comment(&text, indent, above(strings.Join(sections[:depth+1], ".")), depth == 0)
			}
			fmt.Fprintf(&text, "%s%s:\n", indent, sections[depth])
		}
		open = sections
		indent := strings.Repeat("  ", len(sections))
		if above != nil {
			comment(&text, indent, above(option.Name), false)
		}
		value := config.FieldByIndex(option.index).Interface()
		line, err := option.line(value)
		if err != nil {
			return err
		}
		fmt.Fprintln(&text, strings.TrimRight(lineOf(option, indent+line), " "))
	}
	if _, err := io.WriteString(to, text.String()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// line is "name: value" on one line.
func (o *Option) line(value any) (string, error) {
	_, name := split(o.Name)
	if secret, is := value.(Secret); is && secret != "" {
		return "# " + name + ": " + secret.String(), nil
	}
	if text, is := value.(fmt.Stringer); is {
		value = text.String()
	}
	if empty := reflect.ValueOf(value); (empty.Kind() == reflect.Slice || empty.Kind() == reflect.Map) && empty.Len() == 0 {
		return name + ": " + map[reflect.Kind]string{reflect.Slice: "[]", reflect.Map: "{}"}[empty.Kind()], nil
	}
	text, err := yaml.MarshalWithOptions(value, yaml.Flow(true))
	if err != nil {
		return "", fmt.Errorf("write %s: %w", o.Name, err)
	}
	return name + ": " + strings.TrimSpace(string(text)), nil
}

func comment(to *strings.Builder, indent, text string, apart bool) {
	if apart {
		fmt.Fprintln(to)
	}
	for line := range strings.Lines(text) {
		fmt.Fprintln(to, strings.TrimRight(indent+"# "+strings.TrimRight(line, "\n"), " "))
	}
}
