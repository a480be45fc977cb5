package network

import (
	"context"
	"slices"
	"sync"
	"time"
)

// The states of a node in [NodeStatus].
const (
	// StateRunning means the node answers.
	StateRunning = "running"
	// StateUnhealthy means the process is there and does not answer.
	StateUnhealthy = "unhealthy"
	// StateStopped means there is no process.
	StateStopped = "stopped"
)

// NodeStatus is how one node is.
type NodeStatus struct {
	// Node is the node's name, for instance "atlas-peer".
	Node string `json:"node"`
	// Operator is the member that runs it.
	Operator string `json:"operator"`
	// Kind is peer, orderer, chaincode or gateway.
	Kind string `json:"kind"`
	// Address is where it serves, as host:port.
	Address string `json:"address"`
	// Metrics is where a gateway's monitoring reads, as a URL.
	Metrics string `json:"metrics,omitempty"`
	// PID is the process, 0 when stopped.
	PID int `json:"pid,omitempty"`
	// MemoryBytes is the process's resident memory.
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
	// Height is the number of blocks a peer or orderer has.
	Height uint64 `json:"height,omitempty"`
	// Chaincodes are what the channel defines a chaincode service as, governance
	// first, as its peer sees it.
	Chaincodes []Definition `json:"chaincodes,omitempty"`
	// State is one of the State constants.
	State string `json:"state"`
	// Problem says why the node is unhealthy.
	Problem string `json:"problem,omitempty"`
}

// Status asks every node how it is. Nodes that do not answer are reported as
// such and are no error.
func (n *Network) Status(ctx context.Context) ([]NodeStatus, error) {
	all := n.nodes()
	report := make([]NodeStatus, len(all))
	var members map[string]*access
	if n.made() {
		opened, closeAll, err := n.openAll()
		if err != nil {
			return nil, err
		}
		defer closeAll()
		members = make(map[string]*access, len(opened))
		for _, one := range opened {
			members[one.member.Name] = one
		}
	}
	var waiting sync.WaitGroup
	for i, one := range all {
		waiting.Go(func() { report[i] = n.statusOf(ctx, one, members[one.member.Name]) })
	}
	waiting.Wait()
	slices.SortStableFunc(report, func(a, b NodeStatus) int {
		return n.rank(a.Operator) - n.rank(b.Operator)
	})
	return report, nil
}

func (n *Network) rank(operator string) int {
	return slices.IndexFunc(n.consortium.Members(), func(m Member) bool { return m.Name == operator })
}

func (n *Network) statusOf(ctx context.Context, one node, member *access) NodeStatus {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status := NodeStatus{Node: one.name, Operator: one.member.Name, Kind: one.kind, Address: one.address, State: StateStopped}
	if one.kind == kindGateway && one.member.Gateway.Metrics != "" {
		status.Metrics = "http://" + one.member.Gateway.Metrics + "/metrics"
	}
	p, running := readProcess(n.layout.pidFile(one.name))
	if !running || member == nil {
		return status
	}
	status.PID, status.MemoryBytes, status.State = p.PID, p.memory(), StateRunning
	err := n.healthy(ctx, one)
	if err == nil {
		switch one.kind {
		case kindPeer:
			at := everyPeer([]*access{member})[one.member.seat]
			status.Height, err = at.peerHeight(ctx, n.consortium.Channel)
		case kindOrderer:
			var info ordererChannel
			info, _, err = member.ordererHas(ctx, n.consortium.Channel)
			status.Height = info.Height
		case kindChaincode:
			// What is wrong with the peer is said of the peer.
			if all, err := n.definitions(ctx, member); err == nil {
				for _, which := range n.chaincodes(one.deployed) {
					if at := slices.IndexFunc(all, func(d Definition) bool { return d.Name == which.name }); at >= 0 {
						status.Chaincodes = append(status.Chaincodes, all[at])
					}
				}
			}
		}
	}
	if err != nil {
		status.State, status.Problem = StateUnhealthy, err.Error()
	}
	return status
}
