'use strict';

// Caliper's own connector for Fabric's gateway, with what a Callseal network needs and it
// has not: the client certificate that every peer demands, an answer of SmartBFT's that is
// no failure, latencies finer than a millisecond, and a look at the network before any load
// is put on it, so that one that cannot be measured is told of in a sentence.

const { X509Certificate, createPrivateKey, randomBytes } = require('node:crypto');
const fs = require('node:fs/promises');
const net = require('node:net');

const grpc = require('@grpc/grpc-js');
const { CaliperUtils, ConfigUtil } = require('@hyperledger/caliper-core');
const ConnectorConfigurationFactory = require('@hyperledger/caliper-fabric/lib/connector-configuration/ConnectorConfigurationFactory');
const PeerGateway = require('@hyperledger/caliper-fabric/lib/connector-versions/peer-gateway/PeerGateway');
const WalletFacadeFactory = require('@hyperledger/caliper-fabric/lib/connector-versions/peer-gateway/WalletFacadeFactory');

// The version of stored values that the workloads write.
const SCHEMA = 3;

// How long a look at the network may take, a step.
const PATIENCE_MS = 30_000;

const now = () => performance.timeOrigin + performance.now();

// reason is what the peers said, which the error itself only counts.
function reason(error) {
    // A deadline shows as either, by who noticed it first.
    if (error.code === grpc.status.DEADLINE_EXCEEDED || error.code === grpc.status.CANCELLED) {
        return `no answer within ${PATIENCE_MS / 1000} s`;
    }
    const said = (error.details && Array.isArray(error.details) ? error.details : []).map((one) => `${one.mspId}: ${one.message}`);
    return said.length > 0 ? said.join('; ') : error.message;
}

// PeerClient is a connection to a peer. With SmartBFT ordering a transaction may come back
// as refused because some orderers have processed it already, by way of others: it is
// ordered, and the commit that is asked for next says what became of it.
class PeerClient extends grpc.Client {
    makeUnaryRequest(method, serialize, deserialize, argument, options, callback) {
        const taken = (error, response) => (error && ordered(error) ? callback(null, deserialize(Buffer.alloc(0))) : callback(error, response));
        return super.makeUnaryRequest(method, serialize, deserialize, argument, options, method === '/gateway.Gateway/Submit' ? taken : callback);
    }
}

function ordered(error) {
    return error.code === grpc.status.UNAVAILABLE && error.metadata.get('grpc-status-details-bin').some((one) => one.includes('request already processed'));
}

class CallsealConnector extends PeerGateway {
    constructor(configuration, workerIndex, network) {
        super(configuration, workerIndex, 'fabric');
        this.network = network;
        this.run = undefined;
    }

    // init is the manager's: every worker finds a network that was looked at.
    async init() {
        for (const organization of this.network.organizations) {
            await this._reachable(organization);
        }
        await this.getContext();
        try {
            for (const organization of this.network.organizations) {
                await this._serving(organization);
            }
            for (const organization of this.network.organizations) {
                await this._enrol(organization);
            }
        } finally {
            await this.releaseContext();
        }
    }

    async installSmartContract() {
        // The operators install and approve it, each for itself.
    }

    async prepareWorkerArguments(number) {
        const run = randomBytes(16).toString('hex');
        return Array.from({ length: number }, () => ({ run }));
    }

    async getContext(roundIndex, args) {
        this.run = args && args.run ? args.run : this.run;
        return super.getContext(roundIndex, args);
    }

    // ask evaluates a function that is no transaction of a round, and parses its answer.
    async ask(...question) {
        return this.askOf(undefined, ...question);
    }

    // askOf is ask, of the peers of certain operators.
    async askOf(endorsingOrganizations, mspId, identity, contractId, contractFunction, ...contractArguments) {
        const contract = await this._contract(mspId, identity, contractId);
        const proposal = contract.newProposal(contractFunction, { arguments: contractArguments, endorsingOrganizations });
        const answer = await proposal.evaluate({ deadline: Date.now() + PATIENCE_MS });
        return JSON.parse(Buffer.from(answer).toString());
    }

