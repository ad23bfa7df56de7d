//! What DavMail makes of the server: IMAP, CalDAV and CardDAV.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::program::{Sim, finish, python, root};

struct DavMail(Child);

impl Drop for DavMail {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ports that nobody listens on; both are held until both are known.
fn ports() -> [u16; 2] {
    let held = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn start(sim: &Sim, folder: &Path, imap: u16, dav: u16) -> DavMail {
    let found = Command::new(root().join("deploy/dev/davmail")).output().unwrap();
    assert!(found.status.success(), "no DavMail: {}", String::from_utf8_lossy(&found.stderr));
    let jar = String::from_utf8(found.stdout).unwrap();
    let log = folder.join("davmail.log");
    let settings = format!(
        "davmail.server=true\ndavmail.mode=EWS\ndavmail.url={}\ndavmail.imapPort={imap}\ndavmail.caldavPort={dav}\n\
         davmail.popPort=\ndavmail.smtpPort=\ndavmail.ldapPort=\ndavmail.bindAddress=127.0.0.1\n\
         davmail.allowRemote=false\ndavmail.disableUpdateCheck=true\ndavmail.logFilePath={}\n",
        sim.url,
        log.display()
    );
    let path = folder.join("davmail.properties");
    fs::write(&path, settings).unwrap();
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-Djava.awt.headless=true", "-jar", jar.trim()]).arg(&path).current_dir(folder);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut davmail = DavMail(child);
    let begin = Instant::now();
    while [imap, dav].iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err()) {
        assert!(davmail.0.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap_or_default());
        assert!(begin.elapsed() < Duration::from_secs(60), "DavMail does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    davmail
}

#[test]
#[ignore = "needs clients of others: make test-clients"]
fn davmail_gives_imap_caldav_and_carddav() {
    let python = python();
    let sim = Sim::start(&["--auth", "basic"]);
    let folder = tempfile::tempdir().unwrap();
    let [imap, dav] = ports();
    let _davmail = start(&sim, folder.path(), imap, dav);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/davmail.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script).env("EWS_URL", &sim.url);
    finish(command.env("DAVMAIL_IMAP", imap.to_string()).env("DAVMAIL_DAV", dav.to_string()), "davmail.py");
}
