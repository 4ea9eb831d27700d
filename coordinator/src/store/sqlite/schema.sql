-- Version 1. The journal is the truth; every other table can be rebuilt from it.
-- Instants are microseconds since 1970 UTC, spans are microseconds.

CREATE TABLE journal (
    sequence  INTEGER PRIMARY KEY,
    at_micros INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    record    BLOB    NOT NULL,
    checksum  INTEGER NOT NULL
) STRICT;

CREATE TABLE campaigns (
    id                 INTEGER PRIMARY KEY,
    name               TEXT    NOT NULL,
    status             TEXT    NOT NULL,
    reason             TEXT    NOT NULL DEFAULT '',
    space              TEXT    NOT NULL,
    algorithm          TEXT    NOT NULL,
    evaluations_budget INTEGER NOT NULL,
    submitted_at       INTEGER NOT NULL,
    finished_at        INTEGER,
    resolved_yaml      TEXT    NOT NULL,
    source_yaml        TEXT    NOT NULL
) STRICT;

CREATE TABLE candidates (
    campaign       INTEGER NOT NULL,
    ordinal        INTEGER NOT NULL,
    status         TEXT    NOT NULL,
    genotype       TEXT    NOT NULL,
    canonical_hash TEXT    NOT NULL,
    origin         TEXT    NOT NULL,
    violation      REAL,
    reason         TEXT    NOT NULL DEFAULT '',
    proposed_at    INTEGER NOT NULL,
    resolved_at    INTEGER,
    PRIMARY KEY (campaign, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE measurements (
    campaign     INTEGER NOT NULL,
    ordinal      INTEGER NOT NULL,
    metric       TEXT    NOT NULL,
    value        REAL    NOT NULL,
    spread       REAL,
    source       TEXT    NOT NULL,
    device_class TEXT    NOT NULL,
    PRIMARY KEY (campaign, ordinal, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    id             INTEGER PRIMARY KEY,
    campaign       INTEGER NOT NULL,
    ordinal        INTEGER NOT NULL,
    stage          INTEGER NOT NULL,
    status         TEXT    NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    worker         INTEGER,
    elapsed_micros INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE workers (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    connected     INTEGER NOT NULL,
    device_class  TEXT    NOT NULL,
    slots         INTEGER NOT NULL,
    completed     INTEGER NOT NULL DEFAULT 0,
    failed        INTEGER NOT NULL DEFAULT 0,
    registered_at INTEGER NOT NULL
) STRICT;
