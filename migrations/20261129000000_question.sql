-- What a request asks, with its ends resolved: who asks the same joins the job that looks for it.
ALTER TABLE job ADD COLUMN question text;
CREATE INDEX job_question ON job (question) WHERE state IN ('queued', 'running');

-- Who asked what a job was looking for already.
CREATE TABLE requester (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    owner text NOT NULL,
    idempotency_key text,
    request_digest text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, idempotency_key)
);
CREATE INDEX requester_job ON requester (job_id);

-- Those with more are taken first.
ALTER TABLE attempt ADD COLUMN priority smallint NOT NULL DEFAULT 0;

-- Who wants to be told of one job alone.
ALTER TABLE webhook ADD COLUMN job_id bigint REFERENCES job ON DELETE CASCADE;
CREATE INDEX webhook_job ON webhook (job_id) WHERE job_id IS NOT NULL;
