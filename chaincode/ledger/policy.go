package ledger

// GovernanceChaincode is the chaincode that holds the policy documents. It is one
// of its own because only a chaincode definition can have an endorsement policy
// that stands in the channel's configuration, and governance's is stricter.
const GovernanceChaincode = "callseal-governance"

// The names of the policy documents.
const (
	PolicyConsent        = "consent"
	PolicyConsortium     = "consortium"
	PolicyDevices        = "devices"
	PolicyPseudonyms     = "pseudonyms"
	PolicyReconciliation = "reconciliation"
	PolicyReputation     = "reputation"
	PolicyRetention      = "retention"
)

// PolicyNames are the names of all policy documents, sorted.
func PolicyNames() []string {
	return []string{
		PolicyConsent, PolicyConsortium, PolicyDevices, PolicyPseudonyms, PolicyReconciliation, PolicyReputation, PolicyRetention,
	}
}

// Policy is one policy document: exactly one of its kinds is set. Until the
// operators have voted for one, the built-in default holds, which is version 0;
// the consortium's own has no default.
type Policy struct {
	Consent        *ConsentPolicy        `json:"consent,omitzero"`
	Consortium     *ConsortiumPolicy     `json:"consortium,omitzero"`
	Devices        *DevicePolicy         `json:"devices,omitzero"`
	Pseudonyms     *PseudonymPolicy      `json:"pseudonyms,omitzero"`
	Reconciliation *ReconciliationPolicy `json:"reconciliation,omitzero"`
	Reputation     *ReputationPolicy     `json:"reputation,omitzero"`
	Retention      *RetentionPolicy      `json:"retention,omitzero"`
	// V is SchemaVersion.
	V int `json:"v"`
}

// PolicyVersion is a policy document in force.
type PolicyVersion struct {
	// Name is one of the names above.
	Name   string `json:"name"`
	Policy Policy `json:"policy"`
	// V is SchemaVersion.
	V int `json:"v"`
	// Version is 1 for the first that was voted, 0 for the built-in default.
	Version int64 `json:"version"`
}

// kind is the one document that is set: its name and its own check.
func (p *Policy) kind() (name string, check func() error, set int) {
	for _, one := range []struct {
		name  string
		set   bool
		check func() error
	}{
		{PolicyConsent, p.Consent != nil, p.Consent.check},
		{PolicyConsortium, p.Consortium != nil, p.Consortium.check},
		{PolicyDevices, p.Devices != nil, p.Devices.check},
		{PolicyPseudonyms, p.Pseudonyms != nil, p.Pseudonyms.check},
		{PolicyReconciliation, p.Reconciliation != nil, p.Reconciliation.check},
		{PolicyReputation, p.Reputation != nil, p.Reputation.check},
		{PolicyRetention, p.Retention != nil, p.Retention.check},
	} {
		if one.set {
			name, check = one.name, one.check
			set++
		}
	}
	return name, check, set
}

// Name is the document's name; empty where none or several are set.
func (p *Policy) Name() string {
	name, _, set := p.kind()
	if set != 1 {
		return ""
	}
	return name
}

// Check answers CodeInvalid unless the document is one, and well formed.
func (p *Policy) Check() error {
	if err := CheckVersion("the policy", p.V); err != nil {
		return err
	}
	_, check, set := p.kind()
	if set != 1 {
		return Errorf(CodeInvalid, "a policy holds one document, this one holds %d", set)
	}
	return check()
}

// Digest is the SHA-256 of the document's canonical form, hexadecimal: what
// operators vote for.
func (p *Policy) Digest() (string, error) {
	canonical, err := Canonical(p)
	if err != nil {
		return "", Errorf(CodeInvalid, "the policy cannot be written canonically: %v", err)
	}
	return Digest(canonical), nil
}

// DefaultPolicy is the document that holds until the operators have voted for
// one, or CodeNotFound where there is none by that name.
func DefaultPolicy(name string) (*PolicyVersion, error) {
	policy := Policy{V: SchemaVersion}
	switch name {
	case PolicyConsent:
		policy.Consent = defaultConsentPolicy()
	case PolicyDevices:
		policy.Devices = defaultDevicePolicy()
	case PolicyPseudonyms:
		policy.Pseudonyms = defaultPseudonymPolicy()
	case PolicyReconciliation:
		policy.Reconciliation = defaultReconciliationPolicy()
	case PolicyReputation:
		policy.Reputation = defaultReputationPolicy()
	case PolicyRetention:
		policy.Retention = defaultRetentionPolicy()
	case PolicyConsortium:
		return nil, Errorf(CodeNotFound, "the operators have not founded their consortium yet: propose the document %q, which takes the votes of all it lists", PolicyConsortium)
	default:
		return nil, Errorf(CodeNotFound, "no policy document is in force by that name")
	}
	return &PolicyVersion{Name: name, Policy: policy, V: SchemaVersion}, nil
}
