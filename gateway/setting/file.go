package setting

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// file is a YAML file seen through a schema.
type file struct {
	schema   *Schema
	path     string
	folder   string
	values   map[string]any
	origins  map[string]string
	problems *Problems
}

// readFile reads all of a file that is right and reports the rest.
func (s *Schema) readFile(path string, problems *Problems) (*file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("find the configuration's folder: %w", err)
	}
	f := &file{schema: s, path: path, folder: folder, values: map[string]any{}, origins: map[string]string{}, problems: problems}
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		problems.add(f.syntax(err))
		return f, nil
	}
	documents := 0
	for _, document := range parsed.Docs {
		if document.Body == nil {
			continue
		}
		if documents++; documents > 1 {
			problems.add(f.at(document.Body) + "a second document begins here: a configuration is one")
			break
		}
		f.section("", document.Body)
	}
	return f, nil
}

// at says where a node stands, with the colon that follows.
func (f *file) at(node ast.Node) string {
	return fmt.Sprintf("%s:%d: ", f.path, node.GetToken().Position.Line)
}

// syntax makes one line of a parser's error.
func (f *file) syntax(err error) string {
	var located yaml.Error
	if errors.As(err, &located) && located.GetToken() != nil {
		return fmt.Sprintf("%s:%d: %s", f.path, located.GetToken().Position.Line, located.GetMessage())
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Sprintf("%s: %s", f.path, first)
}

// section reads what a mapping says of a section.
func (f *file) section(section string, body ast.Node) {
	var members []*ast.MappingValueNode
	switch node := body.(type) {
	case *ast.MappingNode:
		members = node.Values
	case *ast.MappingValueNode:
		members = []*ast.MappingValueNode{node}
	case *ast.NullNode, *ast.CommentGroupNode:
		return
	default:
		name := section
		if name == "" {
			name = "the configuration"
		}
		f.problems.add(f.at(body) + name + " must be a mapping of names to values")
		return
	}
	for _, member := range members {
		key, isText := member.Key.(*ast.StringNode)
		if !isText {
			f.problems.add(fmt.Sprintf("%s%s is no name of an option", f.at(member.Key), member.Key))
			continue
		}
		path := join(section, key.Value)
		if _, isSection := f.schema.sections[path]; isSection {
			f.section(path, member.Value)
			continue
		}
		option, known := f.schema.Option(path)
		if !known {
			f.problems.add(f.at(member.Key) + f.schema.unknown(section, key.Value))
			continue
		}
		f.value(&option, member.Value)
	}
}

// value reads one option's value.
func (f *file) value(option *Option, node ast.Node) {
	if _, isNull := node.(*ast.NullNode); isNull {
		f.problems.add(f.at(node) + option.Name + " has no value: give one or remove the line")
		return
	}
	value, err := option.decode(node)
	if err != nil {
		f.problems.add(f.at(node) + option.Name + ": " + err.Error())
		return
	}
	resolve(value, option.Name, f.folder)
	f.values[option.Name] = value.Interface()
	f.origins[option.Name] = strings.TrimSuffix(f.at(node), ": ")
}

// unknown says that a name means nothing, and which one may have been meant.
func (s *Schema) unknown(section, name string) string {
	var near, all []string
	for _, option := range s.options {
		if parent, own := split(option.Name); parent == section {
			near = append(near, own)
		}
		all = append(all, option.Name)
	}
	for path := range s.sections {
		if parent, own := split(path); path != "" && parent == section {
			near = append(near, own)
		}
	}
	text := fmt.Sprintf("%s is unknown", join(section, name))
	if meant := nearest(name, near); meant != "" {
		return fmt.Sprintf("%s: did you mean %s?", text, join(section, meant))
	}
	if meant := nearest(name, all); meant != "" {
		return fmt.Sprintf("%s: did you mean %s?", text, meant)
	}
	return text + ": --help lists what there is"
}

func split(path string) (section, name string) {
	at := strings.LastIndex(path, ".")
	if at < 0 {
		return "", path
	}
	return path[:at], path[at+1:]
}

// resolve makes relative paths in a value absolute: those of a member of that
// name, and those within lists of structs.
func resolve(value reflect.Value, name, folder string) {
	switch value.Kind() {
	case reflect.String:
		if text := value.String(); isPath(name) && text != "" && !filepath.IsAbs(text) {
			value.SetString(filepath.Join(folder, text))
		}
	case reflect.Slice:
		for i := range value.Len() {
			resolve(value.Index(i), name, folder)
		}
	case reflect.Struct:
		for i := range value.NumField() {
			member, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("yaml"), ",")
			resolve(value.Field(i), member, folder)
		}
	default:
	}
}
