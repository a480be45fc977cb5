package soak

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/network"
)

// Standing is one write of a key on the chain.
type Standing struct {
	Block         uint64
	TransactionID string
	// Place orders all public writes of the chain.
	Place int64
	// Content is the SHA-256 of the value.
	Content [sha256.Size]byte
	// Deleted says that the write removed the key.
	Deleted bool
}

// Chain is what stands on the ledger of one operator's records, read from the
// blocks alone.
type Chain struct {
	Blocks, Transactions, Invalid int
	// Writes are all public writes of VALID transactions, by key.
	Writes map[string][]Standing
	// Segments are the values of segments, by key.
	Segments map[string]*ledger.AnchoredSegment
	// Incidents are the keys of incidents.
	Incidents []string
	// Details counts how often a VALID transaction wrote a key of the operator's
	// private collection, by the key's SHA-256, which is all that a block tells.
	Details map[[sha256.Size]byte]int

	operator string // its MSP
	places   int64
}

// NewChain is empty.
func NewChain(operatorMSP string) *Chain {
	return &Chain{
		Writes: map[string][]Standing{}, Segments: map[string]*ledger.AnchoredSegment{}, Details: map[[sha256.Size]byte]int{}, operator: operatorMSP,
	}
}

// ReadChain reads every block from the witness's peer.
func (l *Lab) ReadChain() (*Chain, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	height, err := l.Channel(Operator, "auditor").Height(ctx)
	if err != nil {
		return nil, fmt.Errorf("the chain's height: %w", err)
	}
	chain := NewChain(l.Member(Operator).MSP)
	err = blocks(ctx, l.Member(Witness), l.Layout().Operator(Witness), l.Consortium().Channel, func(block *common.Block) (bool, error) {
		if number := block.GetHeader().GetNumber(); number != uint64(chain.Blocks) { //nolint:gosec // a count
			return false, fmt.Errorf("block %d came after %d blocks", number, chain.Blocks)
		}
		if err := chain.Add(block, l.Consortium().Chaincode); err != nil {
			return false, err
		}
		return uint64(chain.Blocks) < height, nil //nolint:gosec // a count
	})
	return chain, err
}

// blocks streams a peer's blocks from the first on, as the operator's auditor, as
// long as take wants more. It stands on Fabric's client alone, not on what is tried.
func blocks(ctx context.Context, member network.Member, org network.Organisation, channel string, take func(*common.Block) (bool, error)) error {
	files := org.Identity("auditor")
	pool := x509.NewCertPool()
	authorities, err := os.ReadFile(org.TLSCAFile())
	if err != nil || !pool.AppendCertsFromPEM(authorities) {
		return fmt.Errorf("the authority of %s: %w", member.Name, err)
	}
	own, err := tls.LoadX509KeyPair(files.TLSCertFile(), files.TLSKeyFile())
	if err != nil {
		return fmt.Errorf("the auditor's TLS certificate: %w", err)
	}
	connection, err := grpc.NewClient(member.Peer.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(20<<20)))
	if err != nil {
		return fmt.Errorf("connect to %s's peer: %w", member.Name, err)
	}
	defer func() { _ = connection.Close() }()
	pair, err := tls.LoadX509KeyPair(files.CertFile(), files.KeyFile())
	if err != nil {
		return fmt.Errorf("the auditor's certificate: %w", err)
	}
	signer, err := identity.NewX509Identity(member.MSP, pair.Leaf)
	if err != nil {
		return fmt.Errorf("the auditor's identity: %w", err)
	}
	sign, err := identity.NewPrivateKeySign(pair.PrivateKey)
	if err != nil {
		return fmt.Errorf("the auditor's key: %w", err)
	}
	// Under mutual TLS a peer delivers to the holder of the connection's certificate.
	bound := sha256.Sum256(own.Certificate[0])
	gateway, err := client.Connect(signer, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(connection),
		client.WithTLSClientCertificateHash(bound[:]))
	if err != nil {
		return fmt.Errorf("connect to %s's peer: %w", member.Name, err)
	}
	defer func() { _ = gateway.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := gateway.GetNetwork(channel).BlockEvents(ctx, client.WithStartBlock(0))
	if err != nil {
		return fmt.Errorf("follow %s's blocks: %w", member.Name, err)
	}
	for block := range events {
		more, err := take(block)
		if err != nil || !more {
			return err
		}
	}
	return errors.Join(errors.New("the peer's blocks ended before the last"), ctx.Err())
}

