-- Version 4: how many names a holder has is counted without reading all of them.

CREATE INDEX worker_holders_of ON worker_holders (holder);
