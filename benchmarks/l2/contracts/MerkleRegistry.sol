// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Owned} from "./Owned.sol";

/// The root of an RFC 9162 SHA-256 tree over many records, which waits until there
/// are that many. A record is shown to be in it by its path; that two trees hold no
/// record of the same key is not checked.
contract MerkleRegistry is Owned {
    /// How many records the tree of a root has.
    mapping(bytes32 root => uint256) public counts;

    event AnchoredRoot(bytes32 indexed root, uint256 count);

    /// Puts a root and how many records are under it, once.
    function anchor(bytes32 root, uint256 count) external onlyOwner {
        if (root == 0 || count == 0) revert NoDigest();
        if (counts[root] != 0) revert AlreadyAnchored(root);
        counts[root] = count;
        emit AnchoredRoot(root, count);
    }

    /// Whether an anchored root holds a record at a place, by RFC 9162, 2.1.3.2. The
    /// leaf is the record's key and digest, one after the other.
    function verify(bytes32 root, bytes32 key, bytes32 digest, uint256 index, bytes32[] calldata path)
        external
        view
        returns (bool)
    {
        uint256 last = counts[root];
        if (index >= last) return false;
        last--;
        bytes32 node = sha256(abi.encodePacked(bytes1(0x00), key, digest));
        for (uint256 i = 0; i < path.length; i++) {
            if (last == 0) return false;
            if (index & 1 == 1 || index == last) {
                node = sha256(abi.encodePacked(bytes1(0x01), path[i], node));
                while (index & 1 == 0 && index != 0) {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                node = sha256(abi.encodePacked(bytes1(0x01), node, path[i]));
            }
            index >>= 1;
            last >>= 1;
        }
        return last == 0 && node == root;
    }
}
