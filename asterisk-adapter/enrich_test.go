package adapter

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/conversation"
	"github.com/callseal/callseal/chaincode/ledger"
)

func TestLocations(t *testing.T) {
	t.Parallel()
	places := Locations{"PJSIP/600": "Lisboa", "from-trunk": "ES", "10.0.0.0/8": "Norte", "10.20.0.0/16": "Porto", "2001:db8::/32": "v6"}
	require.NoError(t, places.check())
	from := func(remote string) conversation.Leg {
		return conversation.Leg{Facts: conversation.Facts{Network: ledger.CallNetwork{Remote: remote}}}
	}
	for _, test := range []struct {
		name    string
		details ledger.CallDetails
		known   conversation.Leg
		want    *ledger.CallLocation
	}{
		{"nothing", ledger.CallDetails{Channel: "PJSIP/601-0000000a", DContext: "lab"}, conversation.Leg{}, nil},
		{"both endpoints", ledger.CallDetails{Channel: "PJSIP/600-0000000a", DstChannel: "PJSIP/600-0000000b"}, conversation.Leg{}, &ledger.CallLocation{Origin: "Lisboa", Destination: "Lisboa"}},
		{"endpoint before context", ledger.CallDetails{Channel: "PJSIP/600-0000000a", DContext: "from-trunk"}, conversation.Leg{}, &ledger.CallLocation{Origin: "Lisboa"}},
		{"context before network", ledger.CallDetails{Channel: "PJSIP/9-0000000a", DContext: "from-trunk"}, from("10.20.1.1:5060"), &ledger.CallLocation{Origin: "ES"}},
		{"narrowest network", ledger.CallDetails{Channel: "PJSIP/9-0000000a"}, from("10.20.1.1:5060"), &ledger.CallLocation{Origin: "Porto"}},
		{"wider network", ledger.CallDetails{Channel: "PJSIP/9-0000000a"}, from("10.21.1.1:5060"), &ledger.CallLocation{Origin: "Norte"}},
		{"IPv6", ledger.CallDetails{Channel: "PJSIP/9-0000000a"}, from("[2001:db8::1]:5060"), &ledger.CallLocation{Origin: "v6"}},
		{"IPv4 as IPv6", ledger.CallDetails{Channel: "PJSIP/9-0000000a"}, from("[::ffff:10.20.0.1]:5060"), &ledger.CallLocation{Origin: "Porto"}},
		{"no address", ledger.CallDetails{Channel: "PJSIP/9-0000000a"}, from("somewhere"), nil},
	} {
		require.Equal(t, test.want, places.of(&test.details, test.known), test.name)
	}
	require.Nil(t, Locations(nil).of(&ledger.CallDetails{Channel: "PJSIP/600-0000000a"}, conversation.Leg{}))
	require.ErrorContains(t, Locations{"x": ""}.check(), `locations: "x" is mapped to ""`)
}

func TestTrunks(t *testing.T) {
	t.Parallel()
	trunks := Trunks{"PJSIP/carrier", "from-trunk"}
	for channel, is := range map[string]bool{"PJSIP/carrier-0000000a": true, "PJSIP/carrier-2-0000000a": false, "PJSIP/600-0000000a": false, "": false} {
		require.Equal(t, is, trunks.name(channel), channel)
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rates.csv")
	require.NoError(t, os.WriteFile(file, []byte("prefix,name,currency,setup_micros,per_minute_micros,first_seconds,next_seconds\n351,PT,EUR,0,60000,1,1\n"), 0o600))
	config, err := LoadConfig(writeConfig(t, wholeConfig+"rates: "+file+"\n"))
	require.NoError(t, err)
	a := &Adapter{config: config}
	answered := ledger.Call{Disposition: ledger.Answered, BillsecMS: 7000}
	require.Equal(t, &ledger.CallCost{Currency: "EUR", Micros: 7000, Rate: "PT"}, a.cost(&answered, &ledger.CallDetails{Dst: "+351210000001"}))
	require.Nil(t, a.cost(&answered, &ledger.CallDetails{Dst: "600"}))
	require.Nil(t, a.cost(&ledger.Call{Disposition: "BUSY"}, &ledger.CallDetails{Dst: "+351210000001"}))
	require.Nil(t, a.cost(&ledger.Call{Disposition: ledger.Answered, BillsecMS: 7000, Direction: "inbound"}, &ledger.CallDetails{Dst: "+351210000001"}))
	_, err = LoadConfig(writeConfig(t, wholeConfig+"rates: nowhere.csv\n"))
	require.ErrorContains(t, err, "read the rates")
}
