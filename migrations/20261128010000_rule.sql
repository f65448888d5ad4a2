-- Trees are fetched by themselves, and what they bring is checked by rules.
ALTER TABLE tree ADD COLUMN fetch_minutes int CHECK (fetch_minutes > 0);
-- When the last fetch began; and of the last that has ended, when it did.
ALTER TABLE tree ADD COLUMN fetch_tried_at timestamptz;
ALTER TABLE tree ADD COLUMN fetch_ended_for timestamptz;

CREATE TABLE rule (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tree_id bigint NOT NULL REFERENCES tree ON DELETE CASCADE,
    name text NOT NULL,
    owner text NOT NULL CHECK (owner <> ''),
    -- firstbad_api::rule::NewRule, without the token of its status.
    rule jsonb NOT NULL,
    enabled boolean NOT NULL,
    private boolean NOT NULL,
    -- What pushes are signed with, so a hash would not do.
    secret text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Of the fetch whose heads it has seen.
    looked_at timestamptz,
    UNIQUE (tree_id, name)
);

-- What a rule has seen, so that nothing is run twice.
CREATE TABLE head (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id bigint NOT NULL REFERENCES rule ON DELETE CASCADE,
    ref text NOT NULL,
    rev text NOT NULL,
    subject text NOT NULL,
    -- Who told of it: `fetch`, `trigger`, or the service that it was pushed to.
    told_by text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL CHECK (state IN ('known', 'waiting', 'running', 'done', 'left-out')),
    verdict text CHECK (verdict IN ('good', 'bad', 'nothing')),
    why text NOT NULL DEFAULT '',
    job_id bigint REFERENCES job ON DELETE SET NULL,
    UNIQUE (rule_id, ref, rev),
    CHECK ((state = 'done') = (verdict IS NOT NULL))
);
CREATE INDEX head_open ON head (id) WHERE state IN ('waiting', 'running');
CREATE INDEX head_job ON head (job_id);

-- Pushes and triggers, so that none counts twice.
CREATE TABLE rule_call (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id bigint NOT NULL REFERENCES rule ON DELETE CASCADE,
    told_by text NOT NULL,
    -- The service's id of the message.
    delivery text,
    ref text,
    rev text,
    at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL CHECK (state IN ('waiting', 'done', 'ignored', 'failed')),
    why text NOT NULL DEFAULT '',
    head_id bigint REFERENCES head ON DELETE SET NULL,
    UNIQUE (rule_id, told_by, delivery)
);
CREATE INDEX rule_call_open ON rule_call (rule_id) WHERE state = 'waiting';

-- The rule that made it.
ALTER TABLE job ADD COLUMN rule_id bigint REFERENCES rule ON DELETE SET NULL;
CREATE INDEX job_rule ON job (rule_id, created_at) WHERE rule_id IS NOT NULL;

-- A failure that the last good head did not have.
CREATE TABLE regression (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id bigint REFERENCES rule ON DELETE SET NULL,
    tree_id bigint NOT NULL REFERENCES tree ON DELETE CASCADE,
    owner text NOT NULL,
    private boolean NOT NULL,
    suite text NOT NULL,
    -- firstbad_api::regression::Signature
    signature jsonb NOT NULL,
    ref text NOT NULL,
    good_rev text NOT NULL,
    bad_rev text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_rev text NOT NULL,
    last_seen timestamptz NOT NULL DEFAULT now(),
    -- What looks into it, or why nothing does yet.
    job_id bigint REFERENCES job ON DELETE SET NULL,
    job_why text NOT NULL DEFAULT '',
    -- firstbad_api::regression::Fix
    fix jsonb,
    -- What was known when a fix was last looked for.
    looked_for text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'fixed', 'invalid')),
    state_by text,
    state_why text
);
CREATE INDEX regression_open ON regression (rule_id) WHERE state = 'open';
CREATE INDEX regression_job ON regression (job_id);

-- How many answers there are that may name a fix.
CREATE INDEX job_done ON job (id) WHERE state = 'done' AND retracted_at IS NULL;

-- A status that is written back is a delivery of its own kind.
ALTER TABLE webhook ADD COLUMN kind text NOT NULL DEFAULT 'standard'
    CHECK (kind IN ('standard', 'github', 'gitlab', 'forgejo'));
ALTER TABLE webhook ADD COLUMN rule_id bigint UNIQUE REFERENCES rule ON DELETE CASCADE;
ALTER TABLE delivery ADD COLUMN url text;
