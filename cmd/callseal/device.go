package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/device"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/seal"
)

func deviceCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "device",
		Short: "Register, suspend and revoke the devices that may call",
		Long: `Register, suspend and revoke the devices that may call.

A device stands on the ledger under pseudonyms, which every operator's PBX can look
up and nobody outside the consortium can reverse. What it is in clear (addresses,
networks, a label) is sealed into your own operator's collection; the keys to open
it are in a keyring of yours, outside the ledger. Keep its two files.`,
	}
	command.AddCommand(
		deviceRegisterCommand(), deviceRotateCommand(),
		deviceChangeCommand("suspend", "Take a device out of service", "devices:Suspend", ledger.DeviceSuspended),
		deviceChangeCommand("reinstate", "Put a suspended device back into service", "devices:Reinstate", ledger.DeviceReinstated),
		deviceChangeCommand("revoke", "Take a device out of service for ever", "devices:Revoke", ledger.DeviceRevoked),
		deviceGetCommand(), deviceHistoryCommand(), deviceListCommand(), deviceCheckCommand(), deviceEraseCommand(),
	)
	return command
}

// deviceSigner is a signer that knows the keys devices need.
type deviceSigner struct {
	signer
	consortiumKey, keyring string
}

func (d *deviceSigner) flags(command *cobra.Command, role ledger.Role) {
	d.signer.flags(command, role)
	command.Flags().StringVar(&d.consortiumKey, "consortium-key", os.Getenv("CALLSEAL_CONSORTIUM_KEY"), "file with the consortium's key, 32 bytes in hexadecimal (default: the development network's; $CALLSEAL_CONSORTIUM_KEY)")
}

func (d *deviceSigner) keyringFlag(command *cobra.Command) {
	command.Flags().StringVar(&d.keyring, "keyring", os.Getenv("CALLSEAL_DEVICE_KEYRING"), "your keyring of devices (default: the development network's; $CALLSEAL_DEVICE_KEYRING)")
}

// key reads the consortium's key.
func (d *deviceSigner) key() ([]byte, error) {
	file := d.consortiumKey
	if file == "" {
		if d.connectionFile != "" {
			return nil, errors.New("name the file with the consortium's key with --consortium-key, or give pseudonyms that are made already")
		}
		opened, member, err := d.member(d.operator)
		if err != nil {
			return nil, err
		}
		file = opened.Layout().Operator(member.Name).ConsortiumKeyFile()
	}
	return readSecretKey(file)
}

// openKeyring opens the keyring of devices.
func (d *deviceSigner) openKeyring() (*seal.Keyring, error) {
	file := d.keyring
	if file == "" {
		if d.connectionFile != "" {
			return nil, errors.New("name your keyring of devices with --keyring")
		}
		opened, member, err := d.member(d.operator)
		if err != nil {
			return nil, err
		}
		file = opened.Layout().Operator(member.Name).DeviceKeyring()
	}
	return seal.Open(file)
}

// own is the MSP of the operator whose identity signs.
func (s *signer) own() (string, error) {
	if s.connectionFile != "" {
		config, err := readConnection(s.connectionFile)
		return config.MSP, err
	}
	_, member, err := s.member(s.operator)
	return member.MSP, err
}

// orOwn is an operator's MSP, one's own where none is named.
func (s *signer) orOwn(msp string) (string, error) {
	if msp != "" {
		return msp, nil
	}
	return s.own()
}

// plaintext is what the flags say of a device.
type plaintext struct {
	details             ledger.DeviceDetails
	aorRefs             []string
	detailsDigest       string
	realm, passwordFile string
	operatorKey         string
	epoch               int64
	validFrom, until    string
}

