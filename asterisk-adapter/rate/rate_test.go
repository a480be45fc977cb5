package rate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const header = "prefix,name,currency,setup_micros,per_minute_micros,first_seconds,next_seconds\n"

const sample = header + `351,PT,EUR,0,20000,1,1
+35191,PT-mobile,EUR,50000,120000,30,6
3519166,PT-test,EUR,0,0,0,1
44,UK,GBP,10000,60000,60,60
`

func TestPrices(t *testing.T) {
	t.Parallel()
	table, err := Parse(strings.NewReader(sample))
	require.NoError(t, err)
	for _, test := range []struct {
		number  string
		seconds int64
		name    string
		want    int64
	}{
		{"+351210000001", 60, "PT", 20000},
		{"+351210000001", 1, "PT", 334}, // 333⅓, rounded up
		{"+351210000001", 0, "PT", 334}, // the first second is charged in any case
		{"+351910000001", 1, "PT-mobile", 50000 + 60000},
		{"+351910000001", 30, "PT-mobile", 50000 + 60000},
		{"+351910000001", 31, "PT-mobile", 50000 + 72000},
		{"+351910000001", 36, "PT-mobile", 50000 + 72000},
		{"+351916600001", 3600, "PT-test", 0},
		{"+442000000001", 61, "UK", 10000 + 120000},
		{"+442000000001", -5, "UK", 10000 + 60000},
	} {
		found, is := table.Of(test.number)
		require.True(t, is, test.number)
		require.Equal(t, test.name, found.Name)
		require.Equal(t, test.want, found.Price(test.seconds), "%s, %d s", test.number, test.seconds)
	}
	for _, number := range []string{"+34910000001", "351210000001", "600", "", "+0351210000001", "anonymous", "+35121"} {
		_, is := table.Of(number)
		require.False(t, is, "no rate is guessed for %q", number)
	}
	var none *Table
	_, is := none.Of("+351210000001")
	require.False(t, is)
	whole, err := Parse(strings.NewReader(header + ",rest,EUR,0,1000000000000,0,1\n"))
	require.NoError(t, err)
	rest, is := whole.Of("+351210000001")
	require.True(t, is, "the empty prefix is every number's")
	require.Equal(t, int64(maxPrice), rest.Price(1<<60))
	require.Equal(t, int64(1_000_000_000_000), rest.Price(60))
}

func TestBadTables(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, says string }{
		{"", "line 1: the header must be prefix,name"},
		{"prefix,name\n", "line 1: the header must be"},
		{header, "there is no rate in it"},
		{header + "351,PT,EUR,0,1,1\n", "line 2"},
		{header + "351,PT,EUR,0,1,1,1\n+351,PT,EUR,0,1,1,1\n", `line 3: prefix "351" is there twice`},
		{header + "3x,PT,EUR,0,1,1,1\n", "line 2: prefix"},
		{header + "3511234567890123,PT,EUR,0,1,1,1\n", "line 2: prefix"},
		{header + "351,P T,EUR,0,1,1,1\n", "the name must have"},
		{header + "351,,EUR,0,1,1,1\n", "the name must have"},
		{header + "351,PT,eur,0,1,1,1\n", "ISO 4217"},
		{header + "351,PT,EUR,0.5,1,1,1\n", "setup_micros"},
		{header + "351,PT,EUR,-1,1,1,1\n", "setup_micros"},
		{header + "351,PT,EUR,0,9999999999999999999,1,1\n", "per_minute_micros"},
		{header + "351,PT,EUR,0,1,1,0\n", "next_seconds"},
		{header + "351,PT,EUR,0,1,1,x\n44,UK,GBP,1,1,x,1\n", "line 3: first_seconds"},
		{header + "351,\"PT,EUR,0,1,1,1\n", "line 2"},
	} {
		_, err := Parse(strings.NewReader(test.text))
		require.ErrorContains(t, err, test.says, "%q", test.text)
	}
	path := filepath.Join(t.TempDir(), "rates.csv")
	_, err := Read(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte(header), 0o600))
	_, err = Read(path)
	require.ErrorContains(t, err, path)
}

func FuzzParse(f *testing.F) {
	f.Add(sample, "+351910000001", int64(7))
	f.Add(header+",all,USD,1,1,0,1\n", "+12025550100", int64(1<<62))
	f.Fuzz(func(t *testing.T, text, number string, seconds int64) {
		table, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		found, is := table.Of(number)
		if !is {
			return
		}
		require.True(t, strings.HasPrefix(number[1:], found.Prefix))
		price := found.Price(seconds)
		require.GreaterOrEqual(t, price, int64(0))
		require.LessOrEqual(t, price, int64(maxPrice))
		require.GreaterOrEqual(t, found.Price(min(seconds, 1<<40)+1), found.Price(min(seconds, 1<<40)), "longer is not cheaper")
	})
}

// full is a table as a carrier sends it, of that many prefixes of one to seven digits
// below a few countries, and numbers that find long and short ones.
func full(n int) (text string, numbers []string) {
	var lines strings.Builder
	lines.WriteString(header)
	for i := range n {
		fmt.Fprintf(&lines, "%d%0*d,zone-%d,EUR,%d,%d,%d,%d\n", 30+i%20, 1+i/20%5, i/20, i, i%3*10_000, 5_000+i%200*100, 1+i%2*59, 1+i%2*5)
		if i%(n/64) == 0 {
			numbers = append(numbers, fmt.Sprintf("+%d%0*d%s", 30+i%20, 1+i/20%5, i/20, "5550100"[:7-i%3]))
		}
	}
	for i := range 20 {
		fmt.Fprintf(&lines, "%d,country-%d,EUR,0,20000,60,60\n", 30+i, i)
	}
	return lines.String(), append(numbers, "+390000000", "+12025550100", "+4412")
}

func BenchmarkParse(b *testing.B) {
	text, _ := full(20_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPrice finds the rate of a number among 20,000 and prices a call by it.
func BenchmarkPrice(b *testing.B) {
	text, numbers := full(20_000)
	table, err := Parse(strings.NewReader(text))
	require.NoError(b, err)
	n, priced, sum := 0, 0, int64(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		if found, is := table.Of(numbers[n%len(numbers)]); is {
			priced++
			sum += found.Price(int64(n % 3600))
		}
	}
	if n > len(numbers) && (priced == 0 || priced == n || sum == 0) {
		b.Fatalf("%d of %d calls had a rate: some numbers have one, and some have none", priced, n)
	}
}
