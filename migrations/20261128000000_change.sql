-- What commits of mirrored trees change and say, so that a change is found again in another tree.
CREATE TABLE change (
    tree_id bigint NOT NULL REFERENCES tree ON DELETE CASCADE,
    rev text NOT NULL,
    at timestamptz NOT NULL,
    title text NOT NULL,
    -- Of `git patch-id --stable`; none of a merge and of an empty commit.
    patch_id text,
    PRIMARY KEY (tree_id, rev)
);
CREATE INDEX change_rev ON change (rev);
CREATE INDEX change_patch ON change (patch_id) WHERE patch_id IS NOT NULL;
CREATE INDEX change_title ON change (md5(title)) WHERE patch_id IS NOT NULL;

-- Other commits that they name.
CREATE TABLE mention (
    tree_id bigint NOT NULL,
    rev text NOT NULL,
    how text NOT NULL CHECK (how IN ('fixes', 'reverts', 'copies')),
    -- At least twelve digits.
    named text NOT NULL,
    -- As it is written beside the id.
    title text NOT NULL,
    PRIMARY KEY (tree_id, rev, how, named),
    FOREIGN KEY (tree_id, rev) REFERENCES change ON DELETE CASCADE
);
CREATE INDEX mention_named ON mention (left(named, 12));

-- How far each tree is looked through.
CREATE TABLE looked_through (
    tree_id bigint PRIMARY KEY REFERENCES tree ON DELETE CASCADE,
    -- Of the fetch whose commits are all there.
    fetched_at timestamptz,
    -- What branches and tags named then.
    heads text[] NOT NULL DEFAULT '{}',
    commits bigint NOT NULL DEFAULT 0,
    -- Of the oldest; none when older ones were not left out.
    since timestamptz
);

-- Answers by the question that they answer.
CREATE INDEX job_answers ON job (tree_id, id DESC)
    WHERE state = 'done' AND outcome ->> 'outcome' = 'culprit' AND retracted_at IS NULL;