func (c *plaintext) flags(command *cobra.Command) {
	set := command.Flags()
	set.StringSliceVar(&c.details.AORs, "aor", nil, "address of record, such as sip:600@pbx.example; may be given several times")
	set.StringSliceVar(&c.aorRefs, "aor-ref", nil, "pseudonym of an address that was made elsewhere; needs --details-digest")
	set.StringVar(&c.detailsDigest, "details-digest", "", "digest of details that are sealed elsewhere")
	set.StringVar(&c.details.Account, "account", "", "name of the SIP account")
	set.StringVar(&c.realm, "realm", "", "realm of the SIP account")
	set.StringVar(&c.passwordFile, "password-file", "", "file with the account's password, of which the ledger gets a keyed commitment; needs --operator-key")
	set.StringVar(&c.operatorKey, "operator-key", os.Getenv("CALLSEAL_OPERATOR_KEY"), "file with your operator's own key, 32 bytes in hexadecimal ($CALLSEAL_OPERATOR_KEY)")
	set.StringSliceVar(&c.details.Fingerprints, "fingerprint", nil, "SHA-256 of the device's certificate")
	set.StringSliceVar(&c.details.Networks, "network", nil, "network it calls from, such as 192.0.2.0/24")
	set.StringVar(&c.details.Label, "label", "", "what people call it")
	set.Int64Var(&c.epoch, "key-epoch", 1, "epoch of the consortium's key")
	set.StringVar(&c.validFrom, "valid-from", "", "since when it counts, RFC 3339 (default: now)")
	set.StringVar(&c.until, "valid-until", "", "until when it counts, RFC 3339 (default: without end)")
}

// credentials makes the pseudonyms, and the details that say what they hide; nil
// where those are sealed elsewhere.
func (c *plaintext) credentials(keys *deviceSigner) (ledger.DeviceCredentials, []byte, error) {
	credentials := ledger.DeviceCredentials{AORRefs: device.SortedOnce(c.aorRefs), DetailsDigest: c.detailsDigest, KeyEpoch: c.epoch}
	var err error
	if credentials.ValidFrom, err = flagTime("valid-from", c.validFrom); err != nil {
		return credentials, nil, err
	}
	if credentials.ValidUntil, err = flagTime("valid-until", c.until); err != nil {
		return credentials, nil, err
	}
	if c.passwordFile != "" {
		if credentials.CredentialRef, err = c.credential(); err != nil {
			return credentials, nil, err
		}
	}
	if len(c.aorRefs) > 0 {
		if len(c.details.AORs) > 0 || len(c.details.Fingerprints) > 0 || c.detailsDigest == "" {
			return credentials, nil, errors.New("--aor-ref needs --details-digest and goes without --aor and --fingerprint")
		}
		return credentials, nil, nil
	}
	if len(c.details.AORs) == 0 {
		return credentials, nil, errors.New("name the device's address of record with --aor")
	}
	key, err := keys.key()
	if err != nil {
		return credentials, nil, err
	}
	identity := device.Identity{Details: c.details, CredentialRef: credentials.CredentialRef, ValidFrom: credentials.ValidFrom, ValidUntil: credentials.ValidUntil}
	credentials, details, err := identity.Credentials(key, c.epoch)
	if err != nil {
		return credentials, nil, plain(err)
	}
	return credentials, details, nil
}

// credential commits to the account's password under the operator's key.
func (c *plaintext) credential() (string, error) {
	if c.operatorKey == "" || c.details.Account == "" {
		return "", errors.New("--password-file needs --account and --operator-key")
	}
	key, err := readSecretKey(c.operatorKey)
	if err != nil {
		return "", err
	}
	password, err := os.ReadFile(c.passwordFile)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return ledger.CredentialRef(key, c.details.Account, c.realm, strings.TrimRight(string(password), "\r\n")), nil
}

// put has a device's transaction committed and its details, where there are any,
// sealed into the own collection. The key is kept before anything travels.
func (d *deviceSigner) put(ctx context.Context, into *ledger.Device, msp, id string, version int64, details []byte, what fabric.Proposal) error {
	if details == nil {
		_, err := d.submit(ctx, into, what)
		return err
	}
	keyring, err := d.openKeyring()
	if err != nil {
		return err
	}
	defer func() { _ = keyring.Close() }()
	wire, err := device.Seal(keyring, msp, id, version, details)
	if err != nil {
		return err
	}
	channel, err := d.open()
	if err != nil {
		return err
	}
	defer func() { _ = channel.Close() }()
	if _, err := d.submitTo(ctx, channel, into, what); err != nil {
		return err
	}
	_, err = d.submitTo(ctx, channel, nil, device.Put(channel.MSP(), wire))
	if err != nil {
		return fmt.Errorf("the device is on the ledger, its details are not stored: rotate it to store them: %w", err)
	}
	return nil
}

