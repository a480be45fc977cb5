'use strict';

// The books of one PBX: its adapter numbers records without gaps, closes them into
// segments, each bound to the one before, and signs those (docs/architecture.md).

const { X509Certificate, createHash, createPrivateKey, randomBytes, sign } = require('node:crypto');
const fs = require('node:fs/promises');

const { CaliperUtils } = require('@hyperledger/caliper-core');
const canonicalize = require('canonicalize');

const VERSION = 3;
const SIGNED = Buffer.from('callseal segment v1\0');

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const digest = (value) => sha256(canonicalize(value)).toString('hex');
const random = (bytes) => randomBytes(bytes).toString('hex');
const time = (ms) => new Date(ms).toISOString();

// root is the hash of the RFC 9162 tree over leaf hashes.
function root(leaves) {
    if (leaves.length === 1) {
        return leaves[0];
    }
    let left = 1;
    while (left * 2 < leaves.length) {
        left *= 2;
    }
    return sha256(Buffer.of(1), root(leaves.slice(0, left)), root(leaves.slice(left)));
}

class Books {
    constructor(msp, pbx, certificate, key, before) {
        this.msp = msp;
        this.pbx = pbx;
        this.signer = sha256(new X509Certificate(certificate).raw).toString('hex');
        this.key = createPrivateKey(key);
        this.epoch = Date.now();
        this.boot = Math.floor(this.epoch / 1000);
        this.next = 1;
        this.calls = 0;
        this.opening = { at: time(this.epoch), why: 'first' };
        if (before) {
            this.opening = { at: time(this.epoch), why: before.closing ? 'planned' : 'journal_lost', prev_epoch: before.epoch, prev_root: before.last_root, prev_seq: before.last_seq };
        }
    }

    // close makes the next signed segment of contents such as {call: …}; the first of the
    // epoch begins with the opening, and the last one says so.
    close(contents, closing) {
        if (this.next === 1) {
            contents = [{ opening: this.opening }, ...contents];
        }
        const place = { epoch: this.epoch, msp: this.msp, pbx: this.pbx, segment: this.next, v: VERSION };
        const records = contents.map((content, i) => ({ ...content, ...place, seq: this.next + i }));
        const segment = {
            closed_at: time(Date.now()), count: records.length, epoch: this.epoch, first_seq: this.next, msp: this.msp, pbx: this.pbx,
            root: root(records.map((record) => sha256(Buffer.of(0), canonicalize(record)))).toString('hex'), signer: this.signer, v: VERSION,
            ...this.before, ...(closing && { closing }),
        };
        this.before = { prev_first_seq: segment.first_seq, prev_root: segment.root };
        this.next += records.length;
        const signature = sign('sha256', Buffer.concat([SIGNED, Buffer.from(canonicalize(segment))]), this.key).toString('base64');
        return { records, segment, signature };
    }

    // last is the segment with which the epoch ends in order.
    last() {
        return this.close([{ beat: { at: time(Date.now()), closing: true } }], true);
    }

    // leg names a leg as Asterisk does: the second the channel was made and a number.
    leg(linkedid) {
        this.calls++;
        const uniqueid = `${this.boot + this.calls}.${this.calls * 2}`;
        return { linkedid: linkedid || uniqueid, sequence: this.calls * 2, uniqueid };
    }

    // call is a leg of an answered call that has just ended. Its details are what stays
    // with the operator: the record binds them by their digest.
    call(leg = this.leg()) {
        const start = Date.now() - 30_000;
        const at = (ms) => time(start + ms);
        const details = {
            call: { channel: `PJSIP/1001-${leg.uniqueid}`, clid: '"Benchmark" <1001>', dcontext: 'internal', dst: '1002', dstchannel: `PJSIP/1002-${leg.uniqueid}`, lastapp: 'Dial', lastdata: 'PJSIP/1002', src: '1001' },
            salt: random(32), v: VERSION,
        };
        return {
            call: {
                answer: at(2_000), billsec_ms: 28_000, callee_ref: random(16), caller_ref: random(16), details_digest: digest(details), direction: 'internal',
                disposition: 'ANSWERED', duration_ms: 30_000, end: at(30_000), hangup_cause: 16, leg,
                observed: { answer: at(2_013), end: at(30_009), start: at(7) },
                recording_due: true, software: 'Asterisk 22.10.1', start: at(0), technology: 'PJSIP',
            },
        };
    }

    // conversation is a call of three legs that was transferred to another linkedid.
    conversation() {
        const first = this.leg();
        const from = first.linkedid;
        const taken = this.leg();
        const link = { at: time(Date.now()), from, from_leg: first, kind: 'blind_transfer', to: taken.linkedid, to_leg: taken };
        return { linkedid: from, contents: [this.call(first), this.call(this.leg(from)), this.call(this.leg(from)), this.call(taken), { link }] };
    }
}

// booksOf are new books of an adapter, begun where the ledger says that the PBX's last
// ended.
async function booksOf(connector, organization, adapter) {
    const { mspid } = organization;
    const before = await connector.find(mspid, 'gateway', connector.network.channels[0].contracts[0].id, 'calls:Chain', mspid, adapter.pbx);
    const read = (file) => fs.readFile(CaliperUtils.resolvePath(file.path));
    return new Books(mspid, adapter.pbx, await read(adapter.certificate), await read(adapter.key), before);
}

module.exports = { VERSION, booksOf, canonicalize, digest, random, sha256, time };
