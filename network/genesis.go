package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// makeGenesis runs configtxgen over the rendered configuration: it is the only
// tool that can write a SmartBFT channel's first block.
func makeGenesis(ctx context.Context, layout Layout, consortium *Consortium, configtxgen string) error {
	cmd := exec.CommandContext(ctx, configtxgen,
		"-configPath", layout.channelFolder(),
		"-profile", "Callseal",
		"-channelID", consortium.Channel,
		"-outputBlock", layout.GenesisBlock())
	cmd.Env = cleanEnvironment("FABRIC_CFG_PATH=" + layout.channelFolder())
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("configtxgen could not make the channel's first block: %w: %s", err, lastLine(output.String()))
	}
	return nil
}

// lastLine finds the last line of a program's output that says something.
func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// channelPolicies lists the application policies of a configuration block.
func channelPolicies(block *common.Block) (map[string]*common.ConfigPolicy, error) {
	config, err := configIn(block)
	if err != nil {
		return nil, err
	}
	return config.GetChannelGroup().GetGroups()["Application"].GetPolicies(), nil
}

// configIn is the configuration that a configuration block holds.
func configIn(block *common.Block) (*common.Config, error) {
	if len(block.GetData().GetData()) == 0 {
		return nil, errors.New("the configuration block is empty")
	}
	envelope, payload, config := &common.Envelope{}, &common.Payload{}, &common.ConfigEnvelope{}
	if err := proto.Unmarshal(block.GetData().GetData()[0], envelope); err != nil {
		return nil, fmt.Errorf("configuration envelope: %w", err)
	}
	if err := proto.Unmarshal(envelope.GetPayload(), payload); err != nil {
		return nil, fmt.Errorf("configuration payload: %w", err)
	}
	if err := proto.Unmarshal(payload.GetData(), config); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return config.GetConfig(), nil
}
