-- A release that could not be fetched is tried again later and later. That the archive does not have it
-- is counted apart: only that says something about the release.
ALTER TABLE release
    ADD COLUMN gone int NOT NULL DEFAULT 0,
    ADD COLUMN retry_at timestamptz NOT NULL DEFAULT now();
