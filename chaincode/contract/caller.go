package contract

import (
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/cid"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// caller is who signed the transaction's proposal. Fabric has checked the
// signature and the certificate's chain; the role is ours to check.
type caller struct {
	msp  string
	role ledger.Role
}

// callerOf identifies the caller or answers CodeDenied.
func callerOf(ctx contractapi.TransactionContextInterface) (caller, error) {
	identity, err := cid.New(ctx.GetStub())
	if err != nil {
		return caller{}, ledger.Errorf(ledger.CodeDenied, "the caller's certificate cannot be read: %v", err)
	}
	msp, err := identity.GetMSPID()
	if err != nil {
		return caller{}, ledger.Errorf(ledger.CodeDenied, "the caller names no MSP: %v", err)
	}
	role, found, err := identity.GetAttributeValue(ledger.AttributeRole)
	if err != nil || !found {
		return caller{}, ledger.Errorf(ledger.CodeDenied, "the caller's certificate of %s has no attribute %s: issue one with a role", msp, ledger.AttributeRole)
	}
	return caller{msp: msp, role: ledger.Role(role)}, nil
}

// mayActFor answers CodeDenied unless the caller belongs to the MSP and has one
// of the roles, and CodeInvalid where the MSP is no name.
func (c caller) mayActFor(msp string, roles ...ledger.Role) error {
	if err := ledger.CheckName("msp", msp); err != nil {
		return err
	}
	if c.msp != msp {
		return ledger.Errorf(ledger.CodeDenied, "%s may not act for %s: records are written by their own operator", c.msp, msp)
	}
	if !slices.Contains(roles, c.role) {
		return ledger.Errorf(ledger.CodeDenied, "the role %q may not do this, one of %q may", c.role, roles)
	}
	return nil
}
