// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Owned} from "./Owned.sol";

/// A record in one slot, its digest; the block says when, the transaction by whom.
contract SlotRegistry is Owned {
    mapping(bytes32 key => bytes32) public digests;

    event Anchored(bytes32 indexed key, bytes32 digest);

    /// Puts the digest of a leg's record under its key, once.
    function anchor(bytes32 key, bytes32 digest) external onlyOwner {
        if (digest == 0) revert NoDigest();
        if (digests[key] != 0) revert AlreadyAnchored(key);
        digests[key] = digest;
        emit Anchored(key, digest);
    }
}
