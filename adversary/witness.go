package adversary

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/gateway/fabric"
)

// Witness reads every block of one honest peer. It believes the public writes of
// VALID transactions and nothing else, as an index does.
type Witness struct {
	chaincode string

	mu    sync.Mutex
	codes map[string]peer.TxValidationCode
	state map[string]string
	// writers are the transactions that wrote each key, in order.
	writers map[string][]string
	events  map[string][]string // of VALID transactions, by name
	err     error
	changed chan struct{}
}

// Follow starts a witness at a channel's first block, as seen by the peer at the
// endpoint. It ends with the context.
func Follow(ctx context.Context, at Endpoint, as *Party, channel, chaincode string) (*Witness, error) {
	connection, err := Dial(at)
	if err != nil {
		return nil, err
	}
	hash, err := at.CertHash()
	if err != nil {
		return nil, err
	}
	certificate, err := identity.CertificateFromPEM(as.Certificate)
	if err != nil {
		return nil, fmt.Errorf("parse the certificate: %w", err)
	}
	id, err := identity.NewX509Identity(as.MSP, certificate)
	if err != nil {
		return nil, fmt.Errorf("make the identity: %w", err)
	}
	gateway, err := client.Connect(id, client.WithSign(as.sign), client.WithTLSClientCertificateHash(hash), client.WithClientConnection(connection))
	if err != nil {
		return nil, fmt.Errorf("connect to the peer: %w", err)
	}
	blocks, err := gateway.GetNetwork(channel).BlockEvents(ctx, client.WithStartBlock(0))
	if err != nil {
		return nil, fmt.Errorf("follow the peer's blocks: %w", err)
	}
	w := &Witness{
		chaincode: chaincode, codes: map[string]peer.TxValidationCode{}, state: map[string]string{},
		writers: map[string][]string{}, events: map[string][]string{}, changed: make(chan struct{}),
	}
	go func() {
		defer func() {
			_ = gateway.Close()
			_ = connection.Close()
		}()
		for block := range blocks {
			w.see(block)
		}
		w.end(errors.New("the peer ended its stream of blocks"))
	}()
	return w, nil
}

// see takes one block in.
func (w *Witness) see(block *common.Block) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() {
		close(w.changed)
		w.changed = make(chan struct{})
	}()
	writes, err := fabric.PublicWrites(block, w.chaincode)
	if err != nil {
		w.err = err
		return
	}
	for _, write := range writes {
		w.writers[write.Key] = append(w.writers[write.Key], write.TransactionID)
		if write.Deleted {
			delete(w.state, write.Key)
			continue
		}
		w.state[write.Key] = string(write.Value)
	}
	codes := block.GetMetadata().GetMetadata()[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
	for i, data := range block.GetData().GetData() {
		id, event, err := identify(data)
		if err != nil {
			w.err = err
			return
		}
		code := peer.TxValidationCode(codes[i])
		// A copy of a transaction is a DUPLICATE_TXID; the first one's code stands.
		if _, seen := w.codes[id]; !seen {
			w.codes[id] = code
		}
		if event.GetEventName() != "" && code == peer.TxValidationCode_VALID {
			w.events[event.GetEventName()] = append(w.events[event.GetEventName()], id)
		}
	}
}

// end notes why no more blocks are seen.
func (w *Witness) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// Await answers a transaction's validation code once its block is there.
func (w *Witness) Await(ctx context.Context, id string) (peer.TxValidationCode, error) {
	for {
		w.mu.Lock()
		code, seen := w.codes[id]
		err, changed := w.err, w.changed
		w.mu.Unlock()
		switch {
		case err != nil:
			return 0, fmt.Errorf("read the peer's blocks: %w", err)
		case seen:
			return code, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("transaction %s is in no block: %w", id, ctx.Err())
		case <-changed:
		}
	}
}

// Seen says whether a transaction is in a block.
func (w *Witness) Seen(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, seen := w.codes[id]
	return seen
}

// State is the chaincode's public state as the blocks make it.
func (w *Witness) State() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.state)
}

// Writers are the VALID transactions that wrote a key.
func (w *Witness) Writers(key string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.writers[key]...)
}

// Events are the VALID transactions that carried an event of that name: what a
// reader would believe that believes events.
func (w *Witness) Events(name string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.events[name]...)
}

// identify reads a transaction's id and its chaincode event, if it has one.
func identify(data []byte) (string, *peer.ChaincodeEvent, error) {
	envelope, payload, header := &common.Envelope{}, &common.Payload{}, &common.ChannelHeader{}
	if err := proto.Unmarshal(data, envelope); err != nil {
		return "", nil, fmt.Errorf("read envelope: %w", err)
	}
	if err := proto.Unmarshal(envelope.GetPayload(), payload); err != nil {
		return "", nil, fmt.Errorf("read payload: %w", err)
	}
	if err := proto.Unmarshal(payload.GetHeader().GetChannelHeader(), header); err != nil {
		return "", nil, fmt.Errorf("read channel header: %w", err)
	}
	if common.HeaderType(header.GetType()) != common.HeaderType_ENDORSER_TRANSACTION {
		return header.GetTxId(), nil, nil
	}
	event, err := eventOf(payload.GetData())
	if err != nil {
		// An invalid transaction may hold anything.
		return header.GetTxId(), nil, nil //nolint:nilerr // see above
	}
	return header.GetTxId(), event, nil
}

// eventOf reads the chaincode event of a transaction, empty where there is none.
func eventOf(data []byte) (*peer.ChaincodeEvent, error) {
	transaction, content, response := &peer.Transaction{}, &peer.ChaincodeActionPayload{}, &peer.ProposalResponsePayload{}
	action, event := &peer.ChaincodeAction{}, &peer.ChaincodeEvent{}
	if err := proto.Unmarshal(data, transaction); err != nil {
		return nil, fmt.Errorf("read transaction: %w", err)
	}
	if len(transaction.GetActions()) == 0 {
		return event, nil
	}
	if err := proto.Unmarshal(transaction.GetActions()[0].GetPayload(), content); err != nil {
		return nil, fmt.Errorf("read action: %w", err)
	}
	if err := proto.Unmarshal(content.GetAction().GetProposalResponsePayload(), response); err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	if err := proto.Unmarshal(response.GetExtension(), action); err != nil {
		return nil, fmt.Errorf("read chaincode action: %w", err)
	}
	if err := proto.Unmarshal(action.GetEvents(), event); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return event, nil
}
