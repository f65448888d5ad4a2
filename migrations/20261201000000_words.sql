-- The list of jobs asks job_words itself, and finds half as many rows there: more commits together.
-- What older jobs have stays as good.
DROP FUNCTION jobs_with;
CREATE OR REPLACE FUNCTION note_words(of_job bigint) RETURNS void LANGUAGE sql AS $$
    DELETE FROM job_words WHERE job_id = of_job;
    INSERT INTO job_words (job_id, words)
    SELECT of_job, array_to_tsvector(words_of(own.said || ' ' || string_agg(left(r.subject, 200) || ' ' || left(r.author, 100), ' '))
                                     || array_agg('@' || r.rev))
      FROM (SELECT concat_ws(' ', j.title, t.name, j.suite_name, j.request -> 'custom' ->> 'name', j.request ->> 'bad',
                             j.request ->> 'good', left(j.request ->> 'signal', 1000)) AS said
              FROM job j JOIN tree t ON t.id = j.tree_id WHERE j.id = of_job) AS own,
           job_revision r
     WHERE r.job_id = of_job
     GROUP BY own.said, r.position / 128
$$;
