-- How kernels of a tree are configured unless a job names a base: firstbad_api::job::JobConfig.
ALTER TABLE tree ADD COLUMN config jsonb NOT NULL DEFAULT '{}';