    // find is ask where there may be nothing: undefined then.
    async find(...question) {
        try {
            return await this.ask(...question);
        } catch (error) {
            if (reason(error).includes('NOT_FOUND|')) {
                return undefined;
            }
            throw error;
        }
    }

    // write submits a function that is no transaction of a round.
    async write(mspId, identity, contractFunction, proposalOptions) {
        const patient = () => ({ deadline: Date.now() + PATIENCE_MS });
        const contract = await this._contract(mspId, identity, this.network.channels[0].contracts[0].id);
        const transaction = await contract.newProposal(contractFunction, proposalOptions).endorse(patient());
        const commit = await transaction.submit(patient());
        const status = await commit.getStatus(patient());
        if (!status.successful) {
            throw new Error(`${contractFunction} was not valid, code ${status.code}`);
        }
        return JSON.parse(Buffer.from(commit.getResult()).toString() || 'null');
    }

    async _contract(mspId, identity, contractId) {
        return this._getContractForIdentityOnChannelWithChaincodeID(mspId, identity, this.network.channels[0].channelName, contractId);
    }

    // A request may have a function prepare that waits for the request's turn and
    // answers its arguments: that wait is part of its latency.
    async _sendSingleRequest(request) {
        const created = now();
        if (request.prepare) {
            request.contractArguments = await request.prepare();
        }
        const status = await super._sendSingleRequest(request);
        status.SetTimeCreate(created);
        if (status.IsCommitted()) {
            status.SetStatusSuccess(now());
        }
        return status;
    }

    async _createClientForPeer(mspId, peer) {
        if (!this.clients.has(peer)) {
            const profile = await this.connectorConfiguration.getConnectionProfileDefinitionForOrganization(mspId);
            const authority = await profile.getTlsCACertsForPeer(peer);
            const { certificate, key } = await clientCertificate(this._organization(mspId));
            this.clients.set(peer, new PeerClient(profile.getGrpcEndPointForPeer(peer), grpc.credentials.createSsl(Buffer.from(authority), key, certificate), {
                'grpc.max_receive_message_length': -1,
                'grpc.max_send_message_length': -1,
                'grpc.keepalive_time_ms': 120_000,
                'grpc.keepalive_timeout_ms': 20_000,
                ...profile.getGrpcOptionsForPeer(peer),
            }));
        }
        return this.clients.get(peer);
    }

    _organization(mspId) {
        return this.network.organizations.find((one) => one.mspid === mspId);
    }

    async _reachable(organization) {
        await clientCertificate(organization);
        for (const peer of organization.peers || []) {
            const at = peer.endpoint.lastIndexOf(':');
            const problem = await refused(peer.endpoint.slice(0, at), Number(peer.endpoint.slice(at + 1)));
            if (problem) {
                throw new Error(`the network is down or half up: nothing answers at ${peer.endpoint}, where the peer of ${organization.mspid} should be (${problem}): start it, for instance by \`callseal network up\`, and see \`callseal network status\``);
            }
        }
    }

