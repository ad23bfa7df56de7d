-- Which alerts are shown to whom.

ALTER TABLE organisations
    ADD COLUMN alert_errors         boolean NOT NULL DEFAULT true,
    ADD COLUMN alert_warnings       boolean NOT NULL DEFAULT false,
    ADD COLUMN alert_information    boolean NOT NULL DEFAULT true,
    ADD COLUMN notify_mailbox_owner boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN organisations.alert_warnings IS
    'Levels that are switched off are raised and kept as ever, and not shown until they are switched on again.';
COMMENT ON COLUMN organisations.notify_mailbox_owner IS
    'Alerts of a profile are also shown to the owners of its mailboxes, who are asked for nothing.';

CREATE VIEW shown_alert_levels AS
    SELECT l.severity FROM organisations o
    CROSS JOIN LATERAL (VALUES ('error', o.alert_errors), ('warning', o.alert_warnings),
        ('information', o.alert_information)) AS l (severity, shown)
    WHERE l.shown;

CREATE TABLE alert_dismissals (
    alert_id    uuid NOT NULL REFERENCES alerts ON DELETE CASCADE,
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    occurrences bigint NOT NULL,
    PRIMARY KEY (alert_id, user_id)
);
CREATE INDEX alert_dismissals_by_user ON alert_dismissals (user_id);
COMMENT ON TABLE alert_dismissals IS
    'Alerts that a user has taken off the own wall; others keep them on theirs.';
COMMENT ON COLUMN alert_dismissals.occurrences IS 'Raised more often than this, it is on the wall again.';

CREATE INDEX alerts_by_mailbox ON alerts (mailbox_id, id);
CREATE INDEX alerts_by_profile ON alerts (profile_id, id) WHERE profile_id IS NOT NULL;
CREATE INDEX alerts_by_email ON alerts (email_id, id) WHERE email_id IS NOT NULL;
CREATE INDEX email_server_profiles_by_owner ON email_server_profiles (owner_user_id) WHERE owner_user_id IS NOT NULL;

CREATE FUNCTION wall_of(actor uuid, for_profile_owners text[]) RETURNS TABLE (alert_id uuid, action_asked boolean)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 50
BEGIN ATOMIC
    WITH selves AS MATERIALIZED (
        SELECT actor AS owner UNION SELECT m.team_id FROM team_members m WHERE m.user_id = actor
    ), own AS MATERIALIZED (
        SELECT m.id, m.profile_id, m.active FROM mailboxes m
        WHERE m.owner_user_id = actor AND depth_of(actor, 'mailbox', 'read') IS NOT NULL
        UNION ALL
        SELECT m.id, m.profile_id, m.active FROM queues q JOIN mailboxes m ON m.owner_queue_id = q.id
        WHERE COALESCE(q.owner_user_id, q.owner_team_id) IN (SELECT owner FROM selves)
          AND depth_of(actor, 'queue', 'read') IS NOT NULL
    ), hung (id, asked) AS (
        SELECT a.id, true FROM alerts a JOIN own ON own.id = a.mailbox_id
        UNION ALL
        SELECT a.id, true FROM alerts a JOIN emails e ON e.id = a.email_id
        WHERE COALESCE(e.owner_user_id, e.owner_team_id) IN (SELECT owner FROM selves)
          AND depth_of(actor, 'email', 'read') IS NOT NULL
        UNION ALL
        SELECT a.id, true FROM alerts a JOIN email_server_profiles p ON p.id = a.profile_id
        WHERE p.owner_user_id = actor
        UNION ALL
        SELECT a.id, false FROM alerts a
        WHERE a.profile_id IN (SELECT own.profile_id FROM own WHERE own.active)
          AND a.code <> ALL (for_profile_owners) AND (SELECT o.notify_mailbox_owner FROM organisations o)
    )
    SELECT hung.id, bool_or(hung.asked) FROM hung
    WHERE NOT EXISTS (SELECT FROM alerts a JOIN alert_dismissals d ON d.alert_id = a.id AND d.occurrences >= a.occurrences
        WHERE a.id = hung.id AND d.user_id = actor)
    GROUP BY hung.id;
END;
COMMENT ON FUNCTION wall_of IS
    'What a user is shown: alerts of the own mailbox, of those of queues that the user or a team of the user owns, of own '
    'emails and of own profiles, as far as the user may read such records at all; and, where the organisation has mailbox '
    'owners told, of the profiles of these mailboxes, on which the user is asked for nothing. Dismissed ones are not there.';

UPDATE schema_state SET version = greatest(version, 12);
