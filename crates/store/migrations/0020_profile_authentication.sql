-- How a profile signs in, and finds its server.

-- Words of Exchange's own for how an account proves itself; those of the mail protocols do not fit it.
ALTER TABLE email_server_profiles
    DROP CONSTRAINT email_server_profiles_incoming_auth_check,
    DROP CONSTRAINT email_server_profiles_outgoing_auth_check,
    DROP CONSTRAINT email_server_profiles_credentials_check;
UPDATE email_server_profiles SET incoming_auth = 'basic'
    WHERE incoming_protocol = 'ews' AND incoming_auth IN ('login', 'plain');
UPDATE email_server_profiles SET outgoing_auth = 'basic'
    WHERE outgoing_protocol = 'ews' AND outgoing_auth IN ('login', 'plain');
ALTER TABLE email_server_profiles
    ADD CONSTRAINT email_server_profiles_incoming_auth_check
        CHECK (incoming_auth IN ('auto', 'login', 'plain', 'xoauth2', 'negotiate', 'ntlm', 'basic')),
    ADD CONSTRAINT email_server_profiles_outgoing_auth_check
        CHECK (outgoing_auth IN ('auto', 'login', 'plain', 'xoauth2', 'negotiate', 'ntlm', 'basic')),
    ADD CONSTRAINT email_server_profiles_credentials_check
        CHECK (credentials IN ('profile', 'mailbox', 'server-to-server')),
    ADD COLUMN use_autodiscover      boolean NOT NULL DEFAULT false,
    ADD COLUMN autodiscover_location text,
    ADD COLUMN incoming_path         text,
    ADD COLUMN outgoing_path         text,
    ADD COLUMN tenant_id             text,
    ADD COLUMN token_endpoint        text,
    ADD COLUMN client_id             text,
    ADD COLUMN token_scope           text,
    ADD CONSTRAINT email_server_profiles_located
        CHECK (use_autodiscover OR (incoming_host <> '' AND outgoing_host <> '')),
    ADD CONSTRAINT email_server_profiles_application
        CHECK ((credentials = 'server-to-server') = (client_id IS NOT NULL)
           AND (credentials = 'server-to-server') = (token_scope IS NOT NULL)
           AND (credentials <> 'server-to-server' OR tenant_id IS NOT NULL OR token_endpoint IS NOT NULL));
COMMENT ON COLUMN email_server_profiles.use_autodiscover IS
    'Hosts are empty; the endpoint of each mailbox is asked of Autodiscover.';
COMMENT ON COLUMN email_server_profiles.autodiscover_location IS
    'Where Autodiscover is asked first, instead of at the domain of the mailbox''s address.';
COMMENT ON COLUMN email_server_profiles.incoming_path IS
    'Path of the endpoint, where it is not the protocol''s usual one.';
COMMENT ON COLUMN email_server_profiles.sealed_secret IS
    'Password of login, or with server-to-server credentials the client secret of client_id.';

-- The account a mailbox reads with, as no other mailbox may. A profile's one account is shared by design and has none.
-- A user principal name (a@b) is one account wherever Autodiscover leads to, and whatever name its server was given;
-- other names are those of the server, or of the place where Autodiscover is asked.
CREATE FUNCTION login_key(profile email_server_profiles, login text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN profile.incoming_protocol = 'ews' AND strpos(login, '@') > 0 THEN 'ews:///' || lower(login)
        WHEN profile.use_autodiscover THEN profile.incoming_protocol || '+autodiscover://'
            || lower(COALESCE(profile.autodiscover_location, '')) || '/' || lower(login)
        ELSE profile.incoming_protocol || '://' || lower(rtrim(profile.incoming_host, '.')) || ':' || profile.incoming_port
            || '/' || lower(login)
    END;
-- Where two mailboxes already use one user principal name at servers of different names, they keep their keys.
WITH fresh AS (
    SELECT m.id, login_key(p, m.login) AS key, count(*) OVER (PARTITION BY login_key(p, m.login)) AS alike
    FROM mailboxes m JOIN email_server_profiles p ON p.id = m.profile_id
    WHERE m.login_key IS NOT NULL AND p.incoming_protocol = 'ews' AND strpos(m.login, '@') > 0
)
UPDATE mailboxes SET login_key = fresh.key FROM fresh WHERE fresh.id = mailboxes.id AND fresh.alike = 1;

UPDATE schema_state SET version = greatest(version, 20);
