//! The database's last word on a value, in the words of the API: which field breaks which rule, and what to do.

use axum::http::StatusCode;

use crate::problem::Problem;

/// Unique rules: their name, the field they are about, and what to do.
const UNIQUE: &[(&str, &str, &str)] = &[
    ("email_server_profiles_name_key", "name", "another name: one email server profile has this one already"),
    (
        "email_server_profiles_one_default",
        "is_default",
        "the same once more: another profile became the default at this moment",
    ),
    ("webhook_endpoints_name_key", "name", "another name: one webhook endpoint has this one already"),
    ("teams_name_key", "name", "another name: one team has this one already, whatever its letters' case"),
    (
        "security_roles_name_key",
        "name",
        "another name: one security role has this one already, whatever its letters' case",
    ),
    ("users_address_key_key", "address", "another address: one user has this one already"),
    ("queues_address_key_key", "address", "another address: one queue has this one already"),
    ("mailboxes_address_key_key", "address", "another address: one mailbox has this one already"),
    ("mailboxes_login_key_key", "login", "another account: one mailbox has this one already, and no two share one"),
    ("users_source_external_id_key", "external_id", "another one: one user has this source and external_id already"),
    ("queues_source_external_id_key", "external_id", "another one: one queue has this source and external_id already"),
    ("people_source_external_id_key", "external_id", "another one: one record has this source and external_id already"),
    (
        "activities_kind_source_external_id_key",
        "external_id",
        "another one: one record of this kind has this source and external_id already",
    ),
    ("activity_attachments_each_once", "name", "another name or another file: the appointment has this one already"),
    (
        "synchronization_filters_name_key",
        "name",
        "another name: one filter of this scope, user and kind of record has this one already",
    ),
    (
        "synchronization_filters_one_default",
        "is_default",
        "the same once more: another template became the default at this moment",
    ),
    ("emails_source_external_id_key", "external_id", "another one: one email has this source and external_id already"),
];

/// What a word must be where the database knows the choice.
const CHOICE: &str = "one of the words that GET /api/v1/openapi.json lists for this field";
/// Whose a record may be.
const ONE_OWNER: &str = "either owner_user_id or owner_team_id";

