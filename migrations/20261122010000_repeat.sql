-- A second run of the inputs of an exact run: is it a function of them?
CREATE TABLE repeat (
    attempt_id bigint PRIMARY KEY REFERENCES attempt ON DELETE CASCADE,
    again_id bigint NOT NULL UNIQUE REFERENCES attempt ON DELETE CASCADE,
    -- What the two runs differ in, empty when in nothing; NULL until both have ended.
    differs text
);
-- A worker that gets the attempt only if no other can take it.
ALTER TABLE attempt ADD COLUMN avoids uuid;
