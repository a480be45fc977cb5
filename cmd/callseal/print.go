package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// newTable is a table without lines, for people and for awk.
func newTable(out io.Writer) table.Writer {
	rows := table.NewWriter()
	rows.SetOutputMirror(out)
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatUpper
	rows.SetStyle(style)
	return rows
}

// printJSON prints the fields of one or more messages as one JSON object.
func printJSON(out io.Writer, messages ...proto.Message) error {
	merged := map[string]json.RawMessage{}
	for _, message := range messages {
		encoded, err := protojson.Marshal(message)
		if err != nil {
			return fmt.Errorf("print JSON: %w", err)
		}
		if err := json.Unmarshal(encoded, &merged); err != nil {
			return fmt.Errorf("print JSON: %w", err)
		}
	}
	return printValue(out, merged)
}

// printValue prints any value as indented JSON.
func printValue(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}
