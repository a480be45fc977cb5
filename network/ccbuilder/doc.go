// Package ccbuilder is Callseal's external builder: the three steps a Fabric
// peer runs to turn an installed package into a connection to the chaincode
// service, and the packaging that goes with them.
//
// A package holds the service's address and nothing else. The keys for the
// connection come from the peer's own folder, named by the environment variable
// [TLSVariable], so no package ever carries a secret.
package ccbuilder
