package contract

import (
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Conversation answers all the ledger holds of the conversation that a linkedid
// belongs to, a ledger.Conversation: the legs, recordings, omissions and
// corrections of it and of every linkedid that links join it with, at most 64; Cut
// says that there are more. Nothing known answers empty lists.
//
// Errors: INVALID_ARGUMENT, TOO_LARGE past 1000 records of one kind.
func (*Calls) Conversation(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	c := &conversing{stub: ctx.GetStub(), Conversation: ledger.Conversation{
		Corrections: []ledger.AnchoredCorrection{}, Legs: []ledger.Record{}, Links: []ledger.Record{}, MSP: msp,
		Omissions: []ledger.Record{}, PBX: pbx, Recordings: []ledger.Record{}, V: ledger.SchemaVersion,
	}}
	if err := c.join(linkedID); err != nil {
		return "", err
	}
	for _, id := range c.LinkedIDs {
		if err := c.gather(id); err != nil {
			return "", err
		}
	}
	return text(&c.Conversation)
}

// Omissions answers the recordings that were due for the legs of one linkedid and
// never came, a JSON array of ledger.Record, empty where there are none.
func (*Calls) Omissions(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	var omissions [][]byte
	err := scan(ctx.GetStub(), ledger.TypeOmission, []string{msp, pbx, linkedID}, func(_ string, value []byte) error {
		omissions = append(omissions, value)
		return nil
	})
	return listText(omissions), err
}

// Progress answers how the calls of one linkedid stood before their CDRs, or without
// one: a JSON array of ledger.Record in order of uniqueid and state, empty where nothing
// is known. A call that was answered and has neither a leg nor another state goes on.
func (*Calls) Progress(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	var progress [][]byte
	err := scan(ctx.GetStub(), ledger.TypeProgress, []string{msp, pbx, linkedID}, func(_ string, value []byte) error {
		progress = append(progress, value)
		return nil
	})
	return listText(progress), err
}

// conversing puts a conversation together.
type conversing struct {
	ledger.Conversation
	stub shim.ChaincodeStubInterface
}

// join finds the linkedids that links join with the given one, and the links
// among them.
func (c *conversing) join(linkedID string) error {
	c.LinkedIDs = []string{linkedID}
	links := map[string]*ledger.Record{}
	for next := 0; next < len(c.LinkedIDs); next++ {
		found, err := c.linksAt(c.LinkedIDs[next])
		if err != nil {
			return err
		}
		for i := range found {
			for _, id := range []string{found[i].Link.From, found[i].Link.To} {
				switch {
				case slices.Contains(c.LinkedIDs, id):
				case len(c.LinkedIDs) == ledger.MaxConversation:
					c.Cut = true
				default:
					c.LinkedIDs = append(c.LinkedIDs, id)
				}
			}
			links[found[i].Key()] = &found[i]
		}
		if len(links) > maxListed {
			return ledger.Errorf(ledger.CodeTooLarge, "the conversation has more than %d links", maxListed)
		}
	}
	slices.Sort(c.LinkedIDs)
	keys := make([]string, 0, len(links))
	for key := range links {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		c.Links = append(c.Links, *links[key])
	}
	return nil
}

// linksAt answers the links from and to a linkedid.
func (c *conversing) linksAt(linkedID string) ([]ledger.Record, error) {
	var found []ledger.Record
	take := func(_ string, value []byte) error {
		var record ledger.Record
		if err := decodeStored(value, &record); err != nil {
			return err
		}
		found = append(found, record)
		return nil
	}
	if err := scan(c.stub, ledger.TypeLink, []string{c.MSP, c.PBX, linkedID}, take); err != nil {
		return nil, err
	}
	err := scan(c.stub, ledger.TypeLinkTo, []string{c.MSP, c.PBX, linkedID}, func(key string, _ []byte) error {
		_, parts, err := ledger.SplitKey(key)
		if err != nil || len(parts) != 6 {
			return ledger.Errorf(ledger.CodeInternal, "the index of links holds a key that is none")
		}
		// ⟨msp, pbx, to, from, kind, at⟩ becomes ⟨msp, pbx, from, to, kind, at⟩.
		parts[2], parts[3] = parts[3], parts[2]
		forward := ledger.CompositeKey(ledger.TypeLink, parts...)
		value, err := get(c.stub, forward, "the index names a link that is not there")
		if err != nil {
			return err
		}
		return take(forward, value)
	})
	return found, err
}

// gather adds what the ledger holds of one linkedid.
func (c *conversing) gather(linkedID string) error {
	under := []string{c.MSP, c.PBX, linkedID}
	if err := gather(c.stub, ledger.TypeCall, under, &c.Legs, nil); err != nil {
		return err
	}
	if err := gather(c.stub, ledger.TypeOmission, under, &c.Omissions, nil); err != nil {
		return err
	}
	if err := gather(c.stub, ledger.TypeCorrection, under, &c.Corrections, nil); err != nil {
		return err
	}
	return gather(c.stub, ledger.TypeRecordingByCall, under, &c.Recordings, func(parts []string) (string, error) {
		revision, err := ledger.ParseKeyNumber(parts[6])
		return ledger.RecordingKey(parts[0], parts[1], parts[5], revision), err
	})
}

// gather adds to a list what stands under keys or, where an index is read, under
// the keys it leads to.
func gather[T any](stub shim.ChaincodeStubInterface, objectType string, parts []string, list *[]T, lead func(parts []string) (string, error)) error {
	return scan(stub, objectType, parts, func(key string, value []byte) error {
		if lead != nil {
			_, split, err := ledger.SplitKey(key)
			if err != nil {
				return ledger.Errorf(ledger.CodeInternal, "%v", err)
			}
			at, err := lead(split)
			if err != nil {
				return ledger.Errorf(ledger.CodeInternal, "%v", err)
			}
			if value, err = get(stub, at, "the index names a record that is not there"); err != nil {
				return err
			}
		}
		if len(*list) == maxListed {
			return ledger.Errorf(ledger.CodeTooLarge, "the conversation has more than %d records of one kind", maxListed)
		}
		var one T
		if err := decodeStored(value, &one); err != nil {
			return err
		}
		*list = append(*list, one)
		return nil
	})
}
