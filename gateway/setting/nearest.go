package setting

import (
	"strings"
)

// nearest is the known name that somebody may have meant; empty where none is
// near.
func nearest(wrong string, known []string) string {
	best, least := "", len(wrong)/3+2
	for _, name := range known {
		// A name in another section is as good as right.
		if last := name[strings.LastIndex(name, ".")+1:]; last == wrong {
			return name
		}
		if d := distance(strings.ToLower(wrong), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is Levenshtein's, between two short texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
