-- What people say of a revision of a job. What is not undone counts, whatever its runs say.
CREATE TABLE mark (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    position int NOT NULL,
    mark text NOT NULL CHECK (mark IN ('good', 'bad', 'skip')),
    who text NOT NULL,
    why text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    undone_at timestamptz,
    undone_by text,
    CHECK ((undone_at IS NULL) = (undone_by IS NULL))
);
CREATE UNIQUE INDEX mark_standing ON mark (job_id, position) WHERE undone_at IS NULL;
