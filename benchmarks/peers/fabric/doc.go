// Package fabric measures Fabric as people get it from its samples: the same network,
// chaincode and gateway as Callseal's, ordered by Raft with blocks that are cut after
// two seconds or ten transactions. Beside the gateway, which packs many records into a
// transaction, a plain application is measured that submits one record a transaction
// with Fabric's own client library.
package fabric
