'use strict';

// Writes evidence on subjects. With `hot`, all workers write on one subject, each as a
// gateway of its own: an opinion names the one before it, so that a writer's follow each
// other, one at a time, and whoever must wait waits within its latency. Else every
// opinion is the first on its subject.

const { digest, random, sha256, time, VERSION } = require('../books');
const { Workload } = require('./workload');

const KIND = 'long_call';

// An opinion's instant may lie ten minutes back. Those of one chain share theirs, so that
// nothing ages between them.
const CHAIN_MS = 5 * 60_000;

class Reputation extends Workload {
    async prepare() {
        const contracts = this.sutAdapter.network.channels[0].contracts;
        const governance = (contracts[1] || {}).id;
        const policy = (name) => this.sutAdapter.ask(this.msp, 'gateway', governance, 'governance:Current', name);
        const weighing = await policy('reputation');
        const kind = weighing.policy.reputation.kinds.find((one) => one.kind === KIND);
        if (!kind || kind.sign !== 'positive') {
            throw new Error(`the reputation policy in force does not count ${KIND} as positive: this workload cannot weigh it`);
        }
        this.weight = kind.weight;
        this.version = weighing.version;
        this.epoch = (await policy('pseudonyms')).policy.pseudonyms.epoch;
        this.tail = Promise.resolve();
        this.chains = 0;
        this.last = undefined;
    }

    opinion(subject, at, before) {
        const alpha = (before ? before.totals.alpha : 0) + this.weight;
        return {
            at, epoch: this.epoch, evidence: [{ count: 1, kind: KIND }], msp: this.msp, policy_version: this.version,
            ...(before && { prev_digest: digest(before), previous: before.totals }),
            seq: before ? before.seq + 1 : 1, subject, totals: { alpha, at, attempts: 0, beta: 0, failures: 0, newest_positive: at },
            v: VERSION, writer: this.seat + 1,
        };
    }

    // following is the next opinion of this writer on the hot subject.
    following() {
        if (!this.last || Date.now() - Date.parse(this.last.at) > CHAIN_MS) {
            const subject = sha256(`${this.sutAdapter.run} ${this.roundIndex} ${this.chains++}`).toString('hex');
            this.last = this.opinion(`tel:${subject}`, time(Date.now()));
        } else {
            this.last = this.opinion(this.last.subject, this.last.at, this.last);
        }
        return this.last;
    }

    async submitTransaction() {
        if (!this.roundArguments.hot) {
            return this.record([JSON.stringify([this.opinion(`tel:${random(32)}`, time(Date.now()))])]);
        }
        const turn = this.tail;
        let done;
        this.tail = new Promise((resolve) => { done = resolve; });
        try {
            return await this.record(undefined, {
                prepare: async () => {
                    await turn;
                    return [JSON.stringify([this.following()])];
                },
            });
        } finally {
            done();
        }
    }

    async record(contractArguments, more) {
        const result = await this.send('reputation:Record', contractArguments, more);
        if (result && result.written !== 1) {
            throw new Error(`one opinion was sent and ${result.written} were written`);
        }
    }
}

module.exports.createWorkloadModule = () => new Reputation();
