-- Fills a database for scripts/bench-web.sh with what never ran: the fake jobs are copies of the one job
-- that there is, on slices of the commits of its tree. Run by psql, which reads the tree's
-- commits, oldest first (id, tree, author and subject, by tabs), with these variables:
--   jobs      how many jobs there are to be
--   runs      how many runs the large job (the last but one) has
\set ON_ERROR_STOP on
SET synchronous_commit = off;
SET client_min_messages = warning;
BEGIN;

CREATE TEMP TABLE fake_commit (n serial, rev text, tree_oid text, author text, subject text);
\copy fake_commit (rev, tree_oid, author, subject) FROM pstdin
CREATE INDEX ON fake_commit (n);
ANALYZE fake_commit;

CREATE TEMP TABLE fake AS
SELECT i AS id, 1 + (i * 37) % (SELECT max(n) - 200 FROM fake_commit) AS first,
       CASE WHEN i > :jobs - 40 THEN 'running' WHEN i % 20 = 0 THEN 'cancelled' ELSE 'done' END AS state,
       CASE WHEN i > :jobs - 40 THEN 'now' WHEN i % 20 = 0 THEN 'cancelled' WHEN i % 10 = 1 THEN 'not-reproduced'
            WHEN i % 10 = 2 THEN 'range' WHEN i % 20 = 3 THEN 'unresolved' ELSE 'culprit' END AS outcome
  FROM generate_series(2, :jobs) AS i;
UPDATE fake SET state = 'done', outcome = 'unresolved' WHERE id = :jobs - 1;

INSERT INTO job (id, tree_id, state, title, owner, request, range, suite, config, toolchain, toolset, qemu_version,
                 outcome, request_digest, created_at, ended_at, weighed)
OVERRIDING SYSTEM VALUE
SELECT f.id, j.tree_id, f.state::job_state,
       CASE WHEN f.id % 3 = 0 THEN j.title ELSE 'Regression ' || f.id || ' in ' || last.subject END,
       'user:fake' || f.id % 50,
       j.request || jsonb_build_object('good', jsonb_build_array('v' || f.first), 'bad', last.rev, 'private', f.id % 20 = 7,
                                       'max_runs', 100000),
       j.range || jsonb_build_object('good', jsonb_build_array(good.rev), 'bad', last.rev, 'revisions', 100, 'steps', 7),
       j.suite, j.config, 'gcc fake', 'tools fake', 'qemu fake',
       CASE f.outcome
       WHEN 'culprit' THEN jsonb_build_object('outcome', 'culprit', 'rev', culprit.rev, 'subject', culprit.subject,
                               'author', culprit.author, 'confidence', 0.9991, 'checks', '[]'::jsonb)
       WHEN 'range' THEN jsonb_build_object('outcome', 'range', 'confidence', 0.9991, 'checks', '[]'::jsonb, 'candidates',
                               jsonb_build_array(jsonb_build_object('rev', culprit.rev, 'subject', culprit.subject),
                                                 jsonb_build_object('rev', last.rev, 'subject', last.subject)))
       WHEN 'not-reproduced' THEN '{"outcome": "not-reproduced", "why": "both ends pass", "checks": []}'
       WHEN 'unresolved' THEN '{"outcome": "unresolved", "why": "the runs are used up"}'
       WHEN 'cancelled' THEN '{"outcome": "cancelled"}' END,
       'fake', now() - make_interval(hours => :jobs - f.id),
       CASE WHEN f.state <> 'running' THEN now() - make_interval(hours => :jobs - f.id - 1) END, true
  FROM fake f, job j, fake_commit good, fake_commit last, fake_commit culprit
 WHERE j.id = 1 AND good.n = f.first AND last.n = f.first + 100 AND culprit.n = f.first + 58;

INSERT INTO job_revision (job_id, position, rev, tree_oid, parents, merge, subject, author, eligible, weight)
SELECT f.id, p, c.rev, c.tree_oid, CASE WHEN p > 0 THEN ARRAY[p - 1] ELSE '{}' END, p % 10 = 9, c.subject, c.author, true, 1
  FROM fake f, generate_series(-1, 99) AS p, fake_commit c WHERE c.n = f.first + p + 1;

-- The attempts: of each job builds of both ends and of one commit between them, and two runs of each;
-- of the large job builds of 100 commits and as many runs of them as asked.
CREATE TEMP TABLE fake_attempt AS
SELECT (f.id - 2) * 9 + row_number() OVER (PARTITION BY f.id ORDER BY run, p) AS id, f.id AS job, p AS position,
       run, CASE run WHEN 0 THEN 'build' ELSE 'test' END AS kind, f.first + p + 1 AS n
  FROM fake f, unnest(ARRAY[-1, 57, 99]) AS p, generate_series(0, 2) AS run
 WHERE f.id <> :jobs - 1;
INSERT INTO fake_attempt
SELECT :jobs * 9 + row_number() OVER (ORDER BY run, p), f.id, p, run,
       CASE run WHEN 0 THEN 'build' ELSE 'test' END, f.first + p + 1
  FROM fake f, generate_series(0, 99) AS p, generate_series(0, :runs / 100) AS run
 WHERE f.id = :jobs - 1;

INSERT INTO worker (id, name, caps, seen_at)
SELECT md5('fake' || i)::uuid, 'fake-' || i,
       '{"arch": "x86_64", "cpus": 8, "memory_mib": 16384, "accel": "tcg", "accel_why": "fake", "toolchain": "gcc fake",
         "qemu_version": "qemu fake", "toolset": "tools fake", "kinds": ["build", "test"]}', now() - interval '1 hour'
  FROM generate_series(1, 20) AS i;