// Add takes the next block.
func (c *Chain) Add(block *common.Block, chaincode string) error {
	c.Blocks++
	writes, err := fabric.PublicWrites(block, chaincode)
	if err != nil {
		return err
	}
	for _, write := range writes {
		c.places++
		c.Writes[write.Key] = append(c.Writes[write.Key], Standing{
			Block: write.Block, TransactionID: write.TransactionID, Place: c.places, Content: sha256.Sum256(write.Value), Deleted: write.Deleted,
		})
		if err := c.note(write); err != nil {
			return err
		}
	}
	return c.addDetails(block, chaincode)
}

// note keeps what the verdict reads of a value.
func (c *Chain) note(write fabric.Write) error {
	objectType, parts, err := ledger.SplitKey(write.Key)
	if err != nil || len(parts) == 0 || parts[0] != c.operator {
		return nil //nolint:nilerr // keys of other kinds, and of others
	}
	switch objectType {
	case ledger.TypeIncident:
		c.Incidents = append(c.Incidents, write.Key)
	case ledger.TypeSegment:
		anchored := &ledger.AnchoredSegment{}
		if err := ledger.DecodeStrict(write.Value, anchored); err != nil {
			return fmt.Errorf("read a segment of block %d: %w", write.Block, err)
		}
		c.Segments[write.Key] = anchored
	}
	return nil
}

// addDetails counts the writes to the operator's private collection.
func (c *Chain) addDetails(block *common.Block, chaincode string) error {
	codes := block.GetMetadata().GetMetadata()[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
	for i, data := range block.GetData().GetData() {
		c.Transactions++
		if peer.TxValidationCode(codes[i]) != peer.TxValidationCode_VALID {
			c.Invalid++
			continue
		}
		actions, err := actionsOf(data)
		if err != nil {
			return fmt.Errorf("transaction %d of block %d: %w", i, block.GetHeader().GetNumber(), err)
		}
		for _, action := range actions {
			if err := c.addAction(action, chaincode); err != nil {
				return fmt.Errorf("transaction %d of block %d: %w", i, block.GetHeader().GetNumber(), err)
			}
		}
	}
	return nil
}

func (c *Chain) addAction(action *peer.TransactionAction, chaincode string) error {
	content, response, simulated, results := &peer.ChaincodeActionPayload{}, &peer.ProposalResponsePayload{}, &peer.ChaincodeAction{}, &rwset.TxReadWriteSet{}
	if err := proto.Unmarshal(action.GetPayload(), content); err != nil {
		return fmt.Errorf("read action: %w", err)
	}
	if err := proto.Unmarshal(content.GetAction().GetProposalResponsePayload(), response); err != nil {
		return fmt.Errorf("read response: %w", err)
	}
	if err := proto.Unmarshal(response.GetExtension(), simulated); err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	if err := proto.Unmarshal(simulated.GetResults(), results); err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	for _, namespace := range results.GetNsRwset() {
		if namespace.GetNamespace() != chaincode {
			continue
		}
		for _, collection := range namespace.GetCollectionHashedRwset() {
			if collection.GetCollectionName() != "_implicit_org_"+c.operator {
				continue
			}
			hashed := &kvrwset.HashedRWSet{}
			if err := proto.Unmarshal(collection.GetHashedRwset(), hashed); err != nil {
				return fmt.Errorf("read hashes: %w", err)
			}
			for _, write := range hashed.GetHashedWrites() {
				c.Details[[sha256.Size]byte(write.GetKeyHash())]++
			}
		}
	}
	return nil
}

// actionsOf are the actions of an envelope; none unless it is a transaction of a
// chaincode.
func actionsOf(data []byte) ([]*peer.TransactionAction, error) {
	envelope, payload, header, transaction := &common.Envelope{}, &common.Payload{}, &common.ChannelHeader{}, &peer.Transaction{}
	if err := proto.Unmarshal(data, envelope); err != nil {
		return nil, fmt.Errorf("read envelope: %w", err)
	}
	if err := proto.Unmarshal(envelope.GetPayload(), payload); err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	if err := proto.Unmarshal(payload.GetHeader().GetChannelHeader(), header); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if common.HeaderType(header.GetType()) != common.HeaderType_ENDORSER_TRANSACTION {
		return nil, nil
	}
	if err := proto.Unmarshal(payload.GetData(), transaction); err != nil {
		return nil, fmt.Errorf("read transaction: %w", err)
	}
	return transaction.GetActions(), nil
}
