'use strict';

// Reads single legs by their key, out of `records` that were anchored before the round.

const { Workload } = require('./workload');

class Get extends Workload {
    async prepare() {
        const books = await this.books();
        const calls = Array.from({ length: this.roundArguments.records || 200 }, () => books.call());
        await this.anchor(books.close(calls));
        this.keys = calls.map(({ call: { leg } }) => [this.msp, books.pbx, leg.linkedid, leg.uniqueid, String(leg.sequence)]);
        this.at = 0;
    }

    async submitTransaction() {
        const key = this.keys[this.at++ % this.keys.length];
        const record = await this.read('calls:Get', key);
        if (record && record.call.leg.uniqueid !== key[3]) {
            throw new Error('the peer answered another leg than it was asked for');
        }
    }
}

module.exports.createWorkloadModule = () => new Get();
