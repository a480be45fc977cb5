// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Owned} from "./Owned.sol";

/// A record in two slots: the digest, and when and by whom it was anchored.
contract StructRegistry is Owned {
    struct Record {
        bytes32 digest;
        uint64 anchoredAt;
        address anchoredBy;
    }

    mapping(bytes32 key => Record) public records;

    event Anchored(bytes32 indexed key, bytes32 digest);

    /// Puts the digest of a leg's record under its key, once.
    function anchor(bytes32 key, bytes32 digest) external onlyOwner {
        if (digest == 0) revert NoDigest();
        if (records[key].digest != 0) revert AlreadyAnchored(key);
        records[key] = Record(digest, uint64(block.timestamp), msg.sender);
        emit Anchored(key, digest);
    }
}
