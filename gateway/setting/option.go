// Package setting reads a gateway's configuration: from structs, in layers, and
// strictly. Defaults come first, then a YAML file, then the environment, then
// flags; whatever is wrong is told at once, with where it stands and, for a name
// that is not known, the nearest that is.
//
// An option is a member of the struct or of a struct in it. Its name is the path
// of their yaml tags, "server.listen"; its variable in the environment is that in
// capitals, CALLSEAL_GATEWAY_SERVER_LISTEN, and its flag --server.listen. Tags say
// more of it:
//
//	required:"true"   it has to be given
//	reload:"true"     a change takes effect without a restart
//	example:"…"       what the example file says
//
// Members whose names end in _file, _files or _dir are paths: in the file they are
// relative to its folder, elsewhere to the working directory.
package setting

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Option is one thing that can be set.
type Option struct {
	// Name is the path of yaml tags: "server.listen".
	Name string
	// Variable is its name in the environment.
	Variable string
	// Type is the Go type of its value.
	Type reflect.Type
	// Default is its value where nothing is said.
	Default any
	// Required says that it must be given.
	Required bool
	// Reload says that a change takes effect without a restart.
	Reload bool
	// Example is what the example file says; empty for the default.
	Example string
	// Field is the struct's member, for its comment, and Within the struct.
	Field  string
	Within reflect.Type

	index []int
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
	readsText    = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Schema is all that can be set in one program.
type Schema struct {
	options  []Option
	byName   map[string]int
	byEnv    map[string]int
	sections map[string]reflect.Type
	order    []string // sections, outermost first
	prefix   string
	typ      reflect.Type
}

// NewSchema reads the options off a struct that holds the defaults. The prefix
// begins the variables of the environment: "CALLSEAL_GATEWAY_". A struct that
// cannot be configured is a mistake in the program, and panics.
func NewSchema(defaults any, prefix string) *Schema {
	value := reflect.ValueOf(defaults)
	s := &Schema{byName: map[string]int{}, byEnv: map[string]int{}, sections: map[string]reflect.Type{}, prefix: prefix, typ: value.Type()}
	s.add(value, "", nil)
	return s
}

// Options are all options, in the structs' order.
func (s *Schema) Options() []Option { return s.options }

// Option finds one by its name.
func (s *Schema) Option(name string) (Option, bool) {
	at, found := s.byName[name]
	if !found {
		return Option{}, false
	}
	return s.options[at], true
}

// Section is a struct within the configuration.
type Section struct {
	// Name is the path of yaml tags: "server".
	Name string
	// Field is the member's name in the struct it is Within.
	Field  string
	Within reflect.Type
}

// Sections are all structs within, outermost first.
func (s *Schema) Sections() []Section {
	var all []Section
	for _, path := range s.order {
		parent, name := split(path)
		within := s.sections[parent]
		for i := range within.NumField() {
			if tag, _, _ := strings.Cut(within.Field(i).Tag.Get("yaml"), ","); path != "" && tag == name {
				all = append(all, Section{Name: path, Field: within.Field(i).Name, Within: within})
			}
		}
	}
	return all
}

func (s *Schema) add(value reflect.Value, section string, index []int) {
	s.sections[section] = value.Type()
	s.order = append(s.order, section)
	for i := range value.NumField() {
		field := value.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		if name == "" || !field.IsExported() {
			panic(fmt.Sprintf("%s.%s has no yaml name", value.Type(), field.Name))
		}
		path, at := join(section, name), append(append([]int{}, index...), i)
		if field.Type.Kind() == reflect.Struct && !reflect.PointerTo(field.Type).Implements(readsText) {
			s.add(value.Field(i), path, at)
			continue
		}
		option := Option{
			Name: path, Variable: s.prefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_")), Type: field.Type, Default: value.Field(i).Interface(),
			Required: field.Tag.Get("required") == "true", Reload: field.Tag.Get("reload") == "true", Example: field.Tag.Get("example"),
			Field: field.Name, Within: value.Type(), index: at,
		}
		if _, taken := s.byEnv[option.Variable]; taken {
			panic(fmt.Sprintf("%s stands for two options", option.Variable))
		}
		s.byName[path], s.byEnv[option.Variable] = len(s.options), len(s.options)
		s.options = append(s.options, option)
	}
}

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

// Kind is the option's kind in a word, for help: "duration", "size", "path".
func (o *Option) Kind() string {
	switch {
	case o.Type == durationType:
		return "duration"
	case o.Type == secretType:
		return "secret"
	case o.Type == reflect.TypeFor[Bytes]():
		return "size"
	case isPath(o.Name) && o.Type.Kind() == reflect.String:
		return "path"
	}
	switch o.Type.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "map"
	default:
		return "number"
	}
}

// String is a value of the option as its flag and its variable take it.
func (o *Option) String(value any) string {
	if list, is := value.([]string); is {
		return strings.Join(list, ",")
	}
	if text, is := value.(fmt.Stringer); is {
		return text.String()
	}
	if reflect.ValueOf(value).Kind() == reflect.Slice || reflect.ValueOf(value).Kind() == reflect.Map {
		return flow(value)
	}
	return fmt.Sprint(value)
}

// In is the option's value in a configuration, a pointer to a struct of the
// schema's type.
func (o *Option) In(config any) any {
	return reflect.ValueOf(config).Elem().FieldByIndex(o.index).Interface()
}

// Copy gives an option of one configuration the value it has in another.
func (s *Schema) Copy(to, from any, name string) {
	index := s.options[s.byName[name]].index
	reflect.ValueOf(to).Elem().FieldByIndex(index).Set(reflect.ValueOf(from).Elem().FieldByIndex(index))
}

// isPath says whether members of that name are paths.
func isPath(name string) bool {
	return strings.HasSuffix(name, "_file") || strings.HasSuffix(name, "_files") || strings.HasSuffix(name, "_dir")
}
