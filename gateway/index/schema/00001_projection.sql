-- The projection of the ledger. The words INTEGER, TEXT and BLOB are SQLite's;
-- for PostgreSQL they become BIGINT, TEXT COLLATE "C" and BYTEA, so that both
-- compare and sort alike. No column is ever null. Times are ms since 1970, 0 where
-- they are not set. A ref is a place on the chain: block * 2^24 + place of the write
-- in the block.

-- +goose Up

-- How far the projection is, and of which chain; one row.
CREATE TABLE checkpoint (
    id         INTEGER NOT NULL PRIMARY KEY,
    channel    TEXT NOT NULL,
    msp        TEXT NOT NULL,
    genesis    BLOB NOT NULL, -- hash of block 0's header
    height     INTEGER NOT NULL, -- number of blocks that were projected
    hash       BLOB NOT NULL, -- hash of the last one's header
    projection INTEGER NOT NULL -- version of the projecting code
);

-- Signs page tokens. It is drawn once and no part of the projection.
CREATE TABLE token_key (
    id  INTEGER NOT NULL PRIMARY KEY,
    key BLOB NOT NULL
);

-- Transactions that wrote something; ref holds the transaction's place.
CREATE TABLE transactions (
    ref INTEGER NOT NULL PRIMARY KEY,
    id  TEXT NOT NULL
);

-- Every public write, in order: the change feed, and the one copy of the values.
CREATE TABLE changes (
    ref        INTEGER NOT NULL PRIMARY KEY,
    tx         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    msp        TEXT NOT NULL,
    pbx        TEXT NOT NULL,
    deleted    INTEGER NOT NULL,
    unreadable TEXT NOT NULL, -- why it is; empty where it can be read
    key        BLOB NOT NULL,
    value      BLOB NOT NULL
);
CREATE INDEX changes_kind ON changes (kind, ref);
CREATE INDEX changes_unreadable ON changes (ref) WHERE unreadable <> '';

CREATE TABLE calls (
    ref           INTEGER NOT NULL PRIMARY KEY,
    msp           TEXT NOT NULL,
    pbx           TEXT NOT NULL,
    linkedid      TEXT NOT NULL,
    uniqueid      TEXT NOT NULL,
    sequence      INTEGER NOT NULL,
    start_ms      INTEGER NOT NULL,
    answer_ms     INTEGER NOT NULL,
    end_ms        INTEGER NOT NULL,
    duration_ms   INTEGER NOT NULL,
    billsec_ms    INTEGER NOT NULL,
    disposition   TEXT NOT NULL,
    direction     TEXT NOT NULL,
    technology    TEXT NOT NULL,
    hangup_cause  INTEGER NOT NULL,
    recording_due INTEGER NOT NULL,
    caller_ref    TEXT NOT NULL,
    callee_ref    TEXT NOT NULL,
    call_ref      TEXT NOT NULL,
    epoch         INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    segment       INTEGER NOT NULL,
    corrections   INTEGER NOT NULL, -- how many it has
    held_until_ms INTEGER NOT NULL, -- until when a legal hold stands
    erased        INTEGER NOT NULL -- 1: details
);
CREATE UNIQUE INDEX calls_leg ON calls (msp, pbx, linkedid, uniqueid, sequence);
CREATE INDEX calls_start ON calls (start_ms, ref);
CREATE INDEX calls_msp ON calls (msp, start_ms, ref);
CREATE INDEX calls_pbx ON calls (msp, pbx, start_ms, ref);
CREATE INDEX calls_disposition ON calls (disposition, start_ms, ref);
CREATE INDEX calls_pbx_disposition ON calls (msp, pbx, disposition, start_ms, ref);
CREATE INDEX calls_caller ON calls (caller_ref, start_ms, ref) WHERE caller_ref <> '';
CREATE INDEX calls_callee ON calls (callee_ref, start_ms, ref) WHERE callee_ref <> '';
CREATE INDEX calls_call_ref ON calls (call_ref, start_ms, ref) WHERE call_ref <> '';

