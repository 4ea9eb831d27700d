-- Version 3: how many names a holder has is counted without reading all of them, and an append names the
-- leader as well as the epoch. A copy of the database that takes over without the last transactions may
-- give an epoch again that another leader had. The function without a holder is for coordinators of
-- earlier releases, which may still lead.

CREATE INDEX worker_holders_of ON cambrian.worker_holders (holder);

CREATE FUNCTION cambrian.begin_append(of_epoch BIGINT, of_holder TEXT, expected BIGINT) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    found_end BIGINT;
BEGIN
    PERFORM 1 FROM cambrian.leader WHERE epoch = of_epoch AND holder = of_holder FOR KEY SHARE;
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
