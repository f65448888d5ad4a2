-- Who may do what. A person signs in with an account and has a session for each browser.
CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('viewer', 'submitter', 'operator', 'admin')),
    -- Argon2id in PHC form.
    password text,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE session (
    -- SHA-256 of the cookie, which has 256 random bits.
    hash bytea PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX session_account ON session (account_id);

-- A token has a role as an account has, or is a worker's; one of an account can do no more than that.
ALTER TABLE token
    ADD COLUMN role text CHECK (role IN ('viewer', 'submitter', 'operator', 'admin', 'worker')),
    ADD COLUMN account_id bigint REFERENCES account ON DELETE CASCADE,
    ADD COLUMN revoked_at timestamptz;
UPDATE token SET role = CASE WHEN 'admin' = ANY (scopes) THEN 'admin'
                             WHEN 'jobs' = ANY (scopes) THEN 'submitter'
                             WHEN 'worker' = ANY (scopes) THEN 'worker' ELSE 'viewer' END;
ALTER TABLE token ALTER COLUMN role SET NOT NULL, DROP COLUMN scopes;

-- Who asked: `user:NAME` or `token:NAME`; empty before there were accounts.
ALTER TABLE job
    ADD COLUMN owner text NOT NULL DEFAULT '',
    ADD COLUMN private boolean NOT NULL
        GENERATED ALWAYS AS (coalesce((request ->> 'private')::boolean, false)) STORED,
    ADD CHECK (NOT private OR owner <> ''),
    -- Two people may think of the same key, and must not learn of each other by it.
    DROP CONSTRAINT job_idempotency_key_key,
    ADD UNIQUE (owner, idempotency_key);
ALTER TABLE survey
    ADD COLUMN owner text NOT NULL DEFAULT '',
    ADD COLUMN private boolean NOT NULL
        GENERATED ALWAYS AS (coalesce((request ->> 'private')::boolean, false)) STORED,
    ADD CHECK (NOT private OR owner <> '');
