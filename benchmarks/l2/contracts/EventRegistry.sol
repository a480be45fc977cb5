// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Owned} from "./Owned.sol";

/// Nothing but the event. It is the cheapest, and weaker: without storage nothing
/// refuses a second record under a key, readers must take the first, and no contract
/// can look one up.
contract EventRegistry is Owned {
    event Anchored(bytes32 indexed key, bytes32 digest);

    /// Tells the digest of a leg's record.
    function anchor(bytes32 key, bytes32 digest) external onlyOwner {
        if (digest == 0) revert NoDigest();
        emit Anchored(key, digest);
    }
}
