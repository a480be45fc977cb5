package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// difference says in lines what one JSON value has that another has not, for people
// who are to approve it: each line is one member, by its path.
func difference(before, after any) ([]string, error) {
	old, err := leaves(before)
	if err != nil {
		return nil, err
	}
	changed, err := leaves(after)
	if err != nil {
		return nil, err
	}
	paths := maps.Clone(old)
	maps.Copy(paths, changed)
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		was, had := old[path]
		is, has := changed[path]
		switch {
		case !had:
			lines = append(lines, fmt.Sprintf("%s: %s is new", path, is))
		case !has:
			lines = append(lines, fmt.Sprintf("%s: %s is gone", path, was))
		case was != is:
			lines = append(lines, fmt.Sprintf("%s: %s becomes %s", path, was, is))
		}
	}
	return lines, nil
}

// leaves are a value's members that hold no others, by path. A list of plain values
// is one leaf each, so that what was added shows, not what moved.
func leaves(value any) (map[string]string, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("compare documents: %w", err)
	}
	var decoded any
	reader := json.NewDecoder(bytes.NewReader(encoded))
	// Numbers as they are written: large ones would lose digits.
	reader.UseNumber()
	if err := reader.Decode(&decoded); err != nil {
		return nil, fmt.Errorf("compare documents: %w", err)
	}
	all := map[string]string{}
	collect(all, "", decoded)
	return all, nil
}

func collect(all map[string]string, path string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			collect(all, strings.TrimPrefix(path+"."+name, "."), member)
		}
	case []any:
		for i, member := range value {
			switch member.(type) {
			case map[string]any, []any:
				collect(all, path+"["+strconv.Itoa(i)+"]", member)
			default:
				all[fmt.Sprintf("%s[%v]", path, member)] = fmt.Sprint(member)
			}
		}
	default:
		all[path] = fmt.Sprint(value)
	}
}