func deviceRegisterCommand() *cobra.Command {
	var sign deviceSigner
	var what plaintext
	registration := ledger.DeviceRegistration{}
	command := &cobra.Command{
		Use:   "register",
		Short: "Put a device on the ledger",
		Example: `  callseal device register --aor sip:600@pbx.atlas.example --kind phone --network 192.0.2.0/24 --label "Reception"
  callseal device register --aor sip:600@pbx.atlas.example --account 600 --realm asterisk --password-file 600.pw --operator-key operator.key`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			credentials, details, err := what.credentials(&sign)
			if err != nil {
				return err
			}
			registration.Credentials = credentials
			if registration.ID == "" {
				registration.ID = device.Random(16)
			}
			if err := registration.Check(); err != nil {
				return plain(err)
			}
			msp, err := sign.own()
			if err != nil {
				return err
			}
			wire, err := ledger.Canonical(&registration)
			if err != nil {
				return err
			}
			made := &ledger.Device{}
			err = sign.put(command.Context(), made, msp, registration.ID, 1, details, fabric.Proposal{Function: "devices:Register", Args: []string{string(wire)}})
			if err != nil {
				return err
			}
			return printDevices(command.OutOrStdout(), sign.json, *made)
		},
	}
	sign.flags(command, ledger.RoleAdmin)
	sign.keyringFlag(command)
	what.flags(command)
	command.Flags().StringVar(&registration.Kind, "kind", ledger.DevicePhone, "kind of device: "+strings.Join(ledger.DeviceKinds, ", "))
	command.Flags().StringVar(&registration.ID, "id", "", "id, 16 random bytes in hexadecimal (default: one is made)")
	return command
}

func deviceRotateCommand() *cobra.Command {
	var sign deviceSigner
	var what plaintext
	rotation := ledger.DeviceRotation{}
	command := &cobra.Command{
		Use:     "rotate ID",
		Short:   "Give a device other credentials, addresses or validity",
		Long:    "Give a device other credentials, addresses or validity. Name all that it shall\nhave from now on: what is left out, it has no more.",
		Example: "  callseal device rotate 5f1c…  --aor sip:601@pbx.atlas.example --reason scheduled",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			credentials, details, err := what.credentials(&sign)
			if err != nil {
				return err
			}
			rotation.Credentials = credentials
			before, err := sign.current(command, args[0], &rotation.After)
			if err != nil {
				return err
			}
			if err := rotation.Check(); err != nil {
				return plain(err)
			}
			wire, err := ledger.Canonical(&rotation)
			if err != nil {
				return err
			}
			made := &ledger.Device{}
			err = sign.put(command.Context(), made, before, args[0], rotation.After+1, details, fabric.Proposal{Function: "devices:Rotate", Args: []string{args[0], string(wire)}})
			if err != nil {
				return err
			}
			return printDevices(command.OutOrStdout(), sign.json, *made)
		},
	}
	sign.flags(command, ledger.RoleAdmin)
	sign.keyringFlag(command)
	what.flags(command)
	reasonFlags(command, &rotation.Reason, &rotation.After, ledger.DeviceRotated)
	return command
}

// current fills in the version that a change follows, the last one unless it was
// named, and answers the own MSP.
func (s *signer) current(command *cobra.Command, id string, after *int64) (string, error) {
	msp, err := s.own()
	if err != nil || command.Flags().Changed("after") {
		return msp, err
	}
	var device ledger.Device
	if err := s.evaluate(command.Context(), &device, "devices:Get", msp, id); err != nil {
		return msp, err
	}
	*after = device.N
	return msp, nil
}

func reasonFlags(command *cobra.Command, reason *string, after *int64, change string) {
	command.Flags().StringVar(reason, "reason", "", "why: "+strings.Join(ledger.DeviceReasons(change), ", "))
	command.Flags().Int64Var(after, "after", 0, "version this follows; refused when another came first (default: the last one)")
	_ = command.MarkFlagRequired("reason")
}

