//! Loopback ports that several tests may choose at the same moment without choosing the same one.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range the kernel gives to outgoing connections, so that nothing but a server takes one.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// A loopback port that nobody listens at and that no other test or folder of private services holds.
///
/// It is held until this process ends, in the same book that `deploy/dev/services` keeps: a file for each port that
/// names a folder; the port is free once the folder is gone.
///
/// # Panics
/// When none can be had.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let book = book();
    let start = u16::try_from(u64::from(std::process::id()) * 61 % u64::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let offset = (u32::from(start) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).unwrap_or(0);
        if reserve(&book.join(port.to_string())) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port")
}

fn book() -> PathBuf {
    let book = PathBuf::from(format!("/tmp/lockstep-ports-{}", rustix::process::geteuid().as_raw()));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&book)
        .unwrap_or_else(|error| panic!("{}: {error}", book.display()));
    book
}

fn reserve(claim: &Path) -> bool {
    if let Ok(owner) = fs::read_to_string(claim)
        && !owner.is_empty()
        && !Path::new(owner.trim_end()).is_dir()
    {
        let _ = fs::remove_file(claim);
    }
    let created = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(claim);
    created.is_ok_and(|mut file| writeln!(file, "/proc/{}", std::process::id()).is_ok())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{book, free_port};

    #[test]
    fn ports_differ_and_are_claimed_by_this_process() {
        let ports: HashSet<u16> = (0..20).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 20);
        for port in ports {
            let owner = std::fs::read_to_string(book().join(port.to_string())).unwrap();
            assert_eq!(owner.trim_end(), format!("/proc/{}", std::process::id()));
        }
    }
}
