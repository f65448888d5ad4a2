-- Who signs in with an identity provider is known by what that says: its issuer and a subject there,
-- never by a name or an address of mail, which can go to somebody else.
ALTER TABLE account
    ADD COLUMN issuer text,
    ADD COLUMN subject text,
    ADD CHECK ((issuer IS NULL) = (subject IS NULL)),
    ADD CHECK (issuer IS NULL OR password IS NULL),
    ADD UNIQUE (issuer, subject);

-- Sign-ins that went to the provider and have not come back.
CREATE TABLE sign_in (
    -- SHA-256 of the cookie, which has 256 random bits.
    hash bytea PRIMARY KEY,
    next text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
