-- What scripts/fuzz-api.sh needs besides scripts/bench-web.sql: files of the runs, what a rule saw, and
-- regressions. Run by psql, which reads the files (name and SHA-256, by tabs).
\set ON_ERROR_STOP on
BEGIN;
CREATE TEMP TABLE stored (name text, sha256 text);
\copy stored FROM pstdin
INSERT INTO artefact (attempt_id, name, sha256, bytes)
SELECT a.id, s.name, s.sha256, 10 FROM attempt a, stored s WHERE a.kind = 'test' AND s.name <> 'bzImage';
UPDATE attempt SET observation = jsonb_set(observation, '{run,image_sha256}', to_jsonb(sha256))
  FROM stored WHERE kind = 'test' AND stored.name = 'bzImage';

INSERT INTO head (rule_id, ref, rev, subject, told_by, state, verdict, job_id)
SELECT 1, 'main', r.rev, r.subject, 'fetch', 'done', CASE WHEN r.position < 58 THEN 'good' ELSE 'bad' END, 2
  FROM job_revision r WHERE r.job_id = 2 AND r.position IN (0, 57, 58, 99) ON CONFLICT DO NOTHING;
INSERT INTO regression (rule_id, tree_id, owner, private, suite, signature, ref, good_rev, bad_rev, last_rev, job_id)
SELECT 1, j.tree_id, 'token:local', id = 4, 'btrfs/smoke',
       CASE id WHEN 3 THEN '{"kind": "crash", "title": "WARNING in fake"}' ELSE '{"kind": "cases", "cases": ["scrub"]}' END::jsonb,
       'main', j.range -> 'good' ->> 0, j.range ->> 'bad', j.range ->> 'bad', j.id
  FROM job j WHERE id IN (3, 4);
INSERT INTO delivery (webhook_id, kind, job_id, body)
SELECT id, 'bisection.completed', 5, '{}' FROM webhook WHERE kind = 'standard';
COMMIT;
