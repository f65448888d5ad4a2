-- What the list of jobs tells and narrows by, beside the request and the outcome: those may be megabytes.
ALTER TABLE job
    -- Where it stands (firstbad_server::db::list::Progress), and the rows that this was told from.
    ADD COLUMN progress jsonb,
    ADD COLUMN progress_of text,
    ADD COLUMN lot text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN outcome IS NULL THEN 'now'
             WHEN outcome ->> 'outcome' IN ('range', 'unresolved', 'no-good-end', 'not-reproduced') THEN 'person'
             ELSE 'answered' END) STORED,
    ADD COLUMN answer text GENERATED ALWAYS AS (outcome ->> 'outcome') STORED,
    ADD COLUMN signal text NOT NULL
        GENERATED ALWAYS AS (coalesce(request #>> '{signal,kind}', 'failure')) STORED,
    ADD COLUMN suite_name text NOT NULL GENERATED ALWAYS AS (request ->> 'suite') STORED,
    ADD COLUMN asked jsonb NOT NULL GENERATED ALWAYS AS (
        (request #- '{custom,content}')
            - '{cases,signal,config,skip,paths,only,fixups}'::text[]) STORED;
CREATE INDEX job_listed ON job (lot, id) INCLUDE (private, owner, tree_id, state, answer, signal, suite_name);

-- The words of a text. What has dots or underscores is a word, and so are its parts.
CREATE FUNCTION words_of(said text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT word), '{}')
      FROM regexp_split_to_table(lower(said), '[^[:alnum:]_.]+') AS whole,
           LATERAL (SELECT btrim(whole, '_.') AS word
                    UNION SELECT part FROM regexp_split_to_table(whole, '[_.]+') AS part) AS words
     WHERE word <> '' AND octet_length(word) <= 200
$$;

-- A query for what has all words of a text, the longer ones as beginnings; NULL: there is no word in it.
CREATE FUNCTION words_asked(said text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(asked, ' & ')::tsquery
      FROM (SELECT '(' || beginning || coalesce(' | (' || parts || ')', '')
                   || CASE WHEN word ~ '^[0-9a-f]{5,40}$' THEN ' | ''@' || word || ''':*' ELSE '' END || ')'
              FROM (SELECT btrim(whole, '_.') AS word
                      FROM regexp_split_to_table(lower(said), '[^[:alnum:]_.]+') AS whole) AS wholes,
                   LATERAL (SELECT '''' || word || '''' || CASE WHEN length(word) > 2 THEN ':*' ELSE '' END)
                        AS begun (beginning),
                   LATERAL (SELECT string_agg('''' || part || '''' || CASE WHEN length(part) > 2 THEN ':*' ELSE '' END,
                                              ' & ') FILTER (WHERE part <> '')
                              FROM regexp_split_to_table(word, '[_.]+') AS part WHERE word ~ '[_.]') AS parted (parts)
             WHERE word <> '') AS each (asked)
$$;

-- What jobs are found by: the words of a job and of some neighbouring commits of its range, and the
-- commits' ids after an @. A few commits together, so that words found together belong together.
CREATE TABLE job_words (
    job_id bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    words tsvector NOT NULL
);
CREATE INDEX job_words_job ON job_words (job_id);
CREATE INDEX job_words_words ON job_words USING gin (words);

-- The jobs that have all words of a text near each other. By the index whatever the planner thinks: it
-- knows what reading these rows costs, and not what unpacking them does.
CREATE FUNCTION jobs_with(said text) RETURNS SETOF bigint LANGUAGE sql STABLE ROWS 1000
    SET enable_seqscan = off SET enable_indexscan = off AS $$
    SELECT DISTINCT job_id FROM job_words WHERE words @@ words_asked(said)
$$;

CREATE FUNCTION note_words(of_job bigint) RETURNS void LANGUAGE sql AS $$
    DELETE FROM job_words WHERE job_id = of_job;
    INSERT INTO job_words (job_id, words)
    SELECT of_job, array_to_tsvector(words_of(own.said || ' ' || string_agg(left(r.subject, 200) || ' ' || left(r.author, 100), ' '))
                                     || array_agg('@' || r.rev))
      FROM (SELECT concat_ws(' ', j.title, t.name, j.suite_name, j.request -> 'custom' ->> 'name', j.request ->> 'bad',
                             j.request ->> 'good', left(j.request ->> 'signal', 1000)) AS said
              FROM job j JOIN tree t ON t.id = j.tree_id WHERE j.id = of_job) AS own,
           job_revision r
     WHERE r.job_id = of_job
     GROUP BY own.said, r.position / 64
$$;
SELECT note_words(id) FROM job;

-- What a worker did, for the page that counts it.
CREATE INDEX attempt_of_worker ON attempt (worker) WHERE state = 'done';
CREATE INDEX audit_infrastructure ON audit (who) WHERE what = 'infrastructure';
