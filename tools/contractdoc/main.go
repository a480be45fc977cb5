// Contractdoc writes docs/chaincode.md: every function of every contract with its
// arguments and errors, every type of value, and what was measured. Names and
// kinds come from the contracts' own metadata, words from the comments beside the
// code, figures from docs/measured, so that none of them is written twice.
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/callseal/callseal/tools/measured"
)

//go:embed chaincode.md.tmpl
var page string

func main() {
	root := flag.String("root", ".", "the project's folder")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "contractdoc:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	source, err := readSource(filepath.Join(root, "chaincode", "contract"))
	if err != nil {
		return err
	}
	types, err := readSource(filepath.Join(root, "chaincode", "ledger"))
	if err != nil {
		return err
	}
	contracts, err := describe(source)
	if err != nil {
		return err
	}
	figures, err := measured.Read(filepath.Join(root, "docs", "measured"))
	if err != nil {
		return err
	}
	parsed, err := template.New("").Parse(page)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, map[string]any{"Contracts": contracts, "Keys": types.keys(), "Types": types.values(), "Figures": figures})
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return os.WriteFile(filepath.Join(root, "docs", "chaincode.md"), out.Bytes(), 0o644)
}
