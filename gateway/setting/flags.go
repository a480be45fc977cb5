package setting

import (
	"reflect"

	"github.com/spf13/pflag"
)

// AddFlags adds a flag for each option. usage says what it is for.
func (s *Schema) AddFlags(to *pflag.FlagSet, usage func(Option) string) {
	for i := range s.options {
		option := &s.options[i]
		text := ""
		if !option.Required {
			text = option.String(option.Default)
		}
		flag := to.VarPF(&flagValue{option: option, text: text}, option.Name, "", usage(*option))
		if option.Type.Kind() == reflect.Bool { // --metrics.pprof alone means true
			flag.NoOptDefVal = "true"
		}
	}
}

// flagValue keeps a flag's text; it is read with the other layers, so that all
// problems come at once.
type flagValue struct {
	option *Option
	text   string
}

// String is the text given.
func (v *flagValue) String() string { return v.text }

// Set takes the text.
func (v *flagValue) Set(text string) error {
	v.text = text
	return nil
}

// Type is the kind in a word, for help.
func (v *flagValue) Type() string {
	if v.option == nil {
		return ""
	}
	return v.option.Kind()
}
