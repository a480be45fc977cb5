package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/stub"
)

// described is one contract.
type described struct {
	Chaincode, Name, About string
	Functions              []function
}

type function struct {
	// Call is "contract:Function(argument, …)".
	Call, Name string
	// Kind is "submit" or "evaluate".
	Kind  string
	About string
}

// describe asks the chaincodes what they can do and finds the words beside the
// code. A function without a comment is an error.
func describe(code *source) ([]described, error) {
	main, err := contract.New("AtlasMSP")
	if err != nil {
		return nil, err
	}
	governance, err := contract.NewGovernance()
	if err != nil {
		return nil, err
	}
	all, err := describeOne(code, "callseal", main)
	if err != nil {
		return nil, err
	}
	more, err := describeOne(code, "callseal-governance", governance)
	return append(all, more...), err
}

func describeOne(code *source, name string, chaincode shim.Chaincode) ([]described, error) {
	response, _ := stub.NewWorld("AtlasMSP").Invoke(chaincode, stub.Call{Args: []string{contractapi.SystemContractName + ":GetMetadata"}})
	if response.GetStatus() != shim.OK {
		return nil, fmt.Errorf("the metadata of %s: %s", name, response.GetMessage())
	}
	var metadata struct {
		Contracts map[string]struct {
			Info struct {
				Description string `json:"description"`
			} `json:"info"`
			Transactions []struct {
				Name string   `json:"name"`
				Tags []string `json:"tag"`
			} `json:"transactions"`
		} `json:"contracts"`
	}
	if err := json.Unmarshal(response.GetPayload(), &metadata); err != nil {
		return nil, fmt.Errorf("the metadata of %s: %w", name, err)
	}
	var all []described
	for contractName, one := range metadata.Contracts {
		if contractName == contractapi.SystemContractName {
			continue
		}
		each := described{Chaincode: name, Name: contractName, About: one.Info.Description}
		for _, transaction := range one.Transactions {
			found := code.method(strings.ToUpper(contractName[:1])+contractName[1:], transaction.Name)
			if found == nil || found.Doc == "" {
				return nil, fmt.Errorf("%s:%s has no comment", contractName, transaction.Name)
			}
			kind := "submit"
			if slices.ContainsFunc(transaction.Tags, func(tag string) bool { return strings.EqualFold(tag, "evaluate") }) {
				kind = "evaluate"
			}
			each.Functions = append(each.Functions, function{
				Call: fmt.Sprintf("%s:%s(%s)", contractName, transaction.Name, strings.Join(parameters(found), ", ")),
				Name: contractName + ":" + transaction.Name, Kind: kind, About: code.markdown(found.Doc),
			})
		}
		slices.SortFunc(each.Functions, func(a, b function) int { return strings.Compare(a.Name, b.Name) })
		all = append(all, each)
	}
	slices.SortFunc(all, func(a, b described) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
