//! The handlers of a resource whose records are made, listed, read, changed and removed one like the other: several kinds
//! of record share functions, and each has routes and a description of its own.

/// Makes a module of handlers. `$of` is the module with `list`, `create`, `read`, `find`, `update` and `delete`, which take
/// `$kind` and ids as they are; `$rights` is what rights call it. `$query` and `$body` are
/// what is asked for and written; `$fields` and `$shown` describe what is written and answered.
macro_rules! resource {
    ($(#[$doc:meta])* $module:ident, $of:ident::{$query:ident, $body:ident, $fields:ident, $shown:ident}, $kind:expr, $rights:expr, $plural:literal,
        $path:literal, $one:literal, $by_origin:literal) => {
        $(#[$doc])*
        pub(crate) mod $module {
            use axum::{extract::State, http::StatusCode, response::Response};
            use utoipa_axum::{router::OpenApiRouter, routes};

            use crate::{
                api::$of as of,
                auth::Caller,
                extract::{Id, IfMatch, Params, Received},
                idempotent::Reply,
                merge::Patch,
                page::Page,
                problem::Problem,
                state::App,
                upsert::{Origin, OriginPath, upsert},
            };

            pub(crate) fn routes() -> OpenApiRouter<App> {
                OpenApiRouter::new()
                    .routes(routes!(list, create))
                    .routes(routes!(read, update, delete))
                    .routes(routes!(find, put))
            }

            /// Lists the records.
            #[utoipa::path(get, path = $path, tag = $plural, params(of::$query),
                responses((status = 200, description = "A page of records", body = Page<of::$shown>)))]
            async fn list(
                State(app): State<App>,
                caller: Caller,
                Params(query): Params<of::$query>,
            ) -> Result<Response, Problem> {
                of::list(&app, &caller, $kind, query).await
            }

            /// Makes a record.
            #[utoipa::path(post, path = $path, tag = $plural, request_body = of::$fields,
                params(("Idempotency-Key" = Option<String>, Header)),
                responses((status = 201, description = "The new record", body = of::$shown)))]
            async fn create(
                State(app): State<App>,
                caller: Caller,
                body: Received<of::$body>,
            ) -> Result<Reply, Problem> {
                of::create(&app, &caller, $kind, $plural, body).await
            }

            /// Reads a record.
            #[utoipa::path(get, path = $one, tag = $plural, params(("id" = Uuid, Path)),
                responses((status = 200, description = "The record", body = of::$shown)))]
            async fn read(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Response, Problem> {
                of::read(&app, &caller, $kind, id).await
            }

            /// Changes a record.
            #[utoipa::path(patch, path = $one, tag = $plural, request_body = of::$fields,
                params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
                responses((status = 200, description = "The record as it is now", body = of::$shown)))]
            async fn update(
                State(app): State<App>,
                caller: Caller,
                Id(id): Id,
                IfMatch(expected): IfMatch,
                body: Received<Patch>,
            ) -> Result<Response, Problem> {
                of::update(&app, &caller, $kind, id, expected, &body.value).await
            }

            /// Reads the record that another system knows by this id.
            #[utoipa::path(get, path = $by_origin, tag = $plural,
                params(("source" = String, Path), ("external_id" = String, Path)),
                responses((status = 200, description = "The record", body = of::$shown)))]
            async fn find(State(app): State<App>, caller: Caller, origin: OriginPath) -> Result<Response, Problem> {
                of::find(&app, &caller, $kind, &origin).await
            }

            /// Changes the record that another system knows by this id, or makes it.
            #[utoipa::path(patch, path = $by_origin, tag = $plural, request_body = of::$fields,
                params(("source" = String, Path), ("external_id" = String, Path),
                    ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
                responses((status = 200, description = "The record as it is now", body = of::$shown),
                    (status = 201, description = "The new record", body = of::$shown),
                    (status = 412, description = "There is, or is no, such record, against If-None-Match or If-Match")))]
            async fn put(
                State(app): State<App>,
                caller: Caller,
                origin: Origin,
                IfMatch(expected): IfMatch,
                body: Received<Patch>,
            ) -> Result<Response, Problem> {
                let (app, caller) = (&app, &caller);
                let create = |body| of::create(app, caller, $kind, $plural, body);
                let update =
                    |id, patch: Patch| async move { of::update(app, caller, $kind, id, expected, &patch).await };
                upsert(app, $rights, origin, body.value, create, update).await
            }

            /// Removes a record.
            #[utoipa::path(delete, path = $one, tag = $plural,
                params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
                responses((status = 204, description = "It is gone")))]
            async fn delete(
                State(app): State<App>,
                caller: Caller,
                Id(id): Id,
                IfMatch(expected): IfMatch,
            ) -> Result<StatusCode, Problem> {
                of::delete(&app, &caller, $kind, id, expected).await
            }
        }
    };
}

pub(crate) use resource;
