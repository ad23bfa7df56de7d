//! The routes of version 1, and their description.

mod activities;
mod alert_answers;
mod alerts;
mod api_keys;
mod audit;
mod changes;
mod document;
mod emails;
mod erasures;
mod explanations;
mod field_directions;
mod filters;
mod holder;
mod item_failures;
mod mailboxes;
mod operations;
mod organisation;
mod owners;
mod people;
mod profiles;
mod queue_items;
mod queues;
mod record_fields;
mod resource;
mod secured_fields;
mod security_roles;
mod sessions;
mod settings;
mod synchronization_history;
mod teams;
mod uploads;
mod user_rights;
mod users;
mod webhook_endpoints;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth, edge,
    state::{App, AppState},
};

/// Where version 1 lives.
pub(crate) const PREFIX: &str = "/api/v1";

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(document::read))
        .routes(routes!(sessions::create))
        .routes(routes!(organisation::read, organisation::update))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::read, users::update))
        .routes(routes!(users::find, users::put))
        .routes(routes!(user_rights::privileges))
        .routes(routes!(user_rights::give, user_rights::take))
        .merge(security_roles::routes())
        .merge(secured_fields::routes())
        .merge(teams::routes())
        .routes(routes!(queues::list, queues::create))
        .routes(routes!(queues::read, queues::update))
        .routes(routes!(queues::find, queues::put))
        .routes(routes!(queue_items::list))
        .routes(routes!(profiles::list, profiles::create))
        .routes(routes!(profiles::read, profiles::update, profiles::delete))
        .routes(routes!(profiles::test_connection))
        .routes(routes!(mailboxes::list, mailboxes::forward::create))
        .routes(routes!(mailboxes::read, mailboxes::update, mailboxes::forward::delete))
        .routes(routes!(mailboxes::actions::awaiting_approval))
        .routes(routes!(mailboxes::many::act))
        .routes(routes!(mailboxes::takeover::take_over))
        .routes(routes!(mailboxes::actions::approve))
        .routes(routes!(mailboxes::actions::reject))
        .routes(routes!(mailboxes::actions::test_and_enable))
        .routes(routes!(mailboxes::actions::agree_deletions))
        .routes(routes!(mailboxes::track::track))
        .routes(routes!(mailboxes::actions::sync_now))
        .routes(routes!(mailboxes::items::list))
        .routes(routes!(mailboxes::items::judge_again))
        .routes(routes!(mailboxes::items::release))
        .routes(routes!(mailboxes::items::drop_item))
        .routes(routes!(explanations::mailbox))
        .routes(routes!(explanations::message))
        .routes(routes!(item_failures::list))
        .routes(routes!(operations::read))
        .routes(routes!(erasures::preview))
        .routes(routes!(erasures::create))
        .merge(people::contacts::routes())
        .merge(people::accounts::routes())
        .merge(people::leads::routes())
        .merge(activities::tasks::routes())
        .merge(activities::phone_calls::routes())
        .merge(activities::letters::routes())
        .merge(activities::faxes::routes())
        .merge(activities::appointments::routes())
        .merge(activities::attachments::routes())
        .merge(activities::recurring_appointments::routes())
        .merge(activities::service_activities::routes())
        .merge(filters::routes())
        .merge(field_directions::routes())
        .merge(emails::routes())
        .routes(routes!(settings::list))
        .routes(routes!(settings::read, settings::update))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::dismiss))
        .routes(routes!(alerts::dismiss_all))
        .routes(routes!(alert_answers::answer))
        .routes(routes!(synchronization_history::list))
        .routes(routes!(changes::list))
        .routes(routes!(audit::list))
        .merge(webhook_endpoints::routes())
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::revoke))
}

/// Every route, with what holds for all of them.
pub fn router(state: Arc<AppState>) -> axum::Router {
    let (router, _) = OpenApiRouter::new().nest(PREFIX, routes()).split_for_parts();
    router
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::guard))
        .fallback(edge::not_found)
        .method_not_allowed_fallback(edge::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&state), edge::around))
        .with_state(state)
}

/// The description of the API (OpenAPI 3.1).
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, described) = OpenApiRouter::<App>::new().nest(PREFIX, routes()).split_for_parts();
    document::complete(described)
}
