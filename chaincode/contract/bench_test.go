package contract_test

import (
	"fmt"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/callseal/callseal/chaincode/ledger"
)

func BenchmarkAnchor(b *testing.B) {
	for _, n := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := enrolled(b)
			call := as(atlas, ledger.RoleGateway, "calls:Anchor", "")
			call.Transient = map[string][]byte{"segments": []byte(canonical(b, []*ledger.SignedSegment{segment(b, atlas, 1, legs(n))}))}
			b.SetBytes(int64(len(call.Transient["segments"])))
			b.ReportAllocs()
			for b.Loop() {
				response, tx := c.Invoke(operators()[atlas].chaincode, call)
				if response.GetStatus() != shim.OK || len(tx.Writes()) != n+1 {
					b.Fatal(response.GetMessage())
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
