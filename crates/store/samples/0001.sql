-- Rows of every table as an installation at schema version 1 holds them. Loaded by a test after the newest migrations
-- would have to carry them over; never loaded anywhere else.

INSERT INTO organisations (id, name, created_at, updated_at)
VALUES ('01930000-0000-7000-8000-000000000001', 'Muster & Söhne', '2026-11-01 08:00+00', '2026-11-01 08:00+00');

INSERT INTO users (id, source, external_id, name, address, address_key, track_option, created_at, updated_at) VALUES
    ('01930000-0000-7000-8000-000000000010', 'crm', 'U-1', 'Anna Muster', 'Anna@muster.example', 'anna@muster.example', 'all', '2026-11-01 08:00+00', '2026-11-01 08:00+00'),
    ('01930000-0000-7000-8000-000000000011', NULL, NULL, 'Bert', 'bert@muster.example', 'bert@muster.example', 'in-response', '2026-11-01 08:00+00', '2026-11-01 08:00+00');

INSERT INTO queues (id, name, address, address_key, owner_user_id, created_at, updated_at)
VALUES ('01930000-0000-7000-8000-000000000020', 'Support', 'support@muster.example', 'support@muster.example', '01930000-0000-7000-8000-000000000010', '2026-11-01 08:00+00', '2026-11-01 08:00+00');

INSERT INTO people (id, kind, name, address, address_key, owner_user_id, created_at, updated_at) VALUES
    ('01930000-0000-7000-8000-000000000030', 'contact', 'Carla Kunde', 'carla@kunde.example', 'carla@kunde.example', '01930000-0000-7000-8000-000000000010', '2026-11-01 08:00+00', '2026-11-01 08:00+00'),
    ('01930000-0000-7000-8000-000000000031', 'lead', '渡辺', NULL, NULL, NULL, '2026-11-01 08:00+00', '2026-11-01 08:00+00');

INSERT INTO email_server_profiles (id, name, incoming_protocol, incoming_host, incoming_port, incoming_tls, incoming_auth,
    outgoing_protocol, outgoing_host, outgoing_port, outgoing_tls, outgoing_auth, credentials, slot_opened_at, created_at, updated_at)
VALUES ('01930000-0000-7000-8000-000000000040', 'Hosted mail', 'pop3', 'pop.example', 995, 'implicit', 'auto',
    'smtp', 'smtp.example', 465, 'implicit', 'plain', 'mailbox', '2026-11-01 08:01+00', '2026-11-01 08:00+00', '2026-11-01 08:00+00');

INSERT INTO mailboxes (id, name, profile_id, owner_user_id, owner_queue_id, address, address_key, address_status,
    incoming_method, outgoing_method, allow_credentials, login, sealed_secret, login_key, incoming_test, outgoing_test,
    incoming_enabled, outgoing_enabled, delete_after_processing, created_at, updated_at) VALUES
    ('01930000-0000-7000-8000-000000000050', 'Anna', '01930000-0000-7000-8000-000000000040', '01930000-0000-7000-8000-000000000010', NULL,
     'anna@muster.example', 'anna@muster.example', 'approved', 'server-side', 'server-side', true, 'anna', '\x0100', 'pop3:pop.example:995:anna',
     'success', 'success', true, true, false, '2026-11-01 08:00+00', '2026-11-01 08:00+00'),
    ('01930000-0000-7000-8000-000000000051', 'Support', '01930000-0000-7000-8000-000000000040', NULL, '01930000-0000-7000-8000-000000000020',
     'support@muster.example', 'support@muster.example', 'pending', 'server-side', 'none', true, 'support', '\x0100', 'pop3:pop.example:995:support',
     'failure', 'not-run', false, false, true, '2026-11-01 08:00+00', '2026-11-01 08:00+00'),
    ('01930000-0000-7000-8000-000000000052', 'Bert', NULL, '01930000-0000-7000-8000-000000000011', NULL,
     'bert@muster.example', 'bert@muster.example', 'rejected', 'none', 'none', false, NULL, NULL, NULL,
     'not-run', 'not-run', false, false, false, '2026-11-01 08:00+00', '2026-11-01 08:00+00');

INSERT INTO lanes (mailbox_id, lane, version, cursor, touching) VALUES
    ('01930000-0000-7000-8000-000000000050', 'incoming', 7, '\x01020304', NULL),
    ('01930000-0000-7000-8000-000000000051', 'incoming', 1, '', '\x55494431');

