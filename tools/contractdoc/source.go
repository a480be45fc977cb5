package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// source is a package with its comments.
type source struct {
	set *token.FileSet
	doc *doc.Package
}

func readSource(folder string) (*source, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseDir(set, folder, func(file fs.FileInfo) bool { return !strings.HasSuffix(file.Name(), "_test.go") }, parser.ParseComments) //nolint:staticcheck // one package without build constraints
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", folder, err)
	}
	var files []*ast.File
	for _, one := range parsed {
		for _, file := range one.Files {
			files = append(files, file)
		}
	}
	described, err := doc.NewFromFiles(set, files, "github.com/callseal/callseal/"+folder)
	if err != nil {
		return nil, fmt.Errorf("read the comments of %s: %w", folder, err)
	}
	return &source{set: set, doc: described}, nil
}

// method finds a method with its comment.
func (s *source) method(typeName, method string) *doc.Func {
	for _, one := range s.doc.Types {
		if one.Name != typeName {
			continue
		}
		for _, each := range one.Methods {
			if each.Name == method {
				return each
			}
		}
	}
	return nil
}

// markdown renders a comment, its headings below the page's own.
func (s *source) markdown(text string) string {
	printer := s.doc.Printer()
	printer.HeadingLevel = 4
	printer.DocLinkURL = func(*comment.DocLink) string { return "" }
	return strings.TrimSpace(string(printer.Markdown(s.doc.Parser().Parse(text))))
}

// parameters are the names of a function's arguments after the context.
func parameters(function *doc.Func) []string {
	var names []string
	for i, field := range function.Decl.Type.Params.List {
		if i == 0 {
			continue
		}
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// key is one kind of composite key.
type key struct{ Parts, About string }

// keys are the functions named …Key, whose comments give the key's parts between
// angle brackets.
func (s *source) keys() []key {
	var all []key
	add := func(function *doc.Func) {
		if !strings.HasSuffix(function.Name, "Key") {
			return
		}
		text := strings.Join(strings.Fields(function.Doc), " ")
		if open, end := strings.Index(text, "⟨"), strings.Index(text, "⟩"); open > 0 && end > open {
			start := strings.LastIndexByte(strings.TrimRight(text[:open], " "), ' ') + 1
			parts := text[start : end+len("⟩")]
			all = append(all, key{Parts: parts, About: s.markdown(aboutKey(function.Name, parts, text))})
		}
	}
	for _, function := range s.doc.Funcs {
		add(function)
	}
	for _, one := range s.doc.Types {
		for _, function := range one.Funcs {
			add(function)
		}
	}
	slices.SortFunc(all, func(a, b key) int { return strings.Compare(a.Parts, b.Parts) })
	return all
}

// aboutKey is what the comment says beside the function's name and the key itself.
func aboutKey(name, parts, text string) string {
	text = strings.TrimPrefix(text, name+" ")
	text = strings.TrimPrefix(text, "is the key of ")
	for _, given := range []string{": " + parts, "is " + parts} {
		text = strings.Replace(text, given, "", 1)
	}
	return strings.TrimLeft(text, ":,. ")
}

// value is a type that stands on the ledger or in an argument.
type value struct {
	Name, About string
	Members     []member
}

type member struct{ Name, Type, About string }

// values are the structs with JSON members.
func (s *source) values() []value {
	var all []value
	for _, one := range s.doc.Types {
		for _, spec := range one.Decl.Specs {
			structure, ok := spec.(*ast.TypeSpec).Type.(*ast.StructType)
			if !ok || !ast.IsExported(one.Name) {
				continue
			}
			described := value{Name: one.Name, About: s.markdown(one.Doc), Members: s.members(structure)}
			if len(described.Members) > 0 {
				all = append(all, described)
			}
		}
	}
	return all
}

func (s *source) members(structure *ast.StructType) []member {
	var all []member
	for _, field := range structure.Fields.List {
		if field.Tag == nil || len(field.Names) == 0 {
			continue
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			continue
		}
		name, options, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		kind := kindOf(field.Type)
		if strings.Contains(options, "omitzero") {
			kind += ", optional"
		}
		about := strings.Join(strings.Fields(field.Doc.Text()), " ")
		all = append(all, member{Name: name, Type: kind, About: strings.ReplaceAll(about, "|", "\\|")})
	}
	return all
}

// kindOf names a Go type as a JSON writer knows it.
func kindOf(expression ast.Expr) string {
	switch t := expression.(type) {
	case *ast.StarExpr:
		return kindOf(t.X)
	case *ast.ArrayType:
		if element, ok := t.Elt.(*ast.Ident); ok && element.Name == "byte" {
			return "base64"
		}
		return "array of " + kindOf(t.Elt)
	case *ast.Ident:
		switch t.Name {
		case "int", "int32", "int64":
			return "integer"
		case "bool":
			return "true or false"
		case "Time":
			return "time"
		case "string":
			return "string"
		}
		return "`" + t.Name + "`"
	case *ast.SelectorExpr:
		return "`" + t.Sel.Name + "`"
	default:
		return "object"
	}
}