func deviceChangeCommand(use, short, function, change string) *cobra.Command {
	var sign signer
	var reason string
	var after int64
	command := &cobra.Command{
		Use:     use + " ID",
		Short:   short,
		Example: fmt.Sprintf("  callseal device %s 5f1c… --reason %s", use, ledger.DeviceReasons(change)[0]),
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if _, err := sign.current(command, args[0], &after); err != nil {
				return err
			}
			made := &ledger.Device{}
			if _, err := sign.submit(command.Context(), made, fabric.Proposal{Function: function, Args: []string{args[0], strconv.FormatInt(after, 10), reason}}); err != nil {
				return err
			}
			return printDevices(command.OutOrStdout(), sign.json, *made)
		},
	}
	sign.flags(command, ledger.RoleAdmin)
	reasonFlags(command, &reason, &after, change)
	return command
}

func deviceGetCommand() *cobra.Command {
	var sign deviceSigner
	var msp string
	var details bool
	command := &cobra.Command{
		Use:     "get ID",
		Short:   "Show a device as it stands",
		Long:    "Show a device as it stands. With --details its owner's admin, compliance or\ngateway also sees what it is in clear, if the keyring holds its key.",
		Example: "  callseal device get 5f1c…\n  callseal device get 5f1c… --operator borealis --msp AtlasMSP\n  callseal device get 5f1c… --details --role admin",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			owner, err := sign.orOwn(msp)
			if err != nil {
				return err
			}
			if details && !command.Flags().Changed("role") {
				sign.role = string(ledger.RoleCompliance)
			}
			device := ledger.Device{}
			if err := sign.evaluate(command.Context(), &device, "devices:Get", owner, args[0]); err != nil {
				return err
			}
			if !details {
				return printDevices(command.OutOrStdout(), sign.json, device)
			}
			opened, err := sign.reveal(command.Context(), &device)
			if err != nil {
				return err
			}
			if sign.json {
				return printValue(command.OutOrStdout(), struct {
					Device  ledger.Device  `json:"device"`
					Details ledger.Details `json:"details"`
				}{device, *opened})
			}
			if err := printDevices(command.OutOrStdout(), false, device); err != nil {
				return err
			}
			return printDeviceDetails(command.OutOrStdout(), opened.Device)
		},
	}
	sign.flags(command, ledger.RoleAuditor)
	sign.keyringFlag(command)
	command.Flags().StringVar(&msp, "msp", "", "owner of the device (default: your operator)")
	command.Flags().BoolVar(&details, "details", false, "include what it is in clear (the owner alone)")
	return command
}

// reveal opens a device's details and checks them against the ledger's digest.
func (d *deviceSigner) reveal(ctx context.Context, known *ledger.Device) (*ledger.Details, error) {
	var sealed ledger.Sealed
	if err := d.evaluate(ctx, &sealed, "details:GetDevice", known.MSP, known.ID, strconv.FormatInt(known.DetailsN, 10)); err != nil {
		return nil, err
	}
	keyring, err := d.openKeyring()
	if err != nil {
		return nil, err
	}
	defer func() { _ = keyring.Close() }()
	opened, err := device.Open(keyring, known, &sealed)
	if err != nil {
		return nil, sentence(err)
	}
	return opened, nil
}

func deviceHistoryCommand() *cobra.Command {
	var sign signer
	var msp string
	command := &cobra.Command{
		Use:     "history ID",
		Short:   "Show every version of a device",
		Example: "  callseal device history 5f1c…",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			owner, err := sign.orOwn(msp)
			if err != nil {
				return err
			}
			var versions []ledger.Device
			if err := sign.evaluate(command.Context(), &versions, "devices:History", owner, args[0]); err != nil {
				return err
			}
			if len(versions) == 0 {
				return fmt.Errorf("%s has registered no such device", owner)
			}
			if sign.json {
				return printValue(command.OutOrStdout(), versions)
			}
			return printDevices(command.OutOrStdout(), false, versions...)
		},
	}
	sign.flags(command, ledger.RoleAuditor)
	command.Flags().StringVar(&msp, "msp", "", "owner of the device (default: your operator)")
	return command
}

