-- Which commit a mail of a patch series became, so that its job is found by the mail.
CREATE TABLE series_patch (
    tree_id bigint NOT NULL REFERENCES tree ON DELETE CASCADE,
    rev text NOT NULL,
    -- Of `git patch-id --stable`; none of a cover letter.
    patch_id text,
    -- Without its brackets; none if the mail had none.
    message_id text
);
CREATE UNIQUE INDEX series_patch_once
    ON series_patch (tree_id, rev, coalesce(patch_id, ''), coalesce(message_id, ''));
CREATE INDEX series_patch_id ON series_patch (patch_id);
CREATE INDEX series_message_id ON series_patch (message_id);
CREATE INDEX job_revision_rev ON job_revision (rev);

-- A Patchwork is a receiver too: it is told by its own API, with a token in place of the secret.
ALTER TABLE webhook DROP CONSTRAINT webhook_kind_check;
ALTER TABLE webhook ADD CONSTRAINT webhook_kind_check
    CHECK (kind IN ('standard', 'github', 'gitlab', 'forgejo', 'patchwork'));
CREATE UNIQUE INDEX webhook_patchwork ON webhook (url) WHERE kind = 'patchwork';

-- Patches there that a job is about.
CREATE TABLE patchwork_patch (
    job_id bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    webhook_id bigint NOT NULL REFERENCES webhook ON DELETE CASCADE,
    patch bigint NOT NULL,
    PRIMARY KEY (job_id, webhook_id, patch)
);
