// Package result is what every benchmark of Callseal leaves behind and the report is
// written from: one JSON file a group in a results folder. A file holds what was
// measured, never a sentence about it, so that tables, plots and checks are made from
// the same numbers.
package result