INSERT INTO lane_schedules (mailbox_id, lane, profile_id, enabled, due_at, generation, claimed_until, claims, fault_code, fault_class, fault_message, fault_at, disabled_code) VALUES
    ('01930000-0000-7000-8000-000000000050', 'incoming', '01930000-0000-7000-8000-000000000040', true, '2026-11-01 09:00+00', 12, '2026-11-01 09:01+00', 1, NULL, NULL, NULL, NULL, NULL),
    ('01930000-0000-7000-8000-000000000051', 'incoming', '01930000-0000-7000-8000-000000000040', false, '2026-11-01 09:00+00', 3, NULL, 0, 'LoginRefused', 'auth', '-ERR no', '2026-11-01 08:55+00', 'LoginRefused');

INSERT INTO chunks (digest, data, touched_at) VALUES
    ('\x5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9', '\x30', '2026-11-01 08:10+00');
INSERT INTO contents (digest, size_bytes, touched_at) VALUES
    ('\x5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9', 1, '2026-11-01 08:10+00'),
    ('\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 0, '2026-11-01 08:10+00');
INSERT INTO content_chunks (content_digest, position, chunk_digest) VALUES
    ('\x5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9', 0, '\x5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9');

INSERT INTO emails (id, direction, status, subject, message_id, sent_at, received_at, body_text, size_bytes, identity,
    identity_ordinal, owner_user_id, accepting_kind, accepting_id, receiving_mailbox_id, raw_digest, unparsable, created_at, updated_at) VALUES
    ('01930000-0000-7000-8000-000000000060', 'incoming', 'received', 'Anfrage', 'a1@kunde.example', '2026-11-01 08:05+00', '2026-11-01 08:10+00',
     'Guten Tag', 512, '\x11', 0, '01930000-0000-7000-8000-000000000010', 'user', '01930000-0000-7000-8000-000000000010',
     '01930000-0000-7000-8000-000000000050', NULL, NULL, '2026-11-01 08:10+00', '2026-11-01 08:10+00'),
    ('01930000-0000-7000-8000-000000000061', 'incoming', 'received', '', '00ff@surrogate.invalid', NULL, '2026-11-01 08:10+00',
     NULL, 1, '\x11', 1, '01930000-0000-7000-8000-000000000010', 'user', '01930000-0000-7000-8000-000000000010',
     '01930000-0000-7000-8000-000000000050', '\x5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9', 'NoHeader',
     '2026-11-01 08:10+00', '2026-11-01 08:10+00');
INSERT INTO emails (id, direction, status, subject, message_id, in_reply_to, body_html, from_mailbox_id, correlated_email_id, parent_email_id, correlation_method, created_at, updated_at)
VALUES ('01930000-0000-7000-8000-000000000062', 'outgoing', 'pending-send', 'AW: Anfrage', 'b1@muster.example', '{a1@kunde.example}', '<p>Gern</p>',
    '01930000-0000-7000-8000-000000000050', '01930000-0000-7000-8000-000000000060', '01930000-0000-7000-8000-000000000060', 'in-reply-to',
    '2026-11-01 08:20+00', '2026-11-01 08:20+00');

INSERT INTO email_parties (email_id, position, role, name, address, address_key, record_kind, record_id) VALUES
    ('01930000-0000-7000-8000-000000000060', 0, 'from', 'Carla', 'carla@kunde.example', 'carla@kunde.example', 'contact', '01930000-0000-7000-8000-000000000030'),
    ('01930000-0000-7000-8000-000000000060', 1, 'to', '', 'anna@muster.example', 'anna@muster.example', 'user', '01930000-0000-7000-8000-000000000010'),
    ('01930000-0000-7000-8000-000000000062', 0, 'from', 'Anna', 'anna@muster.example', 'anna@muster.example', NULL, NULL),
    ('01930000-0000-7000-8000-000000000062', 1, 'to', '', 'carla@kunde.example', 'carla@kunde.example', NULL, NULL);

INSERT INTO email_attachments (id, email_id, position, name, media_type, size_bytes, content_digest, content_id, inline, left_out) VALUES
    ('01930000-0000-7000-8000-000000000070', '01930000-0000-7000-8000-000000000060', 0, 'null.txt', 'text/plain', 1, '\x5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9', 'null@kunde', true, NULL),
    ('01930000-0000-7000-8000-000000000071', '01930000-0000-7000-8000-000000000060', 1, 'setup.exe', 'application/octet-stream', 4096, NULL, NULL, false, 'blocked');

INSERT INTO email_mailboxes (email_id, mailbox_id, remote_key, linked_at)
VALUES ('01930000-0000-7000-8000-000000000060', '01930000-0000-7000-8000-000000000050', '\x55494431', '2026-11-01 08:10+00');

INSERT INTO remote_items (mailbox_id, remote_key, fingerprint, size_bytes, disposition, reason, email_id, delete_wanted, attempts, next_attempt_at, seen_at) VALUES
    ('01930000-0000-7000-8000-000000000050', '\x55494431', '\x22', 512, 'tracked', NULL, '01930000-0000-7000-8000-000000000060', false, 0, NULL, '2026-11-01 08:10+00'),
    ('01930000-0000-7000-8000-000000000050', '\x55494432', NULL, 9, 'refused', 'NoRecipientMatch', NULL, false, 0, NULL, '2026-11-01 08:10+00'),
    ('01930000-0000-7000-8000-000000000051', '\x55494433', NULL, 9, 'quarantined', 'ItemUnavailable', NULL, false, 2, '2026-11-01 09:10+00', '2026-11-01 08:10+00');

INSERT INTO deliveries (email_id, mailbox_id, state, attempt, due_at, run_id, message_id, dated_at, fault_code, fault_class, fault_message, created_at, updated_at)
VALUES ('01930000-0000-7000-8000-000000000062', '01930000-0000-7000-8000-000000000050', 'retry', 1, '2026-11-01 08:25+00',
    '01930000-0000-7000-8000-000000000080', 'b1@muster.example', '2026-11-01 08:20+00', 'Greylisted', 'transient', '451 later', '2026-11-01 08:20+00', '2026-11-01 08:21+00');
INSERT INTO delivery_recipients (email_id, address, state, reply)
VALUES ('01930000-0000-7000-8000-000000000062', 'carla@kunde.example', 'pending', '451 later');

INSERT INTO operations (id, kind, arguments, state, due_at, generation, requested_by, created_at)
VALUES ('01930000-0000-7000-8000-000000000090', 'test-and-enable-mailbox', '{"mailbox": "01930000-0000-7000-8000-000000000051"}', 'pending', '2026-11-01 08:30+00', 2, 'administrator', '2026-11-01 08:30+00');

INSERT INTO operations (id, kind, arguments, state, due_at, requested_by, created_at, ended_at)
VALUES ('01930000-0000-7000-8000-0000000000f0', 'deliver-webhooks', '{"endpoint": "01930000-0000-7000-8000-0000000000f0"}', 'done', '2026-11-01 08:30+00', 'administrator', '2026-11-01 08:30+00', '2026-11-01 08:30+00');
INSERT INTO webhook_endpoints (id, name, url, record_kinds, sealed_secret, previous_sealed_secret, previous_valid_until, epoch, position, failures, failing_since, last_status, last_error, created_at, updated_at)
VALUES ('01930000-0000-7000-8000-0000000000f0', 'crm', 'https://crm.example/hooks', '{email,contact}', '\x55', '\x66', '2026-11-02 08:30+00',
    '01930000-0000-7000-8000-0000000000b0', 1, 2, '2026-11-01 08:35+00', 503, '503 Service Unavailable', '2026-11-01 08:30+00', '2026-11-01 08:30+00');

INSERT INTO alerts (id, key, code, severity, scope, mailbox_id, parameters, occurrences, first_at, last_at, resolved_at) VALUES
    ('01930000-0000-7000-8000-0000000000a0', 'LoginRefused/mailbox/01930000-0000-7000-8000-000000000051/incoming', 'LoginRefused', 'error', 'mailbox', '01930000-0000-7000-8000-000000000051', '{"message": "-ERR no"}', 3, '2026-11-01 08:50+00', '2026-11-01 08:55+00', NULL),
    ('01930000-0000-7000-8000-0000000000a1', 'LoginRefused/mailbox/01930000-0000-7000-8000-000000000051/incoming', 'LoginRefused', 'error', 'mailbox', '01930000-0000-7000-8000-000000000051', '{}', 1, '2026-11-01 07:50+00', '2026-11-01 07:55+00', '2026-11-01 08:00+00');

INSERT INTO queue_items (id, queue_id, email_id, entered_at)
VALUES ('01930000-0000-7000-8000-0000000000f8', '01930000-0000-7000-8000-000000000020', '01930000-0000-7000-8000-000000000060', '2026-11-01 08:10+00');

INSERT INTO feed_state (epoch, last_position) VALUES ('01930000-0000-7000-8000-0000000000b0', 1);
INSERT INTO feed_entries (position, record_kind, record_id, change, fields, record_version, changed_at) VALUES
    (1, 'email', '01930000-0000-7000-8000-000000000060', 'created', '{}', 1, '2026-11-01 08:10+00'),
    (NULL, 'email', '01930000-0000-7000-8000-000000000062', 'updated', '{status}', 2, '2026-11-01 08:21+00');

INSERT INTO audit_entries (id, done_at, actor, action, object_kind, object_id)
VALUES ('01930000-0000-7000-8000-0000000000c0', '2026-11-01 08:00+00', 'administrator', 'created', 'mailbox', '01930000-0000-7000-8000-000000000050');

INSERT INTO administrators (name, password_hash, created_at) VALUES ('administrator', '$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA', '2026-11-01 08:00+00');
INSERT INTO api_keys (id, name, role, key_hash, created_at) VALUES ('01930000-0000-7000-8000-0000000000d0', 'crm', 'service', '\x33', '2026-11-01 08:00+00');
INSERT INTO idempotency_keys (key, caller, request_hash, status, body, created_at) VALUES ('k1', 'crm', '\x44', 201, '{"id": "1"}', '2026-11-01 08:00+00');
INSERT INTO replicas (id, role, started_at, seen_at) VALUES ('01930000-0000-7000-8000-0000000000e0', 'mailbox-worker', '2026-11-01 08:00+00', '2026-11-01 08:00+00');

INSERT INTO token_counters (mailbox_id, last) VALUES ('01930000-0000-7000-8000-000000000050', 42);

INSERT INTO settings (group_name, key, value) VALUES ('email', 'idle_mailbox_maximum_backoff', 900), ('queue', 'activities_dequeued_per_event', 32);

INSERT INTO teams (id, name, created_at, updated_at) VALUES ('01930000-0000-7000-8000-000000000100', 'Support', '2026-11-01 08:00+00', '2026-11-01 08:00+00');
INSERT INTO team_members (team_id, user_id) SELECT '01930000-0000-7000-8000-000000000100', id FROM users LIMIT 1;
INSERT INTO security_roles (id, name, created_at, updated_at) VALUES ('01930000-0000-7000-8000-000000000101', 'Approver', '2026-11-01 08:00+00', '2026-11-01 08:00+00');
INSERT INTO security_role_privileges (role_id, record_kind, privilege, depth) VALUES ('01930000-0000-7000-8000-000000000101', 'organisation', 'approve-email-addresses', 'all');
INSERT INTO security_role_fields (role_id, record_kind, field, may_read, may_write) VALUES ('01930000-0000-7000-8000-000000000101', 'contact', 'address', true, false);
INSERT INTO secured_fields (record_kind, field) VALUES ('contact', 'address');
INSERT INTO user_security_roles (user_id, role_id) SELECT id, '01930000-0000-7000-8000-000000000101' FROM users LIMIT 1;
INSERT INTO team_security_roles (team_id, role_id) VALUES ('01930000-0000-7000-8000-000000000100', '01930000-0000-7000-8000-000000000101');

INSERT INTO alert_dismissals (alert_id, user_id, occurrences) VALUES ('01930000-0000-7000-8000-0000000000a0', '01930000-0000-7000-8000-000000000010', 3);

INSERT INTO activities (id, kind, owner_user_id, fields, starts_at, ends_at, created_at, updated_at) VALUES
    ('01930000-0000-7000-8000-000000000110', 'appointment', '01930000-0000-7000-8000-000000000010',
     '{"subject": "Review", "time": {"start": "2026-11-02T09:00:00", "end": "2026-11-02T10:00:00", "zone": "Europe/Berlin"}, "organiser": [{"address": "anna@muster.example"}]}',
     '2026-11-02 08:00+00', '2026-11-02 09:00+00', '2026-11-01 08:00+00', '2026-11-01 08:00+00');
INSERT INTO activity_parties (activity_id, role, address_key) VALUES ('01930000-0000-7000-8000-000000000110', 'organiser', 'anna@muster.example');

INSERT INTO synchronization_filters (id, scope, user_id, record_kind, name, expression, created_at, updated_at)
VALUES ('01930000-0000-7000-8000-000000000120', 'user', '01930000-0000-7000-8000-000000000010', 'contact', 'Köln',
    '{"attribute": "mailing_address.city", "test": "equals", "values": ["Köln"]}', '2026-11-01 08:00+00', '2026-11-01 08:00+00');

INSERT INTO links (id, mailbox_id, record_kind, record_id, owner_id, remote_key, uid, crm_fields, server_fields, settled_record, settled_remote, created_at, updated_at)
SELECT '01930000-0000-7000-8000-000000000130', id, 'appointment', '01930000-0000-7000-8000-000000000110', '01930000-0000-7000-8000-000000000010',
    '\x4141', 'uid-1', '{"subject": "Review"}', '{"subject": "Review"}', 1, 'CK1', '2026-11-01 08:00+00', '2026-11-01 08:00+00' FROM mailboxes LIMIT 1;
INSERT INTO intents (id, mailbox_id, run, stored_at, record_kind, record_id, step, planned)
SELECT '01930000-0000-7000-8000-000000000131', id, '01930000-0000-7000-8000-000000000132', '2026-11-01 08:00+00', 'task',
    '01930000-0000-7000-8000-000000000133', 'create', '{"subject": "Call back"}' FROM mailboxes LIMIT 1;
INSERT INTO item_retries (mailbox_id, folder, remote_key, attempts, next_attempt_at, code, message)
SELECT id, 'calendar', '\x4242', 1, '2026-11-01 09:00+00', 'ItemUnavailable', 'busy' FROM mailboxes LIMIT 1;
INSERT INTO lost_values (id, mailbox_id, record_kind, record_id, field, side, value, lost_at)
SELECT '01930000-0000-7000-8000-000000000134', id, 'appointment', '01930000-0000-7000-8000-000000000110', 'subject', 'server', '"Old"',
    '2026-11-01 08:00+00' FROM mailboxes LIMIT 1;

INSERT INTO mailbox_sending (mailbox_id, last_run, last_started_at, last_ended_at, last_outcome, last_worker, transient_failures, last_error_code, last_error_at, last_error_count, attempts, retried)
VALUES ('01930000-0000-7000-8000-000000000050', '01930000-0000-7000-8000-000000000130', '2026-11-01 08:20+00', '2026-11-01 08:21+00', 'retry', 'worker-1', 1, 'ConnectFailure', '2026-11-01 08:21+00', 1, 1, 1);
INSERT INTO mailbox_tests (mailbox_id, operation_id, scheduled_at, started_at, postponed_until, retries, last_worker)
VALUES ('01930000-0000-7000-8000-000000000051', '01930000-0000-7000-8000-000000000090', '2026-11-01 08:30+00', '2026-11-01 08:31+00', '2026-11-01 08:32+00', 1, 'worker-1');

INSERT INTO field_directions (record_kind, field, direction) VALUES ('contact', 'description', 'neither');

INSERT INTO questions (mailbox_id, remote_key, folder, code, about, record_kind, record_id, answers, by_hand, asked_at, look_at)
SELECT id, '\x4343', 'calendar', 'SchedulingConflict', '\x00', 'appointment', '01930000-0000-7000-8000-000000000110', '{yes,no}', false,
    '2026-11-01 08:00+00', '2026-11-01 09:00+00' FROM mailboxes LIMIT 1;

INSERT INTO activity_attachments (id, activity_id, name, media_type, size_bytes, content_digest, created_at)
VALUES ('01930000-0000-7000-8000-000000000140', '01930000-0000-7000-8000-000000000110', 'agenda.txt', 'text/plain', 1,
    '\x5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9', '2026-11-01 08:00+00');
INSERT INTO link_attachments (link_id, name, content_digest, remote_id, remote_size)
VALUES ('01930000-0000-7000-8000-000000000130', 'agenda.txt', '\x5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9', 'AT1', 1);
INSERT INTO attachment_states (link_id, record_version, remote_version) VALUES ('01930000-0000-7000-8000-000000000130', 1, 'CK1');

INSERT INTO sending_breakers (profile_id, failures, step, open_until)
SELECT id, 0, 1, '2026-11-01 08:40+00' FROM email_server_profiles LIMIT 1;