CREATE TABLE recordings (
    ref           INTEGER NOT NULL PRIMARY KEY,
    msp           TEXT NOT NULL,
    pbx           TEXT NOT NULL,
    id            TEXT NOT NULL,
    revision      INTEGER NOT NULL,
    linkedid      TEXT NOT NULL,
    uniqueid      TEXT NOT NULL,
    sequence      INTEGER NOT NULL,
    sha256        TEXT NOT NULL,
    bytes         INTEGER NOT NULL,
    media_type    TEXT NOT NULL,
    method        TEXT NOT NULL,
    closed_ms     INTEGER NOT NULL,
    gap           INTEGER NOT NULL, -- number of pauses
    retained      INTEGER NOT NULL, -- version of its own term, 0 for none
    until_ms      INTEGER NOT NULL, -- the term it or its record names
    held_until_ms INTEGER NOT NULL,
    erased        INTEGER NOT NULL -- 1: details, 2: audio, 3: both
);
CREATE UNIQUE INDEX recordings_id ON recordings (msp, pbx, id, revision);
CREATE INDEX recordings_leg ON recordings (msp, pbx, linkedid, closed_ms, ref);
CREATE INDEX recordings_closed ON recordings (closed_ms, ref);
CREATE INDEX recordings_msp ON recordings (msp, closed_ms, ref);
CREATE INDEX recordings_pbx ON recordings (msp, pbx, closed_ms, ref);
CREATE INDEX recordings_sha256 ON recordings (sha256, closed_ms, ref);
CREATE INDEX recordings_gap ON recordings (closed_ms, ref) WHERE gap > 0;
CREATE INDEX recordings_retained ON recordings (closed_ms, ref) WHERE retained > 0;
CREATE INDEX recordings_held ON recordings (closed_ms, ref) WHERE held_until_ms > 0;
CREATE INDEX recordings_erased ON recordings (closed_ms, ref) WHERE erased > 0;

CREATE TABLE links (
    ref     INTEGER NOT NULL PRIMARY KEY,
    msp     TEXT NOT NULL,
    pbx     TEXT NOT NULL,
    from_id TEXT NOT NULL,
    to_id   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    at_ms   INTEGER NOT NULL
);
CREATE UNIQUE INDEX links_from ON links (msp, pbx, from_id, to_id, kind, at_ms);
CREATE INDEX links_to ON links (msp, pbx, to_id, from_id);

CREATE TABLE omissions (
    ref      INTEGER NOT NULL PRIMARY KEY,
    msp      TEXT NOT NULL,
    pbx      TEXT NOT NULL,
    linkedid TEXT NOT NULL,
    uniqueid TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    reason   TEXT NOT NULL
);
CREATE UNIQUE INDEX omissions_leg ON omissions (msp, pbx, linkedid, uniqueid, sequence);
CREATE INDEX omissions_at ON omissions (at_ms, ref);
CREATE INDEX omissions_pbx ON omissions (msp, pbx, at_ms, ref);

-- Beginnings of adapters' journals.
CREATE TABLE openings (
    ref        INTEGER NOT NULL PRIMARY KEY,
    msp        TEXT NOT NULL,
    pbx        TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    why        TEXT NOT NULL,
    prev_epoch INTEGER NOT NULL,
    prev_seq   INTEGER NOT NULL
);
CREATE UNIQUE INDEX openings_epoch ON openings (msp, pbx, epoch);
CREATE INDEX openings_at ON openings (at_ms, ref);

CREATE TABLE beats (
    ref     INTEGER NOT NULL PRIMARY KEY,
    msp     TEXT NOT NULL,
    pbx     TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    at_ms   INTEGER NOT NULL,
    closing INTEGER NOT NULL
);
CREATE UNIQUE INDEX beats_seq ON beats (msp, pbx, epoch, seq);
CREATE INDEX beats_at ON beats (msp, pbx, at_ms, ref);

CREATE TABLE segments (
    ref           INTEGER NOT NULL PRIMARY KEY,
    msp           TEXT NOT NULL,
    pbx           TEXT NOT NULL,
    epoch         INTEGER NOT NULL,
    first_seq     INTEGER NOT NULL,
    records       INTEGER NOT NULL,
    anchored_ms   INTEGER NOT NULL,
    late_ms       INTEGER NOT NULL,
    closed_ms     INTEGER NOT NULL,
    closing       INTEGER NOT NULL,
    next_by_ms    INTEGER NOT NULL,
    absent        INTEGER NOT NULL,
    late_by_admin INTEGER NOT NULL,
    root          TEXT NOT NULL,
    signer        TEXT NOT NULL
);
CREATE UNIQUE INDEX segments_first ON segments (msp, pbx, epoch, first_seq);
CREATE INDEX segments_anchored ON segments (anchored_ms, ref);
CREATE INDEX segments_pbx ON segments (msp, pbx, anchored_ms, ref);

CREATE TABLE incidents (
    ref    INTEGER NOT NULL PRIMARY KEY,
    msp    TEXT NOT NULL,
    pbx    TEXT NOT NULL,
    digest TEXT NOT NULL,
    at_ms  INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    signer TEXT NOT NULL
);
CREATE UNIQUE INDEX incidents_digest ON incidents (msp, pbx, digest);
CREATE INDEX incidents_at ON incidents (at_ms, ref);
CREATE INDEX incidents_pbx ON incidents (msp, pbx, at_ms, ref);

