package setting

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Sources are the layers above the defaults, each optional.
type Sources struct {
	// File is a YAML file.
	File string
	// Environ is "NAME=value" as of os.Environ.
	Environ []string
	// Flags are those that [Schema.AddFlags] added; only what was set counts.
	Flags *pflag.FlagSet
}

// Origins say where each option's value came from: "default", "gateway.yaml:12",
// "environment CALLSEAL_GATEWAY_…" or "flag --…".
type Origins map[string]string

// DefaultOrigin is the origin of what nobody said.
const DefaultOrigin = "default"

// Problems is all that is wrong with a configuration, a sentence each.
type Problems struct{ list []string } //nolint:errname // it is a list

// Error has one problem a line.
func (p *Problems) Error() string { return strings.Join(p.list, "\n") }

// List is the problems, one by one.
func (p *Problems) List() []string { return slices.Clone(p.list) }

func (p *Problems) add(text string) { p.list = append(p.list, text) }

// Load reads all layers into target, a pointer to a struct of the schema's type,
// and says where each value came from. What is wrong comes as one *Problems.
func (s *Schema) Load(target any, sources Sources) (Origins, error) {
	into := reflect.ValueOf(target)
	if into.Kind() != reflect.Pointer || into.Elem().Type() != s.typ {
		return nil, fmt.Errorf("load into %T: a *%s is needed", target, s.typ)
	}
	into = into.Elem()
	problems, origins := &Problems{}, Origins{}
	layered := koanf.New(".")
	load := func(from koanf.Provider) error {
		if err := layered.Load(from, nil); err != nil {
			return fmt.Errorf("merge the configuration's layers: %w", err)
		}
		return nil
	}
	if err := load(s.defaults(origins)); err != nil {
		return nil, err
	}
	if sources.File != "" {
		read, err := s.readFile(sources.File, problems)
		if err != nil {
			return nil, err
		}
		for name, origin := range read.origins {
			origins[name] = origin
		}
		if err := load(layer(read.values)); err != nil {
			return nil, err
		}
	}
	if err := load(s.environment(sources.Environ, origins, problems)); err != nil {
		return nil, err
	}
	if sources.Flags != nil {
		if err := load(s.flags(sources.Flags, origins, problems)); err != nil {
			return nil, err
		}
	}
	for i := range s.options {
		option := &s.options[i]
		value := reflect.ValueOf(layered.Get(option.Name))
		if !value.IsValid() || value.Type() != option.Type {
			value = reflect.Zero(option.Type) // a nil list is no value to koanf
		}
		into.FieldByIndex(option.index).Set(value)
		if option.Required && value.IsZero() {
			problems.add(fmt.Sprintf("%s%s is missing: give it in the file, as %s or as --%s", fileSays(sources.File), option.Name, option.Variable, option.Name))
		}
	}
	s.check(into, origins, problems)
	if len(problems.list) > 0 {
		return nil, problems
	}
	return origins, nil
}

func fileSays(file string) string {
	if file == "" {
		return ""
	}
	return file + ": "
}

// layer is a layer of values by option name.
type layer map[string]any

// Read implements koanf.Provider.
func (l layer) Read() (map[string]any, error) { return maps.Unflatten(l, "."), nil }

// ReadBytes implements koanf.Provider.
func (l layer) ReadBytes() ([]byte, error) {
	return nil, errors.New("the layer is not text")
}

func (s *Schema) defaults(origins Origins) layer {
	values := layer{}
	for i := range s.options {
		values[s.options[i].Name] = s.options[i].Default
		origins[s.options[i].Name] = DefaultOrigin
	}
	return values
}

// environment takes the variables that begin with the prefix. One that stands for
// nothing is a problem: it was meant to have an effect.
func (s *Schema) environment(environ []string, origins Origins, problems *Problems) koanf.Provider {
	return env.Provider(".", env.Opt{
		Prefix:      s.prefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(variable, text string) (string, any) {
			at, known := s.byEnv[variable]
			if !known {
				problems.add(s.unknownVariable(variable))
				return "", nil
			}
			return s.set(&s.options[at], text, "environment "+variable, origins, problems)
		},
	})
}

func (s *Schema) unknownVariable(variable string) string {
	var known []string
	for name := range s.byEnv {
		known = append(known, name)
	}
	slices.Sort(known)
	if meant := nearest(variable, known); meant != "" {
		return fmt.Sprintf("environment %s is unknown: did you mean %s?", variable, meant)
	}
	return fmt.Sprintf("environment %s is unknown: --help lists what there is", variable)
}

func (s *Schema) flags(set *pflag.FlagSet, origins Origins, problems *Problems) koanf.Provider {
	return posflag.ProviderWithFlag(set, ".", nil, func(flag *pflag.Flag) (string, any) {
		at, known := s.byName[flag.Name]
		if !known || !flag.Changed {
			return "", nil
		}
		return s.set(&s.options[at], flag.Value.String(), "flag --"+flag.Name, origins, problems)
	})
}

// set reads what a variable or a flag says.
func (s *Schema) set(option *Option, text, origin string, origins Origins, problems *Problems) (string, any) {
	value, err := option.parse(text)
	if err != nil {
		problems.add(fmt.Sprintf("%s: %s: %v", origin, option.Name, err))
		return "", nil
	}
	if folder, err := os.Getwd(); err == nil {
		resolve(value, option.Name, folder)
	}
	origins[option.Name] = origin
	return option.Name, value.Interface()
}

// Checker is a section that can say what is wrong with it, in sentences that
// begin with the member's name.
type Checker interface{ Check() error }

// check asks every section.
func (s *Schema) check(into reflect.Value, origins Origins, problems *Problems) {
	for _, section := range s.order {
		at := into
		for name := range strings.SplitSeq(section, ".") {
			if name != "" {
				at = memberNamed(at, name)
			}
		}
		checker, checks := at.Addr().Interface().(Checker)
		if !checks {
			continue
		}
		for _, err := range joined(checker.Check()) {
			text := err.Error()
			if section != "" {
				text = section + "." + text
			}
			// With its place, where it begins with an option's name.
			name, _, _ := strings.Cut(text, " ")
			if origin, known := origins[strings.TrimSuffix(name, ":")]; known && origin != DefaultOrigin {
				text = origin + ": " + text
			}
			problems.add(text)
		}
	}
}

// joined takes errors.Join apart.
func joined(err error) []error {
	if err == nil {
		return nil
	}
	if several, is := err.(interface{ Unwrap() []error }); is {
		var all []error
		for _, one := range several.Unwrap() {
			all = append(all, joined(one)...)
		}
		return all
	}
	return []error{err}
}

func memberNamed(of reflect.Value, name string) reflect.Value {
	for i := range of.NumField() {
		if tag, _, _ := strings.Cut(of.Type().Field(i).Tag.Get("yaml"), ","); tag == name {
			return of.Field(i)
		}
	}
	panic("no member " + name)
}
