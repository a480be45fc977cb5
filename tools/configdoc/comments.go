package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/callseal/callseal/gateway/setting"
)

const module = "github.com/callseal/callseal"

// comments reads, from the sources in the module's folder, what is written above
// the members of the schema's structs. Options and sections without a comment are
// an error: nobody could know what they are for.
func comments(schema *setting.Schema, root string) (map[string]string, error) {
	words := map[string]string{}
	sources := map[string]map[string]map[string]string{} // package, type, field
	var missing []string
	take := func(path string, within reflect.Type, field string) error {
		if _, read := sources[within.PkgPath()]; !read {
			found, err := fieldComments(filepath.Join(root, strings.TrimPrefix(within.PkgPath(), module)))
			if err != nil {
				return err
			}
			sources[within.PkgPath()] = found
		}
		text := sources[within.PkgPath()][within.Name()][field]
		if text == "" {
			missing = append(missing, path)
			return nil
		}
		// As Go has it, a comment begins with the member's own name.
		if rest, begins := strings.CutPrefix(text, field+" "); begins {
			text = path[strings.LastIndex(path, ".")+1:] + " " + rest
		}
		words[path] = text
		return nil
	}
	for _, section := range schema.Sections() {
		if err := take(section.Name, section.Within, section.Field); err != nil {
			return nil, err
		}
	}
	for _, option := range schema.Options() {
		if err := take(option.Name, option.Within, option.Field); err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("these have no comment: %s", strings.Join(missing, ", "))
	}
	return words, nil
}

// fieldComments reads the comments above the fields of a package's structs.
func fieldComments(folder string) (map[string]map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	found := map[string]map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			spec, isType := node.(*ast.TypeSpec)
			if !isType {
				return true
			}
			body, isStruct := spec.Type.(*ast.StructType)
			if !isStruct {
				return true
			}
			fields := map[string]string{}
			for _, field := range body.Fields.List {
				for _, name := range field.Names {
					fields[name.Name] = strings.TrimSpace(field.Doc.Text())
				}
			}
			found[spec.Name.Name] = fields
			return true
		})
	}
	return found, nil
}
