package ledger

// Certificate attributes, in the extension that Fabric CA uses
// (OID 1.2.3.4.5.6.7.8.1).
const (
	// AttributeRole says what its bearer may do within its own operator.
	AttributeRole = "callseal.role"
	// AttributePBX names the PBX an adapter speaks for.
	AttributePBX = "callseal.pbx"
)

// Role is a value of AttributeRole.
type Role string

// The roles. A gateway anchors, an adapter signs, an auditor reads public
// records, compliance also reads its own operator's details, an admin enrols.
const (
	RoleGateway    Role = "gateway"
	RoleAdapter    Role = "adapter"
	RoleAuditor    Role = "auditor"
	RoleCompliance Role = "compliance"
	RoleAdmin      Role = "admin"
)
