-- A release that a ladder of packaged kernels and source archives has: a commit of its mirror that
-- describes it, and the commit that holds it once somebody needed it.
CREATE TABLE release (
    tree_id bigint NOT NULL REFERENCES tree ON DELETE CASCADE,
    -- The commit that describes it.
    rev text NOT NULL,
    version text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('packaged', 'source')),
    wanted_at timestamptz,
    -- The commit that holds its packages or its source.
    made text,
    failures int NOT NULL DEFAULT 0,
    why text NOT NULL DEFAULT '',
    PRIMARY KEY (tree_id, rev)
);
CREATE INDEX release_wanted ON release (wanted_at) WHERE wanted_at IS NOT NULL AND made IS NULL;
