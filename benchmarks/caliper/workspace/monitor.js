'use strict';

// Keeps the last page of Caliper's Prometheus transaction monitor of each round, which
// forgets a round as soon as it is over. It must stand before that monitor in the
// benchmark file: monitors are ended in that order.
//
// FOLDER/ROUND-WORKER.prom is the page and FOLDER/ROUND-WORKER.json what Caliper counted
// itself, times in milliseconds since 1970. The page comes last: where it is, both are.

const fs = require('node:fs/promises');
const path = require('node:path');

const { CaliperUtils, ConfigUtil } = require('@hyperledger/caliper-core');
const TxObserverInterface = require('@hyperledger/caliper-core/lib/worker/tx-observers/tx-observer-interface');

const logger = CaliperUtils.getLogger('monitor');

class PageKeeper extends TxObserverInterface {
    constructor(options, messenger, workerIndex) {
        super(messenger, workerIndex);
        const prometheus = this.getDeclaredTxObservers().find((one) => one.module === 'prometheus');
        if (!prometheus) {
            throw new Error('the benchmark file names no prometheus monitor under monitors.transaction, after this one: there is nothing to keep');
        }
        const given = prometheus.options || {};
        const first = Number(given.scrapePort || ConfigUtil.get(ConfigUtil.keys.Observer.Prometheus.ScrapePort));
        const port = first + (CaliperUtils.isForkedProcess() ? workerIndex : 0);
        this.page = `http://127.0.0.1:${port}${given.metricPath || '/metrics'}`;
        this.folder = CaliperUtils.resolvePath(options.folder);
    }

    async deactivate() {
        await super.deactivate();
        try {
            await this.keepRound();
        } catch (error) {
            // Thrown it would keep the monitor behind this one from ending, and its port.
            // Who reads the folder finds that the page is missing.
            logger.error(`what round ${this.currentRound} (${this.roundLabel}) measured cannot be kept: ${error.cause || error.message}`);
        }
    }

    async keepRound() {
        // A connection that is kept would keep the monitor's port.
        const response = await fetch(this.page, { headers: { connection: 'close' } });
        const page = await response.text();
        if (!response.ok) {
            throw new Error(`the Prometheus monitor of worker ${this.workerIndex} answered ${response.status}: ${page}`);
        }
        const counted = this.getCurrentStatistics();
        await this.keep('json', JSON.stringify({
            label: this.roundLabel,
            submitted: counted.getTotalSubmittedTx(),
            successful: counted.getTotalSuccessfulTx(),
            failed: counted.getTotalFailedTx(),
            first_create: counted.getFirstCreateTime(),
            last_finish: counted.getLastFinishTime(),
        }));
        await this.keep('prom', page);
    }

    // keep leaves a file whole or not at all.
    async keep(kind, content) {
        const file = path.join(this.folder, `${this.currentRound}-${this.workerIndex}.${kind}`);
        await fs.mkdir(this.folder, { recursive: true });
        await fs.writeFile(`${file}.part`, content, { flush: true });
        await fs.rename(`${file}.part`, file);
    }
}

module.exports.createTxObserver = (options, messenger, workerIndex) => new PageKeeper(options, messenger, workerIndex);
