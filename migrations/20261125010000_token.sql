-- When a token was used last, to the minute.
ALTER TABLE token ADD COLUMN used_at timestamptz;
CREATE INDEX token_account ON token (account_id) WHERE account_id IS NOT NULL;
