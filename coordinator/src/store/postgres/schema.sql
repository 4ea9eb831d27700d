-- Version 1. The journal is the truth; the projections can be rebuilt from it. The same tables as in
-- SQLite, in a schema of their own. Instants are microseconds since 1970 UTC, spans are microseconds.
-- Keys of text compare by byte, so that rows come in the same order everywhere.

CREATE TABLE cambrian.journal (
    sequence  BIGINT PRIMARY KEY,
    at_micros BIGINT NOT NULL,
    kind      TEXT   NOT NULL,
    record    BYTEA  NOT NULL,
    checksum  BIGINT NOT NULL
);

CREATE TABLE cambrian.campaigns (
    id                 BIGINT PRIMARY KEY,
    name               TEXT   NOT NULL,
    status             TEXT   NOT NULL,
    reason             TEXT   NOT NULL DEFAULT '',
    space              TEXT   NOT NULL,
    algorithm          TEXT   NOT NULL,
    evaluations_budget BIGINT NOT NULL,
    submitted_at       BIGINT NOT NULL,
    finished_at        BIGINT,
    resolved_yaml      TEXT   NOT NULL,
    source_yaml        TEXT   NOT NULL,
    owner              TEXT   NOT NULL DEFAULT ''
);

CREATE TABLE cambrian.candidates (
    campaign       BIGINT NOT NULL,
    ordinal        BIGINT NOT NULL,
    status         TEXT   NOT NULL,
    genotype       TEXT   NOT NULL,
    canonical_hash TEXT   NOT NULL,
    origin         TEXT   NOT NULL,
    violation      DOUBLE PRECISION,
    reason         TEXT   NOT NULL DEFAULT '',
    proposed_at    BIGINT NOT NULL,
    resolved_at    BIGINT,
    PRIMARY KEY (campaign, ordinal)
);

CREATE TABLE cambrian.measurements (
    campaign     BIGINT NOT NULL,
    ordinal      BIGINT NOT NULL,
    metric       TEXT   COLLATE "C" NOT NULL,
    value        DOUBLE PRECISION NOT NULL,
    spread       DOUBLE PRECISION,
    source       TEXT   NOT NULL,
    device_class TEXT   NOT NULL,
    PRIMARY KEY (campaign, ordinal, metric)
);

CREATE TABLE cambrian.tasks (
    id             BIGINT PRIMARY KEY,
    campaign       BIGINT NOT NULL,
    ordinal        BIGINT NOT NULL,
    stage          BIGINT NOT NULL,
    status         TEXT   NOT NULL,
    attempts       BIGINT NOT NULL DEFAULT 0,
    worker         BIGINT,
    elapsed_micros BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE cambrian.workers (
    id            BIGINT  PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    connected     BOOLEAN NOT NULL,
    device_class  TEXT    NOT NULL,
    slots         BIGINT  NOT NULL,
    completed     BIGINT  NOT NULL DEFAULT 0,
    failed        BIGINT  NOT NULL DEFAULT 0,
    registered_at BIGINT  NOT NULL
);

-- No projections: who may speak.

CREATE TABLE cambrian.tokens (
    id         BIGINT PRIMARY KEY,
    role       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    hash       BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE cambrian.worker_holders (
    worker     TEXT   PRIMARY KEY,
    holder     TEXT   NOT NULL,
    claimed_at BIGINT NOT NULL
);

-- One row: which coordinator may append, until when. The unique epoch makes a change of it, and
-- nothing else, wait for FOR KEY SHARE, which an append takes: a renewal never waits for an append,
-- a take-over always does.

CREATE TABLE cambrian.leader (
    only_row    BOOLEAN     PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch       BIGINT      NOT NULL UNIQUE,
    holder      TEXT        NOT NULL,
    endpoint    TEXT        NOT NULL,
    acquired_at TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL
);

INSERT INTO cambrian.leader VALUES (true, 0, '', '', '-infinity', '-infinity');

-- Begins an append: refuses whoever is not the leader of this epoch, or is wrong about the journal's
-- end. The lock holds until the transaction ends, so a take-over comes before or after, never within.

CREATE FUNCTION cambrian.begin_append(of_epoch BIGINT, expected BIGINT) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    found_end BIGINT;
BEGIN
    PERFORM 1 FROM cambrian.leader WHERE epoch = of_epoch FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not the leader' USING ERRCODE = 'CB001';
    END IF;
    SELECT coalesce(max(sequence), 0) INTO found_end FROM cambrian.journal;
    IF found_end <> expected THEN
        RAISE EXCEPTION 'the journal ends elsewhere'
            USING ERRCODE = 'CB002', DETAIL = found_end::TEXT;
    END IF;
END
$$;
