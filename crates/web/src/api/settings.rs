//! Settings of the deployment, in groups. What there is, and what it may be, stands in one table of the model.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use lockstep_model::settings::{self as table, Group, Settings};
use lockstep_store::settings::{self, Written};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    again::again,
    auth::Caller,
    extract::{IfMatch, Received},
    idempotent::tagged,
    json::{clip, listed},
    merge::Patch,
    problem::Problem,
    state::App,
    validate::Check,
};

/// A setting: what it is, what it may be, and what it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingView {
    /// `email`, `act` or `queue`.
    group: &'static str,
    /// Its name in the group.
    key: &'static str,
    /// `integer`.
    r#type: &'static str,
    /// `seconds`, `days`, `times`, `items` or `deliveries`.
    unit: &'static str,
    minimum: u32,
    maximum: u32,
    /// The value where none was written; null: no limit.
    default: Option<u32>,
    /// The value in force; null: no limit.
    value: Option<u32>,
    /// What it does.
    description: &'static str,
}

/// Every setting.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsView {
    items: Vec<SettingView>,
}

/// The settings of a group.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupView {
    /// `email`, `act` or `queue`.
    group: &'static str,
    /// Each setting by its name with the value in force; null: no limit.
    #[serde(flatten)]
    values: BTreeMap<&'static str, Option<u32>>,
    /// What follows from the values that somebody should know.
    notices: Vec<String>,
    /// The ETag without its quotes.
    version: i64,
    updated_at: DateTime<Utc>,
}

impl GroupView {
    fn of(written: &Written, settings: &Settings) -> Self {
        Self {
            group: written.group.as_str(),
            values: settings.values(written.group).map(|(setting, value)| (setting.key, value)).collect(),
            notices: settings.notices(written.group),
            version: written.version,
            updated_at: written.updated_at,
        }
    }
}

fn in_force(written: &Written) -> Settings {
    let mut settings = Settings::default();
    for (key, value) in &written.values {
        settings.put(written.group, key, *value);
    }
    settings
}

/// The group a path names.
pub(crate) struct GroupName(Group);

impl FromRequestParts<App> for GroupName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &App) -> Result<Self, Problem> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        let group = named.ok().and_then(|Path(name)| name.parse().ok());
        group.map(Self).ok_or_else(|| Problem::not_found("group of settings"))
    }
}

/// Lists every setting with its limits, its default and what it does.
#[utoipa::path(get, path = "/settings", tag = "settings",
    responses((status = 200, description = "Every setting", body = SettingsView)))]
pub(crate) async fn list(State(app): State<App>) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let settings = settings::read(&mut tx).await?;
    let views = table::SETTINGS.iter().map(|setting| SettingView {
        group: setting.group.as_str(),
        key: setting.key,
        r#type: "integer",
        unit: setting.unit.as_str(),
        minimum: setting.minimum,
        maximum: setting.maximum,
        default: setting.default,
        value: settings.get(setting.group, setting.key),
        description: setting.about,
    });
    Ok(Json(SettingsView { items: views.collect() }).into_response())
}

/// Reads the settings of a group: email, act or queue.
#[utoipa::path(get, path = "/settings/{group}", tag = "settings", params(("group" = String, Path)),
    responses((status = 200, description = "The group", body = GroupView)))]
pub(crate) async fn read(State(app): State<App>, GroupName(group): GroupName) -> Result<Response, Problem> {
    let mut tx = app.store.begin().await?;
    let written = settings::group(&mut tx, group).await?;
    Ok(tagged(written.version, GroupView::of(&written, &in_force(&written))))
}

/// Changes settings of a group; null brings one back to its default. What changes counts from the next batch of work on,
/// without a restart.
#[utoipa::path(patch, path = "/settings/{group}", tag = "settings",
    request_body(content = BTreeMap<String, Option<i64>>),
    params(("group" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, description = "The group as it is now", body = GroupView)))]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    GroupName(group): GroupName,
    IfMatch(expected): IfMatch,
    body: Received<Patch>,
) -> Result<Response, Problem> {
    known(group, &body.value)?;
    again(|| async {
        let mut tx = app.store.begin().await?;
        let before = settings::lock(&mut tx, group, expected).await?;
        let (mut values, _) = body.value.apply(&before.values)?.split();
        let settings = checked(group, &values)?;
        values.retain(|key, value| !is_default(group, key, *value));
        if values == before.values {
            return Ok(tagged(before.version, GroupView::of(&before, &settings)));
        }
        let written = settings::save(&mut tx, &before, &values, &caller.actor()).await?;
        tx.commit().await?;
        Ok(tagged(written.version, GroupView::of(&written, &settings)))
    })
    .await
}

/// Every member is a setting of the group with a whole number or null.
fn known(group: Group, patch: &Patch) -> Result<(), Problem> {
    let mut check = Check::default();
    for (name, value) in patch.values() {
        match table::find(group, name) {
            None => {
                let names: Vec<_> = table::SETTINGS.iter().filter(|s| s.group == group).map(|s| s.key).collect();
                let remedy = format!("one of the settings of the group {group}: {}", listed(&names));
                check.refuse(&clip(name, 64), "unknown", remedy);
            }
            Some(setting) if !(value.is_null() || value.is_i64()) => {
                let remedy = format!(
                    "a whole number from {} to {} ({}), without quotation marks; or null for the default",
                    setting.minimum, setting.maximum, setting.unit
                );
                check.refuse(name, "type", remedy);
            }
            Some(_) => {}
        }
    }
    check.finish()
}

fn is_default(group: Group, key: &str, value: i64) -> bool {
    table::find(group, key).is_some_and(|setting| setting.default.map(i64::from) == Some(value))
}

fn checked(group: Group, values: &BTreeMap<String, i64>) -> Result<Settings, Problem> {
    table::check(group, values).or_else(|refusals| {
        let mut check = Check::default();
        for refusal in refusals {
            check.refuse(&refusal.key, refusal.rule, refusal.remedy);
        }
        check.finish()?;
        Err(Problem::internal())
    })
}
