-- When work of a job was last given out: the next is of another owner, and of another job.
CREATE TABLE turn (
    job_id bigint PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    owner text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX turn_owner ON turn (owner, at);
