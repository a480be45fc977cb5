// Package report makes a report of results (package benchmarks/result): the table of
// aims with verdicts, plots, every measurement with its confidence interval, in
// Markdown and HTML. From the same results it takes the figures that README and the
// pages of docs give, and it guards the ratios of the last report against losses.
//
// What is looked for, under which name, is in aims.go and nowhere else.
package report
