// Configdoc writes gateway/gateway.example.yaml and asterisk-adapter/adapter.example.yaml:
// every option with its default or an example, and the words beside the code, so that
// none of them is written twice. The gateway's --help takes its words from there.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/setting"
)

const preface = `# The configuration of a gateway, with every option there is. Those that an operator
# has to give are marked "required" and hold an example; the rest hold their
# defaults and may be left out. ` + "`callseal-gateway --config F --print-config`" + ` shows
# what is in effect and where each value came from.
#
# Each option may also be given in the environment, as CALLSEAL_GATEWAY_ and its path
# in capitals (CALLSEAL_GATEWAY_SERVER_LISTEN), or as a flag (--server.listen); flags
# win over the environment, and the environment over the file.
# Durations are written 30s or 2m, sizes 64MiB, paths relative to this file. What is
# marked "reload" takes effect on SIGHUP, and when this file changes.
#
# Written by tools/configdoc from the code.

`

func main() {
	root := flag.String("root", ".", "the project's folder")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "configdoc:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	text, err := example(root)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "gateway", "gateway.example.yaml"), text, 0o644); err != nil {
		return fmt.Errorf("write the example: %w", err)
	}
	if text, err = adapterExample(root); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "asterisk-adapter", "adapter.example.yaml"), text, 0o644); err != nil {
		return fmt.Errorf("write the example: %w", err)
	}
	return nil
}

// example is the file's text.
func example(root string) ([]byte, error) {
	schema := gateway.Options
	words, err := comments(schema, root)
	if err != nil {
		return nil, err
	}
	// The environment's layer reads an example as people would write it.
	sources := setting.Sources{}
	marks := map[string]string{}
	for _, option := range schema.Options() {
		var said []string
		switch {
		case option.Required:
			said = append(said, "required")
		default:
			said = append(said, option.Kind())
		}
		if option.Reload {
			said = append(said, "reload")
		}
		// Of key_file and pkcs11 one must be given: the example shows the file.
		if option.Example != "" && (option.Required || option.Name == "fabric.key_file") {
			sources.Environ = append(sources.Environ, option.Variable+"="+option.Example)
		} else if option.Example != "" {
			said = append(said, "such as "+option.Example)
		}
		marks[option.Name] = " [" + strings.Join(said, ", ") + "]"
	}
	config := gateway.DefaultConfig()
	folder, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	if _, err := schema.Load(&config, sources); err != nil {
		return nil, fmt.Errorf("the examples in the tags: %w", err)
	}
	var out bytes.Buffer
	out.WriteString(preface)
	err = schema.Write(&out, config, func(name string) string { return words[name] + marks[name] })
	if err != nil {
		return nil, fmt.Errorf("write the example: %w", err)
	}
	// Paths are relative to the file: the examples' too.
	return bytes.ReplaceAll(out.Bytes(), []byte(folder+string(filepath.Separator)), nil), nil
}
