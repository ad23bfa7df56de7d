//! How the sections that belong to other crates are printed by `config print`.

use std::net::SocketAddr;

use serde::Serialize;

/// `[scheduler]`
#[derive(Serialize)]
#[serde(remote = "lockstep_scheduler::Config")]
pub(super) struct Scheduler {
    poll_interval_ms: u64,
    claim_lifetime_ms: u64,
    profiles_per_round: u32,
    operations_per_round: u32,
    reports_per_fold: u16,
    fold_wait_ms: u64,
    breaker_threshold: u32,
    keep_changes_days: u32,
    keep_audit_days: u32,
    keep_ended_days: u32,
}

/// `[mailbox_worker]`: of the keys all workers know, those it uses.
#[derive(Serialize)]
#[serde(remote = "lockstep_workers::Config")]
pub(super) struct MailboxWorker {
    concurrency: u16,
    lease_ttl_ms: u64,
    permit_ttl_ms: u64,
    run_budget_s: u64,
    memory_budget_mib: u32,
    item_backoff_s: u64,
    max_item_attempts: u32,
}

/// `[outgoing_worker]`
#[derive(Serialize)]
#[serde(remote = "lockstep_workers::Config")]
pub(super) struct OutgoingWorker {
    concurrency: u16,
    lease_ttl_ms: u64,
    permit_ttl_ms: u64,
    run_budget_s: u64,
    claim_lifetime_ms: u64,
    send_backoff_s: u64,
}

/// `[async_worker]`
#[derive(Serialize)]
#[serde(remote = "lockstep_workers::Config")]
pub(super) struct AsyncWorker {
    concurrency: u16,
    lease_ttl_ms: u64,
    permit_ttl_ms: u64,
    run_budget_s: u64,
}

/// `[web]`
#[derive(Serialize)]
#[serde(remote = "lockstep_web::WebConfig")]
pub(super) struct Web {
    listen: SocketAddr,
    allow_plain_connections: bool,
    trusted_proxies: Vec<ipnet::IpNet>,
    allow_credentials_over_plain_http: bool,
    #[serde(serialize_with = "Limits::serialize")]
    limits: lockstep_web::RequestLimits,
}

/// `[web.limits]`
#[derive(Serialize)]
#[serde(remote = "lockstep_web::RequestLimits")]
struct Limits {
    max_body_bytes: usize,
    max_email_body_bytes: usize,
    timeout_seconds: u64,
    upload_timeout_seconds: u64,
    max_concurrent: usize,
    max_connections: usize,
    head_timeout_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field that `Debug` shows of `config` is in one of `shown` too.
    fn assert_complete(config: &impl std::fmt::Debug, shown: &[serde_json::Value]) {
        let (debug, shown) = (format!("{config:?}"), format!("{}", serde_json::Value::from(shown)));
        let names = debug.split([' ', '{', ',']).filter_map(|word| word.strip_suffix(':'));
        for name in names {
            assert!(shown.contains(&format!("\"{name}\":")), "{name} is not printed: {shown}");
        }
    }

    #[test]
    fn every_key_of_other_crates_sections_is_printed() {
        let json = || serde_json::value::Serializer;
        let scheduler = lockstep_scheduler::Config::default();
        assert_complete(&scheduler, &[Scheduler::serialize(&scheduler, json()).unwrap()]);
        let worker = lockstep_workers::Config::default();
        let workers = [
            MailboxWorker::serialize(&worker, json()).unwrap(),
            OutgoingWorker::serialize(&worker, json()).unwrap(),
            AsyncWorker::serialize(&worker, json()).unwrap(),
        ];
        assert_complete(&worker, &workers);
        let web = lockstep_web::WebConfig::default();
        assert_complete(&web, &[Web::serialize(&web, json()).unwrap()]);
    }
}
