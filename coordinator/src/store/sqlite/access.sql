-- Version 2: who submitted a campaign, the tokens, and whose a worker's name is. Tokens and names are
-- no part of the journal: they say who may speak, not what was decided.

ALTER TABLE campaigns ADD COLUMN owner TEXT NOT NULL DEFAULT '';

CREATE TABLE tokens (
    id         INTEGER PRIMARY KEY,
    role       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE TABLE worker_holders (
    worker     TEXT    PRIMARY KEY,
    holder     TEXT    NOT NULL,
    claimed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
