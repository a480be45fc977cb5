'use strict';

// Reads conversations of four legs, one of them after a transfer, out of `conversations`
// that were anchored before the round.

const { Workload } = require('./workload');

class Conversation extends Workload {
    async prepare() {
        const books = await this.books();
        const conversations = Array.from({ length: this.roundArguments.conversations || 50 }, () => books.conversation());
        await this.anchor(books.close(conversations.flatMap((one) => one.contents)));
        this.keys = conversations.map(({ linkedid }) => [this.msp, books.pbx, linkedid]);
        this.at = 0;
    }

    async submitTransaction() {
        const conversation = await this.read('calls:Conversation', this.keys[this.at++ % this.keys.length]);
        if (conversation && conversation.legs.length !== 4) {
            throw new Error(`a conversation of four legs was answered with ${conversation.legs.length}`);
        }
    }
}

module.exports.createWorkloadModule = () => new Conversation();
