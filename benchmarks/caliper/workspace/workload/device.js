'use strict';

// Registers devices that nobody has seen before.

const { digest, random, VERSION } = require('../books');
const { Workload } = require('./workload');

class Device extends Workload {
    async submitTransaction() {
        const registration = {
            credentials: {
                aor_refs: [random(32)], credential_ref: random(32), details_digest: digest({ device: { aors: ['sip:1001@benchmark.invalid'] }, salt: random(32), v: VERSION }), key_epoch: 1,
            },
            id: random(16), kind: 'phone',
        };
        await this.send('devices:Register', [JSON.stringify(registration)]);
    }
}

module.exports.createWorkloadModule = () => new Device();
