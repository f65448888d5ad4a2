-- A job that another one led to: its cases went apart, a merge is looked into, or a flip is searched.
ALTER TABLE job
    ADD COLUMN origin bigint REFERENCES job ON DELETE SET NULL,
    ADD COLUMN origin_why text NOT NULL DEFAULT '',
    -- The cases this job goes on with once its cases went apart; NULL: all that fail.
    ADD COLUMN narrowed text[],
    -- Ended, and still to be asked what other jobs it leads to.
    ADD COLUMN leads_on boolean NOT NULL DEFAULT false;
CREATE INDEX job_origin ON job (origin);
CREATE INDEX job_leads_on ON job (id) WHERE leads_on;

-- How likely each commit is the answer beforehand; all of a job's or none.
ALTER TABLE job_revision ADD COLUMN weight int CHECK (weight > 0);
ALTER TABLE job_revision ADD COLUMN merge boolean NOT NULL DEFAULT false;
-- Whether that was asked: it is once, when both ends are known.
ALTER TABLE job ADD COLUMN weighed boolean NOT NULL DEFAULT false;
