package marker

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		page  string
		names []string
		lines []int
	}{
		"none":                {page: "# Title\n\nText.\n"},
		"one":                 {page: "a\n<!-- figure x/y p50 -->1 ms<!-- /figure --> b\n", names: []string{"x/y p50"}, lines: []int{2}},
		"several on a line":   {page: "<!-- figure a/b -->1<!-- /figure --> and <!--  figure no --><!-- figure c/d -->2<!-- /figure -->\n<!-- figure e/f --><!-- /figure -->", names: []string{"a/b", "c/d", "e/f"}, lines: []int{1, 1, 2}},
		"a table":             {page: "<!-- figure aims -->\n\n| a |\n\n<!-- /figure --> <!-- figure a/b -->x<!-- /figure -->\n<!-- figure c/d -->x<!-- /figure -->\n", names: []string{"aims", "a/b", "c/d"}, lines: []int{1, 5, 6}},
		"code":                {page: "`<!-- figure a/b -->`\n\n```\n<!-- figure a/b -->\n```\n\n~~~~\n<!-- /figure -->\n~~~~\n", names: nil},
		"code before another": {page: "`<!-- figure a/b -->` <!-- figure c/d -->x<!-- /figure -->", names: []string{"c/d"}, lines: []int{1}},
		"space":               {page: "<!-- figure   a/b   p50  -->x<!-- /figure -->", names: []string{"a/b p50"}, lines: []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := Find(test.page)
			require.NoError(t, err)
			var names []string
			var lines []int
			for _, one := range found {
				names, lines = append(names, one.Name), append(lines, one.Line)
			}
			require.Equal(t, test.names, names)
			require.Equal(t, test.lines, lines)
		})
	}
	for page, problem := range map[string]string{
		"\n<!-- figure a/b -->1":                                    "line 2",
		"<!-- figure a/b -->1 <!-- figure c/d -->2<!-- /figure -->": `"a/b" does not end`,
		"<!-- figure a/b\n-->1<!-- /figure -->":                     "not closed on its line",
		"text\n\n1<!-- /figure -->":                                 "line 3",
		"<!-- figure  -->1<!-- /figure -->":                         "names nothing",
		"<!-- figure a/b -->1<!-- /figure --> 2<!-- /figure -->":    "has not begun",
		"`code` <!-- figure a/b -->":                                "does not end",
	} {
		_, err := Find(page)
		require.ErrorIs(t, err, ErrBad, page)
		require.ErrorContains(t, err, problem, page)
	}
}

func FuzzFind(f *testing.F) {
	for _, page := range []string{"", "<!-- figure a/b p50 -->1 ms<!-- /figure -->", "```\n<!-- figure", "`<!-- figure a -->` <!-- figure b -->\n<!-- /figure -->", "<!-- figure -->"} {
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page string) {
		found, err := Find(page)
		if err != nil {
			return
		}
		texts, last := make([]string, len(found)), 0
		for i, one := range found {
			require.GreaterOrEqual(t, one.From, last)
			require.GreaterOrEqual(t, one.To, one.From)
			require.Equal(t, strings.Count(page[:one.From], "\n")+1, one.Line)
			texts[i], last = page[one.From:one.To], one.To
		}
		require.Equal(t, page, Fill(page, found, texts), "its own texts change nothing")
		for i := range texts {
			texts[i] = "1"
		}
		again, err := Find(Fill(page, found, texts))
		require.NoError(t, err)
		require.Len(t, again, len(found), "what is filled in is found again")
	})
}