INSERT INTO attempt (id, kind, identity, tree_id, tree, rev, suite, seed, work, deadline_s, state, epoch, worker,
                     observation, created_at, started_at, ended_at)
OVERRIDING SYSTEM VALUE
SELECT a.id, a.kind::attempt_kind, 'fake ' || a.id, j.tree_id, j.request ->> 'tree', c.rev,
       CASE a.kind WHEN 'test' THEN 'btrfs/direct-io' END, CASE a.kind WHEN 'test' THEN a.run END,
       '{}', 600, 'done', 1, md5('fake' || 1 + a.id % 20)::uuid,
       CASE a.kind
       WHEN 'build' THEN jsonb_build_object('build', 'built', 'signature', md5(c.rev) || md5(c.tree_oid),
                             'image_sha256', md5(c.rev) || md5(c.tree_oid), 'config_sha256', repeat('c', 64),
                             'release', '6.18.0-fake', 'lost_symbols', '[]'::jsonb, 'objects_built', 3000, 'ccache_hits', 2900)
       ELSE jsonb_build_object('boot', 'up', 'end', 'power-off', 'crashes', '[]'::jsonb, 'stray_lines', 0,
                'left', '[]'::jsonb, 'console_sha256', md5(a.id::text) || md5(c.rev),
                'cases', (SELECT jsonb_agg(jsonb_build_object('case', name, 'exit', failed::int, 'duration_ms', 900 + a.id % 77,
                              'status', CASE WHEN failed THEN 'fail' ELSE 'pass' END,
                              'metrics', jsonb_build_array(jsonb_build_object('name', 'mb_s', 'value', 400 + a.id % 13,
                                                                              'unit', 'MB/s', 'better', 'higher')),
                              'tail', repeat('# a line of ' || name || ', run ' || a.run || E'\n', 8), 'dmesg', '[]'::jsonb))
                            FROM unnest(ARRAY['unaligned', 'eof', 'append', 'reread']) AS name,
                                 LATERAL (SELECT name = 'unaligned' AND a.position >= 57
                                                 AND (j.id <> :jobs - 1 OR a.id % 5 < 3)) AS f (failed)),
                'run', jsonb_build_object('image_sha256', md5(c.rev) || md5(c.tree_oid), 'initramfs_sha256', repeat('a', 64),
                           'cmdline', 'console=ttyS0 panic=-1 firstbad.fake', 'qemu_version', 'qemu fake', 'accel', 'tcg-exact',
                           'vcpus', 1, 'memory_mib', 1024, 'seed', a.run,
                           'argv', (SELECT jsonb_agg('-fake' || n || '=' || repeat('x', 20)) FROM generate_series(1, 40) AS n)))
       END, j.created_at, j.created_at, j.created_at
  FROM fake_attempt a JOIN job j ON j.id = a.job JOIN fake_commit c ON c.n = a.n;

INSERT INTO probe (job_id, position, kind, run, attempt_id, reused, reason, created_at)
SELECT a.job, a.position, a.kind::attempt_kind, a.run, a.id, false, 'splits the 100 commits left into 50 and 50',
       j.created_at + make_interval(mins => a.position + 1)
  FROM fake_attempt a JOIN job j ON j.id = a.job;
INSERT INTO stage (attempt_id, epoch, stage, duration_ms, ok, ended_at)
SELECT a.id, 1, s, 1000 + a.id % 9000, true, now()
  FROM fake_attempt a, unnest(CASE a.kind WHEN 'build' THEN ARRAY['source', 'configure', 'build', 'upload']
                                          ELSE ARRAY['boot', 'test', 'upload'] END) AS s;
INSERT INTO artefact (attempt_id, name, sha256, bytes)
SELECT id, CASE kind WHEN 'build' THEN 'bzImage' ELSE 'report' END, repeat('e', 64), 9000000 FROM fake_attempt;
INSERT INTO log (attempt_id, epoch, name)
SELECT id, 1, CASE kind WHEN 'build' THEN 'build' ELSE 'console' END FROM fake_attempt;
INSERT INTO audit (who, what, job_id) SELECT 'server', 'job ended', id FROM fake WHERE state <> 'running';

INSERT INTO survey (title, request, bisect)
SELECT 'Survey ' || i, jsonb_build_object('tree', j.request ->> 'tree', 'releases', '["v1", "v101"]'::jsonb,
                                          'suites', '["btrfs/direct-io"]'::jsonb), 0
  FROM job j, generate_series(1, 50) AS i WHERE j.id = 1;
UPDATE job SET survey = 1 + id % 50, survey_edge = CASE WHEN id > 50 THEN 'fake ' || id END WHERE id BETWEEN 2 AND 500;

SELECT setval(pg_get_serial_sequence('job', 'id'), :jobs), setval(pg_get_serial_sequence('attempt', 'id'), max(id))
  FROM fake_attempt \g /dev/null
SELECT note_words(id) FROM fake \g /dev/null
COMMIT;
VACUUM ANALYZE;
SELECT (SELECT count(*) FROM job) || ' jobs, ' || (SELECT count(*) FROM attempt) || ' attempts, '
       || (SELECT count(*) FROM job_revision) || ' revisions, '
       || pg_size_pretty(pg_database_size(current_database())) || ' in the database' AS filled \g (format=unaligned tuples_only=on)