CREATE TABLE corrections (
    ref      INTEGER NOT NULL PRIMARY KEY,
    msp      TEXT NOT NULL,
    pbx      TEXT NOT NULL,
    linkedid TEXT NOT NULL,
    uniqueid TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    reason   TEXT NOT NULL
);
CREATE UNIQUE INDEX corrections_leg ON corrections (msp, pbx, linkedid, uniqueid, sequence, n);
CREATE INDEX corrections_at ON corrections (at_ms, ref);

CREATE TABLE disputes (
    ref       INTEGER NOT NULL PRIMARY KEY,
    call_ref  TEXT NOT NULL,
    digest    TEXT NOT NULL,
    a_msp     TEXT NOT NULL,
    b_msp     TEXT NOT NULL,
    raised_by TEXT NOT NULL,
    at_ms     INTEGER NOT NULL
);
CREATE UNIQUE INDEX disputes_pair ON disputes (call_ref, digest);
CREATE INDEX disputes_at ON disputes (at_ms, ref);
CREATE INDEX disputes_a ON disputes (a_msp, at_ms, ref);
CREATE INDEX disputes_b ON disputes (b_msp, at_ms, ref);

CREATE TABLE adapters (
    ref         INTEGER NOT NULL PRIMARY KEY,
    msp         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    pbx         TEXT NOT NULL,
    enrolled_ms INTEGER NOT NULL,
    revoked_ms  INTEGER NOT NULL
);
CREATE UNIQUE INDEX adapters_fingerprint ON adapters (msp, fingerprint);
CREATE INDEX adapters_enrolled ON adapters (enrolled_ms, ref);

CREATE TABLE holds (
    ref      INTEGER NOT NULL PRIMARY KEY,
    msp      TEXT NOT NULL,
    pbx      TEXT NOT NULL,
    linkedid TEXT NOT NULL,
    n        INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    cases    INTEGER NOT NULL,
    until_ms INTEGER NOT NULL -- the latest end of its cases; 2^53-1 for one without
);
CREATE UNIQUE INDEX holds_conversation ON holds (msp, pbx, linkedid);
CREATE INDEX holds_at ON holds (at_ms, ref);

