// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Registries have one owner, the operator that made them, and only it writes.
/// The owner is immutable, so that the check reads no storage and costs next to nothing.
abstract contract Owned {
    /// The operator whose calls the registry holds.
    address public immutable owner;

    /// Somebody else than the owner tried to write.
    error NotOwner(address sender);
    /// The key is taken: a record is put once and never changed.
    error AlreadyAnchored(bytes32 key);
    /// Zero is what an empty slot reads as, and so no digest.
    error NoDigest();

    constructor() {
        owner = msg.sender;
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }
}
