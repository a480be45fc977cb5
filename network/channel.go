package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hyperledger/fabric-admin-sdk/pkg/channel"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

func readBlock(file string) (*common.Block, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the channel's first block: %w", err)
	}
	block := &common.Block{}
	if err := proto.Unmarshal(content, block); err != nil {
		return nil, fmt.Errorf("the channel's first block is damaged: %w", err)
	}
	return block, nil
}

// ordererChannel is what an orderer says about its part in the channel.
type ordererChannel struct {
	Status   string `json:"status"`
	Relation string `json:"consensusRelation"`
	Height   uint64 `json:"height"`
}

// ordererHas asks an orderer about the channel; joined is false when it does
// not know it.
func (a *access) ordererHas(ctx context.Context, name string) (info ordererChannel, joined bool, err error) {
	body, err := a.get(ctx, a.member.Orderer.Admin, "/participation/v1/channels/"+name)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		return info, false, nil
	}
	if err != nil {
		return info, false, err
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return info, false, fmt.Errorf("channel list of %s's orderer: %w", a.member.Name, err)
	}
	return info, true, nil
}

// joinOrderer joins the member's orderer to the channel unless it already has.
func (a *access) joinOrderer(ctx context.Context, name string, genesis *common.Block) error {
	_, joined, err := a.ordererHas(ctx, name)
	if err != nil || joined {
		return err
	}
	// The answer's status has to be looked at: a refusal comes without error.
	response, err := channel.CreateChannel("https://"+a.member.Orderer.Admin, genesis, a.roots, a.certificate)
	if err != nil {
		return fmt.Errorf("join %s's orderer: %w", a.member.Name, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch response.StatusCode {
	case http.StatusCreated, http.StatusMethodNotAllowed: // The latter: joined meanwhile.
		return nil
	default:
		return fmt.Errorf("join %s's orderer: %s: %s", a.member.Name, response.Status, strings.TrimSpace(string(body)))
	}
}

// ordererReady agrees once the orderer takes part in ordering the channel.
func (a *access) ordererReady(ctx context.Context, name string) error {
	info, joined, err := a.ordererHas(ctx, name)
	switch {
	case err != nil:
		return err
	case !joined || info.Status != "active" || info.Relation != "consenter":
		return fmt.Errorf("its state is %q as %q", info.Status, info.Relation)
	}
	return nil
}

// leads says whether the member's orderer believes it leads the channel.
func (a *access) leads(ctx context.Context, name string) (bool, error) {
	body, err := a.get(ctx, a.member.Orderer.Operations, "/metrics")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(body)) {
		if strings.Contains(line, "_is_leader{channel=\""+name+"\"}") && strings.HasSuffix(strings.TrimSpace(line), " 1") {
			return true, nil
		}
	}
	return false, nil
}

// Leader is the node of the orderer that leads the channel, such as
// "corvus-orderer". Orderers know it by the last block they were given, and their
// metrics say it; while none or more than one says it of itself, there is no answer.
func (n *Network) Leader(ctx context.Context) (string, error) {
	members, closeAll, err := n.openAll()
	if err != nil {
		return "", err
	}
	defer closeAll()
	var leaders []string
	for _, member := range members[:len(n.consortium.orderingMembers())] {
		// One that is down does not lead.
		if leads, err := member.leads(ctx, n.consortium.Channel); err == nil && leads {
			leaders = append(leaders, nodeName(member.member, kindOrderer))
		}
	}
	if len(leaders) != 1 {
		return "", fmt.Errorf("%d orderers lead the channel %v", len(leaders), leaders)
	}
	return leaders[0], nil
}

// peerHas says whether the member's peer is on the channel.
func (a *access) peerHas(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	channels, err := channel.ListChannelOnPeer(ctx, a.peer, a.signer)
	if err != nil {
		return false, fmt.Errorf("channels of %s's peer: %w", a.member.Name, err)
	}
	for _, one := range channels {
		if one.GetChannelId() == name {
			return true, nil
		}
	}
	return false, nil
}

// joinPeer joins the member's peer to the channel unless it already has.
func (a *access) joinPeer(ctx context.Context, name string, genesis *common.Block) error {
	joined, err := a.peerHas(ctx, name)
	if err != nil || joined {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := channel.JoinChannel(ctx, a.peer, a.signer, genesis); err != nil && !strings.Contains(err.Error(), "already exists") {
		return fmt.Errorf("join %s's peer: %w", a.member.Name, err)
	}
	return nil
}

// peerHeight is the number of blocks on the member's peer.
func (a *access) peerHeight(ctx context.Context, name string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info, err := channel.GetBlockChainInfo(ctx, a.peer, a.signer, name)
	if err != nil {
		return 0, fmt.Errorf("height of %s's peer: %w", a.member.Name, err)
	}
	return info.GetHeight(), nil
}