/// Rules of values: their name, the field they are about, and what would be accepted. Requests are checked before; these
/// words are for what slipped through.
const VALUES: &[(&str, &str, &str)] = &[
    ("activities_one_owner", "owner_team_id", ONE_OWNER),
    ("activities_regarding_whole", "regarding", "a kind and an id, or neither"),
    ("activities_state_check", "state", CHOICE),
    ("api_keys_role_check", "role", CHOICE),
    ("api_keys_user_key_has_user", "user_id", "the id of a user with the role user, and nothing with others"),
    ("email_parties_record_kind_check", "record_kind", CHOICE),
    (
        "email_server_profiles_application",
        "client_id",
        "the id of an application, with a tenant_id or a token_endpoint, where credentials are server-to-server; else nothing",
    ),
    ("email_server_profiles_credentials_check", "credentials", CHOICE),
    ("email_server_profiles_incoming_auth_check", "incoming.auth", CHOICE),
    ("email_server_profiles_incoming_port_check", "incoming.port", "a whole number from 1 to 65535"),
    ("email_server_profiles_incoming_tls_check", "incoming.tls", CHOICE),
    ("email_server_profiles_located", "incoming.host", "a host, and one in outgoing.host; or use_autodiscover"),
    ("email_server_profiles_max_connections_check", "max_connections", "a whole number from 1 to 65536"),
    ("email_server_profiles_max_in_flight_check", "max_in_flight", "a whole number from 1 to 65536"),
    ("email_server_profiles_min_polling_minutes_check", "min_polling_minutes", "a whole number from 0 to 1440"),
    ("email_server_profiles_outgoing_auth_check", "outgoing.auth", CHOICE),
    ("email_server_profiles_outgoing_port_check", "outgoing.port", "a whole number from 1 to 65535"),
    ("email_server_profiles_outgoing_tls_check", "outgoing.tls", CHOICE),
    ("email_server_profiles_request_timeout_ms_check", "request_timeout_ms", "a whole number from 100 to 100000"),
    ("emails_one_owner", "owner_team_id", ONE_OWNER),
    ("emails_regarding_whole", "regarding", "a kind and an id, or neither"),
    ("emails_status_check", "status", CHOICE),
    ("emails_status_of_direction", "status", "received or canceled for an incoming email, anything but received else"),
    ("field_directions_direction_check", "direction", CHOICE),
    ("mailboxes_act_method_check", "act_method", CHOICE),
    ("mailboxes_delete_after_processing", "delete_after_processing", "false: the mailbox belongs to a user"),
    ("mailboxes_forward_reads_only", "outgoing_method", "none, and act_method none: a forward mailbox only reads"),
    ("mailboxes_incoming_method_check", "incoming_method", CHOICE),
    ("mailboxes_outgoing_method_check", "outgoing_method", CHOICE),
    ("mailboxes_verbose_logging_check", "verbose_logging", "a whole number from 0 to 100"),
    ("organisations_default_incoming_check", "default_incoming", CHOICE),
    ("organisations_default_outgoing_check", "default_outgoing", CHOICE),
    ("organisations_inactive_category_length", "inactive_category", "1 to 100 characters"),
    ("organisations_max_attachment_bytes_check", "max_attachment_bytes", "a whole number from 0 to 134217728"),
    ("organisations_max_body_bytes_check", "max_body_bytes", "a whole number from 1024 to 16777216"),
    ("organisations_max_message_bytes_check", "max_message_bytes", "a whole number from 1024 to 157286400"),
    ("organisations_process_email_using_check", "process_email_using", CHOICE),
    ("organisations_time_zone_length", "time_zone", "1 to 64 characters"),
    ("organisations_token_base_check", "token_base", "a whole number from 0 to 2147483647"),
    ("organisations_token_counter_digits_check", "token_counter_digits", "a whole number from 1 to 9"),
    ("organisations_token_prefix_check", "token_prefix", "1 to 20 characters"),
    ("organisations_token_user_digits_check", "token_user_digits", "a whole number from 1 to 10"),
    ("organisations_tracked_category_length", "tracked_category", "1 to 100 characters"),
    ("people_fields_of_contacts", "fields", "nothing: of contacts, accounts and leads only contacts have these"),
    ("people_one_owner", "owner_team_id", ONE_OWNER),
    ("queues_one_owner", "owner_team_id", ONE_OWNER),
    ("queues_track_option_check", "track_option", CHOICE),
    ("security_role_fields_check", "fields", "entries with read or write true"),
    ("security_role_privileges_depth_check", "privileges", "entries with a depth of own, team or all"),
    ("security_role_privileges_there_is_such", "privileges", "entries of a kind, privilege and depth that go together"),
    ("settings_value_check", "value", "a whole number, 0 or more"),
    ("synchronization_filters_default_templates", "is_default", "false: only templates are defaults"),
    ("synchronization_filters_expression_check", "expression", "an object"),
    ("synchronization_filters_record_kind_check", "record_kind", CHOICE),
    ("synchronization_filters_scope_check", "scope", CHOICE),
    ("synchronization_filters_whose", "user_id", "the id of a user with the scope user, and nothing with others"),
    ("users_auto_create_check", "auto_create", CHOICE),
    ("users_time_zone_length", "time_zone", "1 to 64 characters"),
    ("users_track_option_check", "track_option", CHOICE),
];

/// Rules about steps from state to state: their name, the field, and what to do. Triggers hold them, so they are no
/// constraints by the database's own lists. What a step starts from was read before; these words are for when it changed
/// since.
const STEPS: &[(&str, &str, &str)] = &[(
    "emails_status_transition",
    "status",
    "a step that this status allows: read the email again, it has another status than was expected",
)];

fn find(
    table: &'static [(&'static str, &'static str, &'static str)],
    rule: &str,
) -> Option<(&'static str, &'static str)> {
    table.iter().find(|(name, ..)| *name == rule).map(|(_, field, remedy)| (*field, *remedy))
}

/// Another record has this value already.
pub(crate) fn taken(rule: &str) -> Problem {
    match find(UNIQUE, rule) {
        Some((field, remedy)) => Problem::taken(field, remedy),
        None => Problem::conflict("taken", "Another record like this was made at this moment. Read it, or try again."),
    }
}

