-- One row: the identity of this database. `restore` gives it a new value, which voids every lease.
CREATE TABLE incarnation (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO incarnation DEFAULT VALUES;

CREATE TABLE token (
    id text PRIMARY KEY,
    name text NOT NULL,
    -- SHA-256 of the secret, which has 256 random bits.
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);

CREATE TABLE tree (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    url text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    fetched_at timestamptz,
    fetch_error text,
    ref_count bigint NOT NULL DEFAULT 0
);

CREATE TYPE job_state AS ENUM ('queued', 'running', 'done', 'cancelled');

CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tree_id bigint NOT NULL REFERENCES tree ON DELETE RESTRICT,
    state job_state NOT NULL DEFAULT 'queued',
    title text NOT NULL,
    -- The request as made, and what it resolved to when it was made.
    request jsonb NOT NULL,
    range jsonb NOT NULL,
    suite jsonb NOT NULL,
    config jsonb NOT NULL,
    -- Pinned from the first worker that could take the job, so that all its runs compare.
    toolchain text,
    toolset text,
    qemu_version text,
    outcome jsonb,
    idempotency_key text UNIQUE,
    request_digest text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CHECK ((state IN ('done', 'cancelled')) = (ended_at IS NOT NULL)),
    CHECK ((state IN ('done', 'cancelled')) = (outcome IS NOT NULL))
);
CREATE INDEX job_open ON job (id) WHERE state IN ('queued', 'running');

-- The range of a job: good ends at negative positions, then topological order from 0, bad end last.
CREATE TABLE job_revision (
    job_id bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    position int NOT NULL,
    rev text NOT NULL,
    tree_oid text NOT NULL,
    parents int[] NOT NULL,
    subject text NOT NULL,
    author text NOT NULL,
    eligible boolean NOT NULL,
    PRIMARY KEY (job_id, position)
);

CREATE TYPE attempt_kind AS ENUM ('build', 'test');
CREATE TYPE attempt_state AS ENUM ('ready', 'leased', 'done', 'held', 'cancelled');

-- One build of one identity, or one run of one test identity; shared by all jobs that need it.
CREATE TABLE attempt (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind attempt_kind NOT NULL,
    identity text NOT NULL,
    tree_id bigint REFERENCES tree ON DELETE SET NULL,
    tree text NOT NULL,
    rev text NOT NULL,
    suite text,
    seed bigint,
    -- firstbad_api::lease::Work
    work jsonb NOT NULL,
    deadline_s int NOT NULL,
    -- What a worker must have to take it; NULL asks for nothing.
    needs_toolchain text,
    needs_toolset text,
    needs_qemu text,
    state attempt_state NOT NULL DEFAULT 'ready',
    epoch int NOT NULL DEFAULT 0,
    worker uuid,
    lease_until timestamptz,
    leased_at timestamptz,
    stage text,
    lease_losses int NOT NULL DEFAULT 0,
    infra_failures int NOT NULL DEFAULT 0,
    infra_what text,
    observation jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    CHECK ((state = 'leased') = (lease_until IS NOT NULL)),
    CHECK ((state = 'done') = (observation IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);
-- Covers every state that could still give or already gave an answer. No index on lease_until:
-- it would make every heartbeat a non-HOT update.
CREATE UNIQUE INDEX attempt_identity ON attempt (kind, identity) WHERE state <> 'cancelled';
CREATE INDEX attempt_ready ON attempt (id) WHERE state = 'ready';
CREATE INDEX attempt_leased ON attempt (id) WHERE state = 'leased';

-- Which attempts a job asked for at which revision, and why.
CREATE TABLE probe (
    job_id bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    position int NOT NULL,
    kind attempt_kind NOT NULL,
    -- Test: run number at this revision. Build: 0.
    run int NOT NULL,
    attempt_id bigint NOT NULL REFERENCES attempt,
    reused boolean NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, position, kind, run)
);
CREATE INDEX probe_attempt ON probe (attempt_id);

CREATE TABLE stage (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    attempt_id bigint NOT NULL REFERENCES attempt ON DELETE CASCADE,
    epoch int NOT NULL,
    stage text NOT NULL,
    duration_ms bigint NOT NULL,
    ok boolean NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (attempt_id, epoch, stage)
);

CREATE TABLE artefact (
    attempt_id bigint NOT NULL REFERENCES attempt ON DELETE CASCADE,
    name text NOT NULL,
    sha256 text NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (attempt_id, name)
);
CREATE INDEX artefact_sha256 ON artefact (sha256);

CREATE TABLE log (
    attempt_id bigint NOT NULL REFERENCES attempt ON DELETE CASCADE,
    epoch int NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (attempt_id, epoch, name)
);

CREATE TABLE worker (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    caps jsonb NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- Append-only record of what happened and who asked for it.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    what text NOT NULL,
    job_id bigint,
    attempt_id bigint,
    detail jsonb NOT NULL DEFAULT '{}'
);
