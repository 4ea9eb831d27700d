-- Version 2: the keys of results that campaigns may take, and where a result that was taken comes from.

ALTER TABLE cambrian.tasks ADD COLUMN result_key TEXT;
ALTER TABLE cambrian.tasks ADD COLUMN cached_campaign BIGINT;
ALTER TABLE cambrian.tasks ADD COLUMN cached_ordinal BIGINT;
