package gateway

import (
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/soak"
)

// costs are what a record costs, each repetition a value.
type costs struct {
	network, gateway, peers, orderers, chaincode, memory, disk result.Measurement
}

func (m *measurement) newCosts(at string, parameters map[string]float64) *costs {
	of := func(name, title, unit string) result.Measurement { return m.named(name+at, title, unit, parameters) }
	return &costs{
		network:   of("cpu/network", "processor time of the whole network a record", "µs"),
		gateway:   of("cpu/gateway", "processor time of the gateway a record", "µs"),
		peers:     of("cpu/peers", "processor time of the peers a record", "µs"),
		orderers:  of("cpu/orderers", "processor time of the orderers a record", "µs"),
		chaincode: of("cpu/chaincode", "processor time of the chaincode services a record", "µs"),
		memory:    of("memory", "memory of the gateway, at most", "MiB"),
		disk:      of("disk/gateway", "bytes that the gateway had written to disk a record", "bytes"),
	}
}

func (c *costs) all() []result.Measurement {
	return []result.Measurement{c.network, c.gateway, c.peers, c.orderers, c.chaincode, c.memory, c.disk}
}

// add divides a cost by the records.
func (c *costs) add(cost *soak.Cost, records int) {
	n := float64(records)
	c.network.Values = append(c.network.Values, 1e6*cost.Network()/n)
	for kind, to := range map[string]*result.Measurement{"gateway": &c.gateway, "peer": &c.peers, "orderer": &c.orderers, "chaincode": &c.chaincode} {
		to.Values = append(to.Values, 1e6*cost.Processor[kind]/n)
	}
	c.memory.Values = append(c.memory.Values, cost.Gateway.MaxRSS/(1<<20))
	c.disk.Values = append(c.disk.Values, cost.Written/n)
}

// account counts what the network uses, until it is ended with the number of records.
func (m *measurement) account(costs *costs) (end func(records int)) {
	m.tb.Helper()
	counted, err := m.lab.Account()
	if err != nil {
		m.tb.Fatalf("count what the network uses: %v", err)
	}
	return func(records int) {
		m.tb.Helper()
		cost, err := counted()
		if err != nil {
			m.tb.Fatalf("count what the network uses: %v", err)
		}
		costs.add(cost, records)
	}
}
