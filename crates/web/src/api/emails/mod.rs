//! Emails: reading them, writing drafts, and asking for them to be sent.

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
