-- What version 3 of stored values added.

-- +goose Up

CREATE TABLE progress (
    ref      INTEGER NOT NULL PRIMARY KEY,
    msp      TEXT NOT NULL,
    pbx      TEXT NOT NULL,
    linkedid TEXT NOT NULL,
    uniqueid TEXT NOT NULL,
    state    TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    boot     INTEGER NOT NULL
);
CREATE UNIQUE INDEX progress_call ON progress (msp, pbx, uniqueid, linkedid, state);
CREATE INDEX progress_at ON progress (at_ms, ref);
CREATE INDEX progress_pbx ON progress (msp, pbx, at_ms, ref);

CREATE TABLE disagreements (
    ref         INTEGER NOT NULL PRIMARY KEY,
    msp         TEXT NOT NULL,
    pbx         TEXT NOT NULL,
    linkedid    TEXT NOT NULL,
    uniqueid    TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    told_second TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    told_first  TEXT NOT NULL,
    differing   INTEGER NOT NULL -- number of columns
);
CREATE UNIQUE INDEX disagreements_leg ON disagreements (msp, pbx, linkedid, uniqueid, sequence, told_second);
CREATE INDEX disagreements_at ON disagreements (at_ms, ref);
CREATE INDEX disagreements_pbx ON disagreements (msp, pbx, at_ms, ref);
