'use strict';

// Declares that a party of a new call agreed to its recording.

const { random, time } = require('../books');
const { Workload } = require('./workload');

class Consent extends Workload {
    async prepare() {
        this.of = await this.books();
    }

    async submitTransaction() {
        const statement = {
            evidence_digest: random(32), given_at: time(Date.now() - 1_000), linkedid: this.of.leg().linkedid, method: 'dtmf', n: 1,
            party_ref: random(16), pbx: this.of.pbx, purpose: 'recording', status: 'granted',
        };
        await this.send('consents:Declare', [JSON.stringify(statement)]);
    }
}

module.exports.createWorkloadModule = () => new Consent();
