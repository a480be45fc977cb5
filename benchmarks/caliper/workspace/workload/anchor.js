'use strict';

// Anchors segments of new calls, `records` in each.

const { Workload, anchored } = require('./workload');

class Anchor extends Workload {
    async prepare() {
        this.of = await this.books();
    }

    async submitTransaction() {
        const calls = Array.from({ length: this.roundArguments.records || 1 }, () => this.of.call());
        const result = await this.send('calls:Anchor', [''], { transientMap: { segments: JSON.stringify([this.of.close(calls)]) } });
        if (result) {
            anchored(result);
        }
    }
}

module.exports.createWorkloadModule = () => new Anchor();