func deviceListCommand() *cobra.Command {
	var sign signer
	var msp, bookmark string
	var size int32
	command := &cobra.Command{
		Use:     "list",
		Short:   "List an operator's devices",
		Example: "  callseal device list\n  callseal device list --msp BorealisMSP --page-size 200 --json",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			owner, err := sign.orOwn(msp)
			if err != nil {
				return err
			}
			var page struct {
				Bookmark string          `json:"bookmark"`
				Devices  []ledger.Device `json:"devices"`
			}
			if err := sign.evaluate(command.Context(), &page, "devices:List", owner, strconv.Itoa(int(size)), bookmark); err != nil {
				return err
			}
			if sign.json {
				return printValue(command.OutOrStdout(), page)
			}
			if err := printDevices(command.OutOrStdout(), false, page.Devices...); err != nil || page.Bookmark == "" {
				return err
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), "more: give the bookmark that --json prints to --bookmark")
			return err
		},
	}
	sign.flags(command, ledger.RoleAuditor)
	command.Flags().StringVar(&msp, "msp", "", "owner of the devices (default: your operator)")
	command.Flags().Int32Var(&size, "page-size", 50, "devices a page, 1 to 1000")
	command.Flags().StringVar(&bookmark, "bookmark", "", "the page after the one that gave it")
	return command
}

func deviceCheckCommand() *cobra.Command {
	var sign deviceSigner
	var msp, at, ref string
	var anyone bool
	command := &cobra.Command{
		Use:   "check [AOR]",
		Short: "May a device with this address call?",
		Long: `May a device with this address call? What a PBX asks before a call: whether the
address is registered, active and valid, and what follows by the operators' policy:
allow, flag or reject. A PBX asks about its own operator's registrations; --any
takes those of all.`,
		Example: "  callseal device check sip:600@pbx.atlas.example\n  callseal device check sip:600@pbx.atlas.example --at 2026-03-01T09:30:00Z --any",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if (len(args) == 1) == (ref != "") {
				return errors.New("name the address, or its pseudonym with --aor-ref")
			}
			if len(args) == 1 {
				key, err := sign.key()
				if err != nil {
					return err
				}
				if ref, err = ledger.AORRef(key, args[0]); err != nil {
					return plain(err)
				}
			}
			moment, err := flagTime("at", at)
			if err != nil {
				return err
			}
			if !anyone {
				if msp, err = sign.orOwn(msp); err != nil {
					return err
				}
			}
			var verdict ledger.DeviceVerdict
			if err := sign.evaluate(command.Context(), &verdict, "devices:Check", msp, ref, moment.String()); err != nil {
				return err
			}
			if sign.json {
				return printValue(command.OutOrStdout(), verdict)
			}
			rows := newTable(command.OutOrStdout())
			rows.AppendHeader(table.Row{"operator", "device", "kind", "version", "verdict"})
			for _, device := range verdict.Devices {
				rows.AppendRow(table.Row{device.MSP, device.ID, device.Kind, device.N, device.Verdict})
			}
			if len(verdict.Devices) > 0 {
				rows.Render()
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "%s at %s: %s (policy version %d)\n", verdict.Verdict, verdict.At, verdict.Consequence, verdict.PolicyVersion)
			return err
		},
	}
	sign.flags(command, ledger.RoleAuditor)
	command.Flags().StringVar(&msp, "msp", "", "operator that must have registered it (default: your operator)")
	command.Flags().BoolVar(&anyone, "any", false, "take the registrations of all operators")
	command.Flags().StringVar(&ref, "aor-ref", "", "pseudonym of the address")
	command.Flags().StringVar(&at, "at", "", "time asked about, RFC 3339 (default: now)")
	command.MarkFlagsMutuallyExclusive("msp", "any")
	return command
}

