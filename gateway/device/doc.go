// Package device turns what a device is in clear into what stands on the ledger:
// pseudonyms for all, and details that are sealed into the owner's collection.
package device
