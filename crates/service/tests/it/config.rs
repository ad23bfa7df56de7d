//! What is said about wrong settings, and what is read from right ones.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use lockstep_service::config::{self, ConfigError, ConfigSource, HumanDuration, Listen, Secret, SecretUrl};
use lockstep_service::{
    CommonConfig, Exit, Failure, LogFilter, LogFormat, ProbesConfig, ShutdownConfig, TelemetryConfig,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    store: Store,
    #[serde(default)]
    telemetry: TelemetryConfig,
    #[serde(default)]
    probes: ProbesConfig,
    #[serde(default)]
    shutdown: ShutdownConfig,
    #[serde(default)]
    api: Option<Api>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Store {
    url: SecretUrl,
    #[serde(default = "ten")]
    max_connections: u32,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Api {
    listen: Listen,
    master_key: Secret,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    limits: BTreeMap<String, u32>,
    #[serde(default)]
    secure: bool,
}

fn ten() -> u32 {
    10
}

const URL: &str = "postgres://lockstep:hunter2@db.example:5432/lockstep?sslmode=require&password=hunter3";

struct Case {
    dir: tempfile::TempDir,
    source: ConfigSource,
}

fn case(toml: &str, env: &[(&str, &str)]) -> Case {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lockstep.toml");
    std::fs::write(&file, toml).unwrap();
    let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Case { dir, source: ConfigSource { file: Some(file), env_prefix: "LOCKSTEP".to_owned(), env } }
}

fn load(toml: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    config::load(&case(toml, env).source)
}

fn refused(toml: &str, env: &[(&str, &str)]) -> String {
    let error = load(toml, env).unwrap_err().to_string();
    assert!(!error.contains("hunter"), "a secret is in: {error}");
    error
}

fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn file_and_environment_make_the_settings() {
    let toml = format!(
        "[store]\nurl = '{URL}'\nmax_connections = 5\n[shutdown]\ngrace = '2m'\n[telemetry]\nlog_format = 'text'"
    );
    let env = [
        ("LOCKSTEP__STORE__MAX_CONNECTIONS", "7"),
        ("LOCKSTEP__API__LISTEN", "0.0.0.0:8080"),
        ("LOCKSTEP__API__MASTER_KEY", "0123"),
        ("LOCKSTEP__API__ORIGINS", "https://a.example, https://b.example"),
        ("LOCKSTEP__API__LIMITS", "{ reads = 3 }"),
        ("LOCKSTEP__API__LIMITS__WRITES", ""),
        ("LOCKSTEP__API__SECURE", "true"),
        ("LOCKSTEP__TELEMETRY__LOG_LEVEL", "warn"),
        ("LOCKSTEP_PORT", "tcp://10.0.0.1:80"),
    ];
    let settings = load(&toml, &env).unwrap();
    assert_eq!(settings.store.url.expose().as_str(), URL);
    assert_eq!(settings.store.max_connections, 7);
    assert_eq!(settings.shutdown.grace.get(), Duration::from_secs(120));
    assert_eq!(settings.telemetry.log_format, LogFormat::Text);
    assert_eq!(settings.telemetry.log_level.to_string(), "warn");
    let api = settings.api.unwrap();
    assert_eq!(api.listen.0, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(api.master_key.expose(), "0123");
    assert_eq!(api.origins, ["https://a.example", "https://b.example"]);
    assert_eq!(api.limits, BTreeMap::from([("reads".to_owned(), 3)]));
    assert!(api.secure);
}

#[test]
fn unknown_key_in_the_file_names_file_line_key_and_remedy() {
    let error = refused(&format!("[store]\nurl = '{URL}'\nmax_conections = 'hunter2'"), &[]);
    let parts = [
        "lockstep.toml line 3: `store.max_conections`",
        "remove it",
        "`max_connections`?",
        "known: url, max_connections",
    ];
    assert_says(&error, &parts);
}

#[test]
fn unknown_key_in_the_environment_names_the_variable() {
    let error = refused(
        &format!("[store]\nurl = '{URL}'"),
        &[("LOCKSTEP__STORE__POOL", "hunter2"), ("LOCKSTEP__STOR__X", "1")],
    );
    assert_says(
        &error,
        &["2 problems", "variable LOCKSTEP__STORE__POOL: `store.pool` is not a known key", "`stor` is not"],
    );
}

#[test]
fn wrong_types_name_place_expected_and_found() {
    let error = refused(&format!("[store]\nurl = '{URL}'\nmax_connections = 'many'\n[shutdown]\ngrace = true"), &[]);
    let parts = [
        "2 problems",
        "line 3: `store.max_connections` must be a whole number from 0 on (u32), but it is the text \"many\"",
        "line 5: `shutdown.grace` must be a duration such as",
        "but it is true",
    ];
    assert_says(&error, &parts);
    let error = refused(&format!("[store]\nurl = '{URL}'"), &[("LOCKSTEP__STORE__MAX_CONNECTIONS", "-1")]);
    assert_says(&error, &["variable LOCKSTEP__STORE__MAX_CONNECTIONS: `store.max_connections` must be", "\"-1\""]);
    assert_says(&refused("store = 5", &[]), &["line 1: `store` is a section with the keys url, max_connections"]);
}

#[test]
fn problems_are_collected() {
    let toml = "[store]\nmax_connections = 5\n[api]\nlisten = 'hunter2@example'\nsecure = 'x'\n[probes]\nlisten = 'nine'\nport = 1\n\
                [telemetry]\nlog_level = 'verbose'\nlog_format = 'xml'\notlp_endpoint = 'hunter2'";
    let error = refused(toml, &[("LOCKSTEP__SHUTDOWN__GRACE", "500d")]);
    let keys = [
        "`store.url` is missing",
        "`api.listen`",
        "`api.secure`",
        "`probes.listen`",
        "`probes.port`",
        "`telemetry.log_level`",
    ];
    assert_says(&error, &keys);
    assert_says(
        &error,
        &["`telemetry.log_format`", "one of json, text", "`telemetry.otlp_endpoint`", "`shutdown.grace`"],
    );
}

#[test]
fn missing_values_say_where_to_put_them() {
    let source = ConfigSource { file: None, env_prefix: "LOCKSTEP".to_owned(), env: Vec::new() };
    let error = config::load::<Settings>(&source).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
    assert_says(&error.to_string(), &["`store.url` is missing", "`url` to [store]", "set LOCKSTEP__STORE__URL"]);
    assert_eq!(Failure::from(error).exit, Exit::Config);
    assert_eq!(Exit::Config.code(), 78);
}

#[test]
fn a_broken_or_absent_file_is_named_without_quoting_it() {
    let error = refused("[store]\nurl = 'x'\npassword = hunter2 hunter2\n", &[]);
    assert_says(&error, &["lockstep.toml line 3: is not valid TOML"]);
    let source = ConfigSource {
        file: Some(PathBuf::from("/nonexistent/lockstep.toml")),
        env_prefix: "LOCKSTEP".to_owned(),
        env: Vec::new(),
    };
    let error = config::load::<Settings>(&source).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert_says(&error.to_string(), &["/nonexistent/lockstep.toml: cannot be opened", "--config or LOCKSTEP_CONFIG"]);
}

#[test]
fn secrets_come_from_files() {
    let mut case = case("[api]\nlisten = '127.0.0.1:1'\nmaster_key = 'from the file'", &[]);
    let (url, key) = (case.dir.path().join("url"), case.dir.path().join("key"));
    std::fs::write(&url, format!("{URL}\n")).unwrap();
    std::fs::write(&key, " 0123 \n").unwrap();
    case.source.env =
        vec![("LOCKSTEP__STORE__URL_FILE".into(), url.into()), ("LOCKSTEP__API__MASTER_KEY_FILE".into(), key.into())];
    let settings: Settings = config::load(&case.source).unwrap();
    assert_eq!(settings.store.url.expose().as_str(), URL);
    assert_eq!(settings.api.unwrap().master_key.expose(), "0123");
}

#[test]
fn a_secret_file_that_is_missing_empty_or_doubled_is_an_error() {
    let error = refused("[store]\nurl_file = '/nonexistent/url'", &[]);
    let parts = [
        "line 2: `store.url_file` names the file /nonexistent/url, which cannot be opened",
        "put the value of `store.url`",
    ];
    assert_says(&error, &parts);
    assert!(!error.contains("problems"), "{error}");

    let empty = tempfile::NamedTempFile::new().unwrap();
    let error = refused("", &[("LOCKSTEP__STORE__URL_FILE", empty.path().to_str().unwrap())]);
    assert_says(&error, &["variable LOCKSTEP__STORE__URL_FILE: `store.url_file` names a file that is empty"]);

    let error = refused(&format!("[store]\nurl = '{URL}'\nurl_file = 'x'"), &[]);
    assert_says(&error, &["`store.url_file` and `store.url`", "both set"]);
}

#[test]
fn contradicting_variables_are_refused() {
    let env = [("LOCKSTEP__STORE__URL", URL), ("LOCKSTEP__STORE__URL__HOST", "hunter2"), ("LOCKSTEP__", "x")];
    assert_says(&refused("", &env), &["`store.url.host` lies below a key", "LOCKSTEP__: has an empty part"]);
}

#[test]
fn secrets_do_not_print() {
    let env = [("LOCKSTEP__API__MASTER_KEY", "hunter2"), ("LOCKSTEP__API__LISTEN", "127.0.0.1:1")];
    let settings = load(&format!("[store]\nurl = '{URL}'"), &env).unwrap();
    let shown = "postgres://lockstep:[secret]@db.example:5432/lockstep?sslmode=require&password=[secret]";
    for text in [format!("{settings:?}"), config::effective(&settings).unwrap()] {
        assert!(!text.contains("hunter"), "{text}");
        assert_says(&text, &[shown, "[secret]"]);
    }
    assert_eq!(settings.store.url.to_string(), shown);
    assert_eq!(Secret::new("hunter2").to_string(), "[secret]");
    assert_eq!(SecretUrl::parse("https://token@example/x").unwrap().to_string(), "https://[secret]@example/x");
    assert_eq!(SecretUrl::parse("mailto:hunter2").unwrap().to_string(), "mailto:[secret]");
}

#[test]
fn a_secret_of_the_wrong_type_is_not_quoted() {
    let error = refused(&format!("[store]\nurl = '{URL}'\n[api]\nlisten = '127.0.0.1:1'\nmaster_key = 424242"), &[]);
    assert_says(&error, &["`api.master_key` must be a text"]);
    assert!(!error.contains("424242"), "{error}");
}

#[test]
fn durations_are_read_and_bounded() {
    let read = |text| HumanDuration::parse(text).map(HumanDuration::get);
    assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(read("30s"), Some(Duration::from_secs(30)));
    assert_eq!(read("45"), Some(Duration::from_secs(45)));
    assert_eq!(read("5m"), Some(Duration::from_secs(300)));
    assert_eq!(read("12h"), Some(Duration::from_secs(43_200)));
    for wrong in ["", "s", "-1s", "1.5h", "5 parsecs", "367d", "99999999999999999999s", "18446744073709551615d"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
    for text in ["250ms", "30s", "5m", "12h", "7d", "0ms"] {
        assert_eq!(HumanDuration::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn log_levels_are_checked() {
    for good in ["info", "warn,lockstep_queue=debug", "off", "info,lockstep[cycle]=trace"] {
        assert!(LogFilter::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "verbose", "info,", "lockstep=loud"] {
        assert!(LogFilter::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_common_sections_need_nothing() {
    let source = ConfigSource { file: None, env_prefix: "LOCKSTEP".to_owned(), env: Vec::new() };
    let common: CommonConfig = config::load(&source).unwrap();
    let default = "0.0.0.0:9090".parse().unwrap();
    assert_eq!(common.clone().with_probes_default(default).probes.address(), default);
    assert!(common.probes.address().ip().is_loopback());
    let text = config::effective(&common).unwrap();
    assert!(text.contains("log_level = \"info\"") && text.contains("grace = \"30s\""), "{text}");
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Keys {
    Off,
    Static { id: String },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vault {
    keys: Keys,
}

#[test]
fn choices_with_content_are_read_and_checked_like_sections() {
    let load = |toml: &str, env: &[(&str, &str)]| config::load::<Vault>(&case(toml, env).source);
    let fixed = Vault { keys: Keys::Static { id: "k1".to_owned() } };
    assert_eq!(load("keys = 'off'", &[]).unwrap(), Vault { keys: Keys::Off });
    assert_eq!(load("[keys.static]\nid = 'k1'", &[]).unwrap(), fixed);
    assert_eq!(load("", &[("LOCKSTEP__KEYS__STATIC__ID", "k1")]).unwrap(), fixed);
    assert_eq!(load("", &[("LOCKSTEP__KEYS", "{ static = { id = 'k1' } }")]).unwrap(), fixed);
    let error = load("[keys.static]\nid = 'k1'\nname = 'x'", &[]).unwrap_err().to_string();
    assert_says(&error, &["line 3: `keys.static.name` is not a known key"]);
    assert_says(&load("keys = 'on'", &[]).unwrap_err().to_string(), &["`keys` must be", "static"]);
    assert_says(&load("", &[]).unwrap_err().to_string(), &["`keys` is missing", "LOCKSTEP__KEYS"]);
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Demanding {
    store: Store,
    broker: Broker,
    #[serde(default)]
    api: Option<Api>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Limits")]
struct Checked(u32);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    low: u32,
    high: u32,
}

impl TryFrom<Limits> for Checked {
    type Error = &'static str;
    fn try_from(limits: Limits) -> Result<Self, Self::Error> {
        if limits.low < limits.high { Ok(Self(limits.high)) } else { Err("low must be below high") }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Broker {
    password: Secret,
    listen: Listen,
    wait: HumanDuration,
    prefetch: std::num::NonZeroU16,
    limits: Checked,
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let error = config::load::<Demanding>(&case("", &[]).source).unwrap_err();
    let keys: Vec<&str> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected =
        ["store.url", "broker.password", "broker.listen", "broker.wait", "broker.prefetch", "broker.limits.low"];
    assert_eq!(keys[..6], expected, "{error}");
    assert_eq!(keys[6..], ["broker.limits.high"], "{error}");
}

#[test]
fn a_check_over_several_keys_complains_about_what_was_written_only() {
    let toml = format!(
        "[store]\nurl = '{URL}'\n[broker]\npassword = 'x'\nlisten = '0.0.0.0:1'\nwait = 1\nprefetch = 0\n[broker.limits]\nlow = 5\n"
    );
    let load = |rest: &str| config::load::<Demanding>(&case(&format!("{toml}{rest}"), &[]).source).unwrap_err();
    let error = load("high = 3");
    assert_says(
        &error.to_string(),
        &["2 problems", "`broker.limits` low must be below high", "`broker.prefetch` must be"],
    );
    let error = load("high = 'x'");
    assert_says(&error.to_string(), &["2 problems", "`broker.limits.high` must be", "`broker.prefetch` must be"]);
    let good = toml.replace("prefetch = 0", "prefetch = 8") + "high = 9";
    let Demanding { store, broker, api } = config::load(&case(&good, &[]).source).unwrap();
    assert_eq!((store.max_connections, broker.prefetch.get(), broker.limits.0), (10, 8, 9));
    assert_eq!((broker.password.expose(), broker.wait.to_string().as_str()), ("x", "1s"));
    assert_eq!(broker.listen.0.port(), 1);
    assert!(api.is_none());
}