    // serving says whether the operator's peer lets us in and its chaincode answers.
    async _serving(organization) {
        const { mspid } = organization;
        const profile = await this.connectorConfiguration.getConnectionProfileDefinitionForOrganization(mspid);
        const [peer] = profile.getPeersListForOrganization(mspid);
        const client = await this._createClientForPeer(mspid, peer);
        const shut = new Error(`the peer of ${mspid} at ${profile.getGrpcEndPointForPeer(peer)} answers and lets nobody in with the client certificate ${organization.tlsClient.certificate.path}: name one that a member's TLS authority issued under tlsClient in the network file, and the authority of the peer's own certificate under tlsCACerts`);
        await new Promise((resolve, reject) => client.waitForReady(Date.now() + PATIENCE_MS, (error) => (error ? reject(shut) : resolve())));
        const [{ id }] = this.network.channels[0].contracts;
        let about;
        try {
            // Of this operator: else another's peer answers in its stead.
            about = await this.askOf([mspid], mspid, 'gateway', id, 'about:Version');
        } catch (error) {
            if (/SSL alert/i.test(reason(error))) {
                throw shut;
            }
            if (/about/i.test(reason(error)) && /not found/i.test(reason(error))) {
                throw new Error(`the chaincode ${id} of ${mspid} is of a version that does not even say which: this workspace measures networks that read values of version ${SCHEMA}, so upgrade the network or take the workspace of its release`);
            }
            throw new Error(`the network is half up: the chaincode ${id} of ${mspid} does not answer through its peer (${reason(error)}): see \`callseal network status\``);
        }
        if (about.schema !== SCHEMA) {
            throw new Error(`the chaincode ${about.chaincode} of ${mspid} reads values up to version ${about.schema}, and this workspace writes version ${SCHEMA}: upgrade the network or take the workspace of its release`);
        }
    }

    // enrol has the workers' adapters on the ledger. It is also the one way to know that
    // transactions are endorsed, ordered and committed; enrolling again changes nothing.
    async _enrol(organization) {
        for (const adapter of organization.adapters || []) {
            const certificate = await text(adapter.certificate.path, `the certificate of the adapter ${adapter.pbx}`);
            try {
                await this.write(organization.mspid, 'admin', 'adapters:Enrol', { arguments: [certificate] });
            } catch (error) {
                throw new Error(`the network is half up: the adapter of ${adapter.pbx} cannot be enrolled (${reason(error)}): see \`callseal network status\`, and that the admin of ${organization.mspid} in the network file is one`);
            }
        }
    }
}

// refused is why nothing answers at an address, undefined where something does.
function refused(host, port) {
    return new Promise((resolve) => {
        const socket = net.connect({ host, port, timeout: PATIENCE_MS / 2 });
        const end = (problem) => {
            socket.destroy();
            resolve(problem);
        };
        socket.on('connect', () => end(undefined)).on('timeout', () => end('no answer in time')).on('error', (error) => end(error.code || error.message));
    });
}

async function text(file, what) {
    try {
        return await fs.readFile(CaliperUtils.resolvePath(file), 'utf8');
    } catch (error) {
        throw new Error(`${what} cannot be read: ${error.message}`);
    }
}

// clientCertificate are the certificate and key, PEM, that an operator's peers let in.
async function clientCertificate(organization) {
    const { mspid, tlsClient } = organization;
    if (!tlsClient?.certificate?.path || !tlsClient?.key?.path) {
        throw new Error(`the network file names no tlsClient for ${mspid}: Callseal's peers let in only who shows a client certificate, so name its files there`);
    }
    const certificate = await text(tlsClient.certificate.path, `the TLS client certificate for ${mspid}`);
    const key = await text(tlsClient.key.path, `the key of the TLS client certificate for ${mspid}`);
    let matches;
    try {
        matches = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
    } catch (error) {
        throw new Error(`the TLS client certificate for ${mspid}, ${tlsClient.certificate.path}, and its key are not both PEM: ${error.message}`);
    }
    if (!matches) {
        throw new Error(`the key ${tlsClient.key.path} is not that of the TLS client certificate ${tlsClient.certificate.path} for ${mspid}`);
    }
    return { certificate: Buffer.from(certificate), key: Buffer.from(key) };
}

// A worker whose manager is gone would wait for it for ever.
if (process.send) {
    process.once('disconnect', () => process.exit(1));
}

module.exports.ConnectorFactory = async (workerIndex) => {
    const file = CaliperUtils.resolvePath(ConfigUtil.get(ConfigUtil.keys.NetworkConfig));
    const network = CaliperUtils.parseYaml(file);
    const configuration = await new ConnectorConfigurationFactory().create(file, new WalletFacadeFactory());
    return new CallsealConnector(configuration, workerIndex, network);
};
