package gateway

import (
	_ "embed"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/callseal/callseal/gateway/setting"
)

//go:generate go run ../tools/configdoc -root ..

// Example is the documented configuration, written by tools/configdoc.
//
//go:embed gateway.example.yaml
var Example []byte

// Usage answers what each option is for, in the words of the example.
func Usage() (func(setting.Option) string, error) {
	comments := yaml.CommentMap{}
	var ignored any
	if err := yaml.UnmarshalWithOptions(Example, &ignored, yaml.CommentToMap(comments)); err != nil {
		return nil, err
	}
	return func(option setting.Option) string {
		var words []string
		for _, comment := range comments["$."+option.Name] {
			if comment.Position != yaml.CommentHeadPosition {
				continue
			}
			for _, line := range comment.Texts {
				words = append(words, strings.TrimSpace(line))
			}
		}
		text := strings.Join(words, " ")
		// The file's preface stands above the first.
		if _, after, found := strings.Cut(text, "from the code. "); found {
			text = after
		}
		if at := strings.LastIndex(text, " ["); at >= 0 {
			text = text[:at]
		}
		if option.Required {
			text += " (required)"
		}
		if option.Reload {
			text += " (reload)"
		}
		// Backquotes mean the value's name to pflag.
		return strings.ReplaceAll(text, "`", "'")
	}, nil
}
