-- A matrix of cases and releases: one job of each suite, and those that look into its changes.
CREATE TABLE survey (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    -- firstbad_api::survey::NewSurvey
    request jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Changes that are to be looked into without being asked; counted down.
    bisect int NOT NULL
);
ALTER TABLE job
    ADD COLUMN survey bigint REFERENCES survey ON DELETE SET NULL,
    -- What it looks into: suite, case or metric, and the releases; NULL: it is one of the survey's own.
    ADD COLUMN survey_edge text;
CREATE INDEX job_survey ON job (survey);
