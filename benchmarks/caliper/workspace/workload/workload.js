'use strict';

// What all workloads share: each worker acts for one operator, and is the adapter of one
// PBX and, where it matters, one gateway of it.

const { WorkloadModuleBase } = require('@hyperledger/caliper-core');

const { booksOf } = require('../books');

class Workload extends WorkloadModuleBase {
    async initializeWorkloadModule(workerIndex, totalWorkers, roundIndex, roundArguments, connector, context) {
        await super.initializeWorkloadModule(workerIndex, totalWorkers, roundIndex, roundArguments || {}, connector, context);
        const { channels, organizations } = connector.network;
        this.organization = organizations[workerIndex % organizations.length];
        this.msp = this.organization.mspid;
        // seat counts the workers of one operator from 0.
        this.seat = Math.floor(workerIndex / organizations.length);
        this.contract = channels[0].contracts[0].id;
        await this.prepare();
    }

    // prepare is for what a round needs on the ledger before it.
    async prepare() {}

    // books are an epoch of this worker's PBX, for this round.
    async books() {
        const adapter = (this.organization.adapters || [])[this.seat];
        if (!adapter) {
            throw new Error(`the network file names ${this.seat} adapters of ${this.msp}, and there are more workers: name one for each under adapters`);
        }
        this.opened = await booksOf(this.sutAdapter, this.organization, adapter);
        return this.opened;
    }

    // anchor puts a segment on the ledger that is no transaction of the round.
    async anchor(segment) {
        anchored(await this.sutAdapter.write(this.msp, 'gateway', 'calls:Anchor', { arguments: [''], transientData: { segments: JSON.stringify([segment]) } }));
    }

    async cleanupWorkloadModule() {
        if (this.opened && this.opened.next > 1) {
            await this.anchor(this.opened.last());
        }
    }

    // send is one transaction of the round, as the operator's gateway.
    async send(contractFunction, contractArguments, more) {
        const status = await this.sutAdapter.sendRequests({
            contractId: this.contract, contractFunction, contractArguments, invokerMspId: this.msp, invokerIdentity: 'gateway', ...more,
        });
        // What failed was logged, and counted as failed.
        return status.IsCommitted() ? JSON.parse(Buffer.from(status.GetResult()).toString()) : undefined;
    }

    read(contractFunction, contractArguments) {
        return this.send(contractFunction, contractArguments, { readOnly: true });
    }
}

// anchored fails unless all of every segment is on the ledger: a conflict is a valid
// transaction too.
function anchored(result) {
    for (const segment of result.segments) {
        if (segment.outcome !== 'anchored' || segment.exceptions) {
            throw new Error(`segment ${segment.first_seq} is ${segment.outcome} with ${(segment.exceptions || []).length} exceptions: nothing was measured`);
        }
    }
}

module.exports = { Workload, anchored };
