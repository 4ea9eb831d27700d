-- Version 3: the keys of results that campaigns may take, and where a result that was taken comes from.

ALTER TABLE tasks ADD COLUMN result_key TEXT;
ALTER TABLE tasks ADD COLUMN cached_campaign INTEGER;
ALTER TABLE tasks ADD COLUMN cached_ordinal INTEGER;
