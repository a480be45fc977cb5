package setting

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decode reads a node as a value of the option's type.
func (o *Option) decode(node ast.Node) (reflect.Value, error) {
	if len(ast.Filter(ast.AnchorType, node)) > 0 || len(ast.Filter(ast.AliasType, node)) > 0 {
		return reflect.Value{}, errors.New("anchors and aliases are not taken here: write the value out")
	}
	if node.Type() == ast.FloatType && o.Kind() == "number" && o.Type.Kind() != reflect.Float64 {
		return reflect.Value{}, o.wrong(fmt.Errorf("%s has a fraction", node))
	}
	value := reflect.New(o.Type)
	if err := yaml.NodeToValue(node, value.Interface(), yaml.Strict()); err != nil {
		return reflect.Value{}, o.wrong(err)
	}
	if o.Type == secretType && value.Elem().String() == redacted {
		return reflect.Value{}, errors.New("this is what a secret is printed as: give the secret itself")
	}
	return value.Elem(), nil
}

// parse reads what the environment or a flag says: lists of texts may be written
// with commas, other lists and maps as YAML.
func (o *Option) parse(text string) (reflect.Value, error) {
	value := reflect.New(o.Type).Elem()
	switch {
	case o.Type == secretType, o.Type.Kind() == reflect.String && !reflect.PointerTo(o.Type).Implements(readsText):
		value.SetString(text)
		return value, nil
	case o.Type == reflect.TypeFor[[]string]() && !strings.HasPrefix(strings.TrimSpace(text), "["):
		list := []string{}
		for one := range strings.SplitSeq(text, ",") {
			if one = strings.TrimSpace(one); one != "" {
				list = append(list, one)
			}
		}
		value.Set(reflect.ValueOf(list))
		return value, nil
	}
	parsed, err := parser.ParseBytes([]byte(text), 0)
	if err != nil || len(parsed.Docs) != 1 || parsed.Docs[0].Body == nil {
		return reflect.Value{}, fmt.Errorf("%q is no %s", text, o.Kind())
	}
	return o.decode(parsed.Docs[0].Body)
}

// wrong says what kind of value was expected.
func (o *Option) wrong(err error) error {
	var located yaml.Error
	reason, _, _ := strings.Cut(err.Error(), "\n")
	if errors.As(err, &located) {
		reason = located.GetMessage()
	}
	how := map[string]string{
		"duration": "a duration such as 30s or 2m", "size": "a size such as 64MiB", "bool": "true or false", "number": "a whole number",
		"text": "a text", "path": "a path", "secret": "a text", "list": "a list", "map": "a mapping",
	}[o.Kind()]
	return fmt.Errorf("this must be %s (%s)", how, reason)
}

// flow writes a list or a map on one line of YAML.
func flow(value any) string {
	text, err := yaml.MarshalWithOptions(value, yaml.Flow(true))
	if err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSpace(string(text))
}
