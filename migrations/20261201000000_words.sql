-- The list of jobs asks job_words itself: half the time for a word that many jobs have.
DROP FUNCTION jobs_with;