func deviceEraseCommand() *cobra.Command {
	var sign deviceSigner
	var request ledger.ErasureRequest
	command := &cobra.Command{
		Use:   "erase ID VERSION",
		Short: "Erase what a version of a device is in clear, for good",
		Long: `Erase what a version of a device is in clear, for good: destroy its key in your
keyring, state that on the ledger, and purge the sealed details. The version must be
out of use: the device is revoked, or was rotated to new details.`,
		Example: "  callseal device erase 5f1c… 1 --reason subject_request",
		Args:    cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil {
				return errors.New("the version is a number, see `callseal device history`")
			}
			erasure, err := sign.erase(command.Context(), args[0], n, &request)
			if err != nil {
				return err
			}
			if sign.json {
				return printValue(command.OutOrStdout(), erasure)
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "erased: version %d of device %s, stated at %s in transaction %s\n", n, args[0], erasure.Details.At, erasure.Details.TxID)
			return err
		},
	}
	sign.flags(command, ledger.RoleCompliance)
	sign.keyringFlag(command)
	command.Flags().StringVar(&request.Reason, "reason", "", "why: "+strings.Join(ledger.EraseReasons, ", "))
	command.Flags().StringVar(&request.EvidenceDigest, "evidence", "", "SHA-256 of the request, which is kept elsewhere")
	_ = command.MarkFlagRequired("reason")
	return command
}

// erase states the erasure first, because a contract may forbid it, then destroys
// the key and purges. Each step may be repeated.
func (d *deviceSigner) erase(ctx context.Context, id string, n int64, request *ledger.ErasureRequest) (*ledger.Erasure, error) {
	channel, err := d.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = channel.Close() }()
	keyring, err := d.openKeyring()
	if err != nil {
		return nil, err
	}
	defer func() { _ = keyring.Close() }()
	key := ledger.DeviceVersionKey(channel.MSP(), id, n)
	if err := device.Erasure(keyring, channel.MSP(), id, n, request); err != nil {
		return nil, err
	}
	wire, err := ledger.Canonical(request)
	if err != nil {
		return nil, err
	}
	erasure := &ledger.Erasure{}
	_, err = d.submitTo(ctx, channel, erasure, fabric.Proposal{Function: "devices:Erase", Args: []string{channel.MSP(), id, strconv.FormatInt(n, 10), string(wire)}})
	if err != nil {
		return nil, err
	}
	if _, err := keyring.Destroy(key); err != nil {
		return nil, err
	}
	purge, err := device.Purge(channel.MSP(), id, n)
	if err != nil {
		return nil, err
	}
	if _, err := d.submitTo(ctx, channel, nil, purge); err != nil {
		return nil, fmt.Errorf("the key is destroyed, the sealed details are not purged yet: ask again: %w", err)
	}
	return erasure, nil
}

func printDevices(out io.Writer, asJSON bool, devices ...ledger.Device) error {
	if asJSON {
		return printValue(out, devices[0])
	}
	rows := newTable(out)
	rows.AppendHeader(table.Row{"device", "operator", "version", "kind", "status", "addresses", "valid until", "changed (UTC)", "change", "reason", "by"})
	for i := range devices {
		device := &devices[i]
		rows.AppendRow(table.Row{
			device.ID, device.MSP, device.N, device.Kind, device.Status, len(device.Credentials.AORRefs), orDash(device.Credentials.ValidUntil.String()),
			device.At.Std().Format(time.DateTime), device.Change, orDash(device.Reason), device.By,
		})
	}
	rows.Render()
	return nil
}

func printDeviceDetails(out io.Writer, details *ledger.DeviceDetails) error {
	rows := newTable(out)
	for _, one := range []struct {
		name   string
		values []string
	}{
		{"label", []string{details.Label}}, {"addresses", details.AORs}, {"account", []string{details.Account}},
		{"networks", details.Networks}, {"fingerprints", details.Fingerprints},
	} {
		if text := strings.Join(one.values, " "); text != "" {
			rows.AppendRow(table.Row{one.name, text})
		}
	}
	rows.Render()
	return nil
}

// orDash is a text, or a dash for none: columns stay columns.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// flagTime reads a flag's time, RFC 3339 in any zone; not set for none.
func flagTime(flag, text string) (ledger.Time, error) {
	if text == "" {
		return ledger.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return ledger.Time{}, fmt.Errorf("--%s is a time such as 2026-03-01T09:30:00Z", flag)
	}
	return ledger.TimeOf(at), nil
}

// plain is a ledger's error without its code, for people.
func plain(err error) error { return errors.New(ledger.AsError(err).Message) }
