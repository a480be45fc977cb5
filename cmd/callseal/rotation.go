package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/chaincode/ledger"
	arithmetic "github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway/reputation"
)

func reputationRotateCommand() *cobra.Command {
	var who signer
	command := &cobra.Command{
		Use:   "rotate KEYFILE",
		Short: "Write the policy document that puts a new consortium key into force",
		Long: `Write the policy document that puts a new consortium key into force. KEYFILE is
drawn if it does not exist. Nothing is sent; what to do with the two:

  1. Give the key to every operator, over a channel you trust: whoever has it can
     find out which number a pseudonym stands for.
  2. Propose the document with ` + "`callseal policy propose`" + `; the operators vote.
  3. Once it is in force every operator's gateway gets the new key as
     reputation.consortium_key_file and the old one as
     reputation.previous_consortium_key_file, and is
     started again. Until then it refuses to count evidence.

All subjects then stand under new pseudonyms. What an operator holds on a subject is
carried over when it next has evidence on it; the ledger does not tell which two are
the same. Devices' addresses are rotated one by one with ` + "`callseal device rotate`" + `.`,
		Example: "  callseal reputation rotate epoch2.key > epoch2.yaml\n  callseal policy propose epoch2.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			key, err := keyIn(args[0])
			if err != nil {
				return err
			}
			channel, err := who.open()
			if err != nil {
				return err
			}
			defer func() { _ = channel.Close() }()
			ctx, cancel := context.WithTimeout(command.Context(), who.timeout)
			defer cancel()
			inForce, weighing, err := pseudonymRules(ctx, channel)
			if err != nil {
				return err
			}
			next, err := inForce.NextEpoch(key, weighing.EmergencyNumbers)
			if err != nil {
				return errors.New(ledger.AsError(err).Message)
			}
			document := ledger.Policy{Pseudonyms: next, V: ledger.SchemaVersion}
			if who.json {
				return printValue(command.OutOrStdout(), document)
			}
			text, err := ledger.Canonical(&document)
			if err != nil {
				return fmt.Errorf("print the document: %w", err)
			}
			if text, err = yaml.JSONToYAML(text); err != nil {
				return fmt.Errorf("print the document: %w", err)
			}
			_, err = command.OutOrStdout().Write(text)
			return err
		},
	}
	who.flags(command, ledger.RoleAdmin)
	return command
}

// keyIn reads the key of a file, which is made where there is none.
func keyIn(file string) ([]byte, error) {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return reputation.ReadKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("keep the new key: %w", err)
	}
	key := make([]byte, arithmetic.KeyBytes)
	_, _ = rand.Read(key) // never fails since Go 1.24
	_, err = fmt.Fprintln(out, hex.EncodeToString(key))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return nil, fmt.Errorf("keep the new key: %w", err)
	}
	return key, nil
}
