-- A result that nobody should rely on.
ALTER TABLE job
    ADD COLUMN retracted_at timestamptz,
    ADD COLUMN retracted_by text,
    ADD COLUMN retracted_why text,
    ADD CHECK ((retracted_at IS NULL) = (retracted_by IS NULL)),
    ADD CHECK ((retracted_at IS NULL) = (retracted_why IS NULL)),
    ADD CHECK (retracted_at IS NULL OR ended_at IS NOT NULL);

-- Patches for the candidates of a job that could not be built or run without them, in order.
CREATE TABLE mend (
    job_id bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    number int NOT NULL,
    title text NOT NULL,
    patch text NOT NULL,
    who text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, number)
);
-- With how many of them a candidate was built.
ALTER TABLE probe ADD COLUMN mends int NOT NULL DEFAULT 0;

-- A worker that is to get no more work.
ALTER TABLE worker
    ADD COLUMN drained_at timestamptz,
    ADD COLUMN drained_by text,
    ADD CHECK ((drained_at IS NULL) = (drained_by IS NULL));

CREATE INDEX audit_job ON audit (job_id, id) WHERE job_id IS NOT NULL;