/// A value is not what it may be, or not what it may become.
pub(crate) fn broken(rule: &str) -> Problem {
    if let Some((field, remedy)) = find(STEPS, rule) {
        let detail = format!("The {field} of this record allows no such step. What is accepted: {remedy}.");
        return Problem::conflict("illegal-transition", detail).about(field, "transition", remedy);
    }
    match find(VALUES, rule) {
        Some((field, remedy)) => Problem::field(field, "value", remedy),
        None => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "Invalid request",
            "The values of this request do not go together. Compare them with GET /api/v1/openapi.json.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use lockstep_model::clock::SystemClock;
    use lockstep_store::{PoolOptions, Store, Vault};
    use lockstep_test_support::postgres::TestDatabase;
    use std::{sync::Arc, time::Duration};

    use super::*;

    /// Tables that only schedulers, workers and the store itself write, and rules about what no request says.
    const NOT_OF_REQUESTS: &[&str] = &[
        "activities_drafts",
        "activities_fields_object",
        "activities_kind_check",
        "activity_attachments_name_check",
        "activity_parties_role_check",
        "alerts",
        "attachment_states",
        "deliveries",
        "delivery_recipients",
        "direction_maps",
        "email_attachments",
        "feed_",
        "intents",
        "link_attachments",
        "questions",
        "item_retries",
        "lanes",
        "lane_",
        "links",
        "lost_values",
        "operations",
        "questions",
        "queue_items",
        "remote_items",
        "replicas",
        "schema_state",
        "setting_groups",
        "token_counters",
        "audit_",
        "api_keys_key_hash_key",
        "email_parties_role_check",
        "emails_accepting_kind_check",
        "emails_correlation_method_check",
        "emails_direction_check",
        "emails_identity_identity_ordinal_key",
        "mailbox_sending_outcome",
        "mailbox_tests_outcome",
        "mailboxes_act_test_check",
        "mailboxes_address_status_check",
        "mailboxes_incoming_test_check",
        "mailboxes_outgoing_test_check",
        "mailboxes_owner",
        "organisations_singleton",
        "people_fields_object",
        "people_kind_check",
        "webhook_endpoints_check",
        "webhook_endpoints_disabled_code_check",
        "webhook_endpoints_position_check",
    ];

    /// Whatever the database may refuse of what a request says, it is told in words, never by the rule's name.
    #[tokio::test]
    async fn every_rule_of_the_database_has_words() {
        let database = TestDatabase::create().await;
        let options = PoolOptions {
            max_connections: 1,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(20),
            application_name: String::new(),
        };
        let vault = Vault::new([("k".to_owned(), vec![0; 32])]).unwrap();
        let store = Store::open(database.url(), &options, Arc::new(SystemClock::default()), vault).unwrap();
        store.migrate().await.unwrap();
        let rules: Vec<(String, bool)> = sqlx::query_as(
            "SELECT c.conname::text, c.contype = 'u' FROM pg_constraint c
                 JOIN pg_namespace n ON n.oid = c.connamespace
                 WHERE n.nspname = 'public' AND c.contype IN ('u', 'c') AND c.conrelid <> 0
             UNION
             SELECT k.relname::text, true FROM pg_index i JOIN pg_class k ON k.oid = i.indexrelid
                 JOIN pg_namespace n ON n.oid = k.relnamespace
                 WHERE n.nspname = 'public' AND i.indisunique AND NOT i.indisprimary
             ORDER BY 1",
        )
        .fetch_all(database.pool())
        .await
        .unwrap();
        assert!(rules.len() > 60, "{rules:?}");
        for (rule, unique) in &rules {
            if NOT_OF_REQUESTS.iter().any(|prefix| rule.starts_with(prefix)) {
                continue;
            }
            let table = if *unique { UNIQUE } else { VALUES };
            let (field, remedy) = find(table, rule).unwrap_or_else(|| panic!("{rule} has no words"));
            assert!(!field.is_empty() && !remedy.contains(rule.as_str()), "{rule}");
        }
        let steps: Vec<String> = sqlx::query_scalar(
            "SELECT t.tgname::text FROM pg_trigger t JOIN pg_class k ON k.oid = t.tgrelid
                 JOIN pg_namespace n ON n.oid = k.relnamespace
                 WHERE n.nspname = 'public' AND NOT t.tgisinternal AND t.tgparentid = 0",
        )
        .fetch_all(database.pool())
        .await
        .unwrap();
        let broken = broken("emails_status_transition");
        assert_eq!((broken.status(), broken.errors()[0].field.as_str()), (StatusCode::CONFLICT, "status"));
        assert_eq!(steps, STEPS.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
        for (name, ..) in UNIQUE.iter().chain(VALUES) {
            assert!(rules.iter().any(|(rule, _)| rule == name), "{name} is no rule of the database");
        }
    }
}
