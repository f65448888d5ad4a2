-- Receivers of what becomes of jobs, and what is to be sent to them: written in the transaction that
-- decides it.
CREATE TABLE webhook (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url text NOT NULL,
    -- whsec_ and the key in base64: what is sent is signed with it, so a hash would not do.
    secret text NOT NULL,
    owner text NOT NULL CHECK (owner <> ''),
    -- None: all.
    events text[] NOT NULL DEFAULT '{}',
    -- All public jobs, not only those of its owner.
    every boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled text
);

CREATE TABLE delivery (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    webhook_id bigint NOT NULL REFERENCES webhook ON DELETE CASCADE,
    kind text NOT NULL,
    job_id bigint REFERENCES job ON DELETE SET NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    tries int NOT NULL DEFAULT 0,
    status int,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Waiting: of the next try. While one is made it is a lease.
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX delivery_due ON delivery (at) WHERE state = 'waiting';
CREATE INDEX delivery_webhook ON delivery (webhook_id, created_at DESC);
