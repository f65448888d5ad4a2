-- What two neighbouring releases differ in, of a job that named one of them and could go no further:
-- firstbad_api::job::Difference.
ALTER TABLE job ADD COLUMN difference jsonb;