CREATE TABLE retentions (
    ref      INTEGER NOT NULL PRIMARY KEY,
    msp      TEXT NOT NULL,
    pbx      TEXT NOT NULL,
    id       TEXT NOT NULL,
    revision INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX retentions_recording ON retentions (msp, pbx, id, revision);

CREATE TABLE erasures (
    ref       INTEGER NOT NULL PRIMARY KEY,
    msp       TEXT NOT NULL,
    pbx       TEXT NOT NULL,
    kind      TEXT NOT NULL, -- call, recording or device_version
    id        TEXT NOT NULL, -- linkedid, recording id or device id
    uniqueid  TEXT NOT NULL,
    n         INTEGER NOT NULL, -- sequence, revision or version
    at_ms     INTEGER NOT NULL, -- the latest of its entries
    erased    INTEGER NOT NULL, -- 1: details, 2: audio, 3: both
    reason    TEXT NOT NULL
);
CREATE UNIQUE INDEX erasures_record ON erasures (kind, msp, pbx, id, uniqueid, n);
CREATE INDEX erasures_at ON erasures (at_ms, ref);

CREATE TABLE devices (
    ref            INTEGER NOT NULL PRIMARY KEY,
    msp            TEXT NOT NULL,
    id             TEXT NOT NULL,
    n              INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    status         TEXT NOT NULL,
    change         TEXT NOT NULL,
    reason         TEXT NOT NULL,
    at_ms          INTEGER NOT NULL,
    registered_ms  INTEGER NOT NULL,
    valid_from_ms  INTEGER NOT NULL,
    valid_until_ms INTEGER NOT NULL,
    key_epoch      INTEGER NOT NULL
);
CREATE UNIQUE INDEX devices_id ON devices (msp, id);
CREATE INDEX devices_at ON devices (at_ms, ref);
CREATE INDEX devices_msp ON devices (msp, at_ms, ref);
CREATE INDEX devices_status ON devices (status, at_ms, ref);

CREATE TABLE device_versions (
    ref    INTEGER NOT NULL PRIMARY KEY,
    msp    TEXT NOT NULL,
    id     TEXT NOT NULL,
    n      INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL,
    status TEXT NOT NULL
);
CREATE UNIQUE INDEX device_versions_n ON device_versions (msp, id, n);

-- By which keyed pseudonyms each version of a device is found.
CREATE TABLE device_refs (
    kind       TEXT NOT NULL, -- aor or fingerprint
    pseudonym  TEXT NOT NULL,
    msp        TEXT NOT NULL,
    id         TEXT NOT NULL,
    n          INTEGER NOT NULL,
    PRIMARY KEY (kind, pseudonym, msp, id, n)
);

CREATE TABLE consents (
    ref          INTEGER NOT NULL PRIMARY KEY,
    msp          TEXT NOT NULL,
    pbx          TEXT NOT NULL,
    linkedid     TEXT NOT NULL,
    party_ref    TEXT NOT NULL,
    purpose      TEXT NOT NULL,
    n            INTEGER NOT NULL,
    status       TEXT NOT NULL,
    method       TEXT NOT NULL,
    jurisdiction TEXT NOT NULL,
    given_ms     INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    at_ms        INTEGER NOT NULL
);
CREATE UNIQUE INDEX consents_chain ON consents (msp, pbx, linkedid, party_ref, purpose, n);
CREATE INDEX consents_given ON consents (given_ms, ref);
CREATE INDEX consents_pbx ON consents (msp, pbx, given_ms, ref);
CREATE INDEX consents_party ON consents (party_ref, given_ms, ref);

CREATE TABLE violations (
    ref       INTEGER NOT NULL PRIMARY KEY,
    msp       TEXT NOT NULL,
    pbx       TEXT NOT NULL,
    id        TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    party_ref TEXT NOT NULL,
    linkedid  TEXT NOT NULL,
    status    TEXT NOT NULL,
    by_msp    TEXT NOT NULL,
    at_ms     INTEGER NOT NULL
);
CREATE UNIQUE INDEX violations_recording ON violations (msp, pbx, id, revision, party_ref);
CREATE INDEX violations_at ON violations (at_ms, ref);
CREATE INDEX violations_pbx ON violations (msp, pbx, at_ms, ref);

-- What each writer holds on a subject.
CREATE TABLE opinions (
    ref      INTEGER NOT NULL PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    subject  TEXT NOT NULL,
    msp      TEXT NOT NULL,
    writer   INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    alpha    INTEGER NOT NULL,
    beta     INTEGER NOT NULL,
    broken   INTEGER NOT NULL -- how often its chain was broken
);
CREATE UNIQUE INDEX opinions_writer ON opinions (epoch, subject, msp, writer);
CREATE INDEX opinions_at ON opinions (at_ms, ref);
CREATE INDEX opinions_msp ON opinions (msp, writer, at_ms, ref);
CREATE INDEX opinions_broken ON opinions (at_ms, ref) WHERE broken > 0;

CREATE TABLE pardons (
    ref      INTEGER NOT NULL PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    subject  TEXT NOT NULL,
    msp      TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    reason   TEXT NOT NULL
);
CREATE UNIQUE INDEX pardons_subject ON pardons (epoch, subject, msp);

CREATE TABLE allowances (
    ref          INTEGER NOT NULL PRIMARY KEY,
    epoch        INTEGER NOT NULL,
    subject      TEXT NOT NULL,
    msp          TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    withdrawn_ms INTEGER NOT NULL,
    reason       TEXT NOT NULL
);
CREATE UNIQUE INDEX allowances_subject ON allowances (epoch, subject, msp);

CREATE TABLE appeals (
    ref     INTEGER NOT NULL PRIMARY KEY,
    against TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    subject TEXT NOT NULL,
    msp     TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    state   TEXT NOT NULL,
    reason  TEXT NOT NULL
);
CREATE UNIQUE INDEX appeals_subject ON appeals (against, epoch, subject, msp);
CREATE INDEX appeals_at ON appeals (at_ms, ref);
CREATE INDEX appeals_against ON appeals (against, at_ms, ref);

-- Each subject's merged reputation, as it stood when last something of it changed.
CREATE TABLE subjects (
    epoch    INTEGER NOT NULL,
    subject  TEXT NOT NULL,
    type     TEXT NOT NULL, -- tel, ip or aor
    score    INTEGER NOT NULL, -- thousandths of a point
    standing TEXT NOT NULL,
    holders  INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL, -- the instant of the merge
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (epoch, subject)
);
CREATE INDEX subjects_score ON subjects (epoch, score, subject);
CREATE INDEX subjects_type ON subjects (epoch, type, score, subject);
CREATE INDEX subjects_standing ON subjects (epoch, standing, score, subject);

CREATE TABLE policies (
    ref     INTEGER NOT NULL PRIMARY KEY,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL
);
CREATE UNIQUE INDEX policies_name ON policies (name);

CREATE TABLE policy_versions (
    ref        INTEGER NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    enacted_ms INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    proposer   TEXT NOT NULL
);
CREATE UNIQUE INDEX policy_versions_version ON policy_versions (name, version);

CREATE TABLE ballots (
    ref         INTEGER NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    digest      TEXT NOT NULL,
    proposed_ms INTEGER NOT NULL,
    proposer    TEXT NOT NULL
);
CREATE UNIQUE INDEX ballots_digest ON ballots (name, version, digest);

CREATE TABLE agendas (
    ref     INTEGER NOT NULL PRIMARY KEY,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    ballots INTEGER NOT NULL
);
CREATE UNIQUE INDEX agendas_name ON agendas (name);
