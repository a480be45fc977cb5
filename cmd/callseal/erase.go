package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// eraser asks the own operator's gateway to erase.
type eraser struct {
	access
	pbx, reason, evidence string
	audio, json           bool
}

// eraseReasons are the reasons as they are typed and as they are sent.
var eraseReasons = map[string]pb.ErasureReason{
	ledger.EraseCourtOrder:       pb.ErasureReason_ERASURE_REASON_COURT_ORDER,
	ledger.EraseRetentionExpired: pb.ErasureReason_ERASURE_REASON_RETENTION_EXPIRED,
	ledger.EraseSubjectRequest:   pb.ErasureReason_ERASURE_REASON_SUBJECT_REQUEST,
}

const eraseLong = `

The erasure is stated on the ledger, for all operators to see; then the key of
the details is destroyed and the sealed details are purged. The record stays: its
digests prove what was there without saying it. A legal hold forbids it, and so
does the record's term unless the operators' policy lets the reason go before it.

What was purged stays in the peer's files, sealed and without its key, until they
are compacted: see ` + "`callseal network compact`" + ` and ` + "`callseal compact`" + `.`

func (e *eraser) flags(command *cobra.Command) {
	e.access.flags(command, ledger.RoleCompliance)
	set := command.Flags()
	set.StringVar(&e.pbx, "pbx", "", "PBX of the record (default: the operator's, if it has one)")
	set.StringVar(&e.reason, "reason", "", "one of "+strings.Join(ledger.EraseReasons, ", "))
	set.StringVar(&e.evidence, "evidence", "", "file with the request or order: its SHA-256 goes onto the ledger")
	set.BoolVar(&e.json, "json", false, "print JSON for programs")
	_ = command.MarkFlagRequired("reason")
}

// erase asks for the erasure of a record and prints the receipt.
func (e *eraser) erase(command *cobra.Command, name *pb.RecordName) error {
	reason, known := eraseReasons[e.reason]
	if !known {
		return fmt.Errorf("--reason is one of %s", strings.Join(ledger.EraseReasons, ", "))
	}
	request := &pb.EraseRequest{Record: name, Reason: reason}
	if e.audio {
		request.Audio = &pb.AudioErasure{}
	}
	var err error
	if e.evidence != "" {
		if request.EvidenceDigest, err = fileDigest(e.evidence); err != nil {
			return err
		}
	}
	which := selection{access: e.access, pbx: e.pbx}
	if err := which.resolve(); err != nil {
		return err
	}
	name.Pbx = which.pbx
	connection, _, err := e.connection()
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	answer, err := pb.NewErasureServiceClient(connection).Erase(command.Context(), request)
	if err != nil {
		return asked(err)
	}
	if e.json {
		return printJSON(command.OutOrStdout(), answer)
	}
	printErasure(command.OutOrStdout(), answer.GetErasure())
	return nil
}

// printErasure prints a receipt.
func printErasure(out io.Writer, erasure *pb.Erasure) {
	rows := newTable(out)
	rows.AppendRow(table.Row{"stated", fmt.Sprintf("%s, block %d, endorsed by %s", shownTime(erasure.GetStatedAt()), erasure.GetStatedBy().GetBlock(), strings.Join(erasure.GetStatedBy().GetEndorsers(), " and "))})
	if erasure.GetKeyDestroyedAt() != nil {
		rows.AppendRow(table.Row{"key destroyed", fmt.Sprintf("%s, commitment %s", shownTime(erasure.GetKeyDestroyedAt()), erasure.GetKeyCommitment())})
	}
	switch {
	case erasure.GetPurgedBy() != nil:
		rows.AppendRow(table.Row{"purged", fmt.Sprintf("%s, block %d", shownTime(erasure.GetPurgedAt()), erasure.GetPurgedBy().GetBlock())})
		rows.AppendRow(table.Row{"stays for ever", "SHA-256 of the sealed details, " + erasure.GetSealedDigest()})
		rows.AppendRow(table.Row{"still due", "compaction of the peer's files"})
	case erasure.GetPurgedAt() != nil:
		rows.AppendRow(table.Row{"purged", "there was nothing to purge"})
	default:
		rows.AppendRow(table.Row{"still due", "the purge, which the gateway goes on with: " + erasure.GetPending()})
	}
	rows.Render()
}

func recordingEraseCommand() *cobra.Command {
	var what eraser
	var revision int64
	command := &cobra.Command{
		Use:     "erase RECORDING",
		Short:   "Erase what is personal of a recording's record",
		Long:    "Erase what is personal of a recording's record." + eraseLong,
		Example: "  callseal recording erase 5f0c… --reason subject_request --evidence request.pdf",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return what.erase(command, &pb.RecordName{Record: &pb.RecordName_Recording{Recording: &pb.RecordingName{Id: args[0], Revision: revision}}})
		},
	}
	what.flags(command)
	command.Flags().Int64Var(&revision, "revision", 1, "revision of the recording")
	command.Flags().BoolVar(&what.audio, "audio", false, "state the erasure of the audio too; its vault destroys the key once the statement stands")
	return command
}

func callEraseCommand() *cobra.Command {
	var what eraser
	command := &cobra.Command{
		Use:     "erase LINKEDID UNIQUEID SEQUENCE",
		Short:   "Erase what is personal of a CDR leg",
		Long:    "Erase what is personal of a CDR leg." + eraseLong,
		Example: "  callseal call erase 1763712000.4 1763712000.4 0 --reason subject_request --evidence request.pdf",
		Args:    cobra.ExactArgs(3),
		RunE: func(command *cobra.Command, args []string) error {
			sequence, err := strconv.ParseInt(args[2], 10, 64)
			if err != nil {
				return fmt.Errorf("the sequence is a number, as in `callseal call get`")
			}
			return what.erase(command, &pb.RecordName{Record: &pb.RecordName_Leg{Leg: &pb.LegId{Linkedid: args[0], Uniqueid: args[1], Sequence: sequence}}})
		},
	}
	what.flags(command)
	return command
}

func callStateCommand() *cobra.Command {
	var who custodian
	command := &cobra.Command{
		Use:     "state LINKEDID UNIQUEID SEQUENCE",
		Short:   "Show whether a CDR leg is held or erased, and until when it is kept",
		Example: "  callseal call state 1763712000.4 1763712000.4 0",
		Args:    cobra.ExactArgs(3),
		RunE: func(command *cobra.Command, args []string) error {
			if err := who.resolve(); err != nil {
				return err
			}
			var custody ledger.Custody
			if err := who.evaluate(command.Context(), &custody, "calls:State", append([]string{who.msp, who.pbx}, args...)...); err != nil {
				return err
			}
			if who.json {
				return printValue(command.OutOrStdout(), &custody)
			}
			printCustody(command.OutOrStdout(), &custody)
			return nil
		},
	}
	who.flags(command, ledger.RoleAuditor)
	return command
}

// fileDigest is the SHA-256 of a file.
func fileDigest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("digest the file: %w", err)
	}
	defer func() { _ = file.Close() }()
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return "", fmt.Errorf("digest the file: %w", err)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}
