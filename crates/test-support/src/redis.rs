//! A logical Redis database of its own for a test, so that it may flush without harm to others.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use url::Url;
use uuid::Uuid;

use crate::{Service, Services};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A claim outlives a crashed test for this long.
const CLAIM_SECONDS: &str = "3600";
/// Replies of a test server are small; a bound all the same.
const LONGEST_REPLY: usize = 64 * 1024 * 1024;

/// An answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No such value.
    Nil,
    /// A status or a string.
    Text(String),
    /// A number.
    Integer(i64),
    /// A list.
    List(Vec<Reply>),
}

/// A logical database nobody else uses; emptied when the value is dropped.
#[derive(Debug)]
pub struct TestRedis {
    server: Url,
    url: Url,
    number: u32,
}

impl TestRedis {
    /// Claims a database on the shared server.
    pub async fn create() -> Self {
        Self::create_on(Services::shared_with(&[Service::Redis]).await).await
    }

    /// Claims a database on the server of this set.
    pub async fn create_on(services: &Services) -> Self {
        let server: Url = services.redis_url().parse().unwrap_or_else(|error| panic!("Redis address: {error}"));
        match tokio::task::spawn_blocking(move || Self::claim(server)).await {
            Ok(Ok(this)) => this,
            Ok(Err(error)) => panic!("no Redis database: {error}"),
            Err(error) => panic!("no Redis database: {error}"),
        }
    }

    fn claim(server: Url) -> io::Result<Self> {
        let mut connection = Connection::open(&server, 0)?;
        let databases = match connection.call(&["CONFIG", "GET", "databases"])? {
            Reply::List(pair) => match pair.as_slice() {
                [_, Reply::Text(number)] => number.parse().unwrap_or(16),
                _ => 16,
            },
            _ => 16,
        };
        // Number 0 keeps the claims.
        for _ in 0..1000 {
            let number = 1 + u32::try_from(Uuid::new_v4().as_u128() % (databases - 1)).unwrap_or(0);
            let claim = connection.call(&["SET", &claim_key(number), "claimed", "NX", "EX", CLAIM_SECONDS])?;
            if claim != Reply::Nil {
                let mut url = server.clone();
                url.set_path(&number.to_string());
                let this = Self { server, url, number };
                Connection::open(&this.server, number)?.call(&["FLUSHDB"])?;
                return Ok(this);
            }
        }
        Err(io::Error::other("all logical databases are claimed"))
    }

    /// The address with the database's number.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Runs one command in the database, on a connection of its own.
    ///
    /// # Errors
    /// The server cannot be reached, or its error reply.
    pub async fn command(&self, words: &[&str]) -> io::Result<Reply> {
        let (server, number) = (self.server.clone(), self.number);
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let work = move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            Connection::open(&server, number)?.call(&words)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// Forgets everything in this database, and in no other.
    pub async fn flush(&self) {
        if let Err(error) = self.command(&["FLUSHDB"]).await {
            panic!("cannot flush Redis database {}: {error}", self.number);
        }
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        // Best effort: the claim expires, and the next owner flushes first.
        if let Ok(mut connection) = Connection::open(&self.server, self.number) {
            let _ = connection.call(&["FLUSHDB"]);
            let _ = connection.call(&["SELECT", "0"]);
            let _ = connection.call(&["DEL", &claim_key(self.number)]);
        }
    }
}

fn claim_key(number: u32) -> String {
    format!("lockstep-test:claim:{number}")
}

/// A blocking connection that speaks just enough RESP2.
struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(server: &Url, number: u32) -> io::Result<Self> {
        let address = server.socket_addrs(|| Some(6379))?;
        let first = address.first().ok_or_else(|| io::Error::other("no address"))?;
        let stream = TcpStream::connect_timeout(first, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.set_nodelay(true)?;
        let mut this = Self { stream: BufReader::new(stream) };
        if let Some(password) = server.password() {
            this.call(&["AUTH", password])?;
        }
        if number != 0 {
            this.call(&["SELECT", &number.to_string()])?;
        }
        Ok(this)
    }

    fn call(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.stream.get_mut().write_all(&request)?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| io::Error::other("the connection was closed"))?;
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => Err(io::Error::other(rest.to_owned())),
            ":" => Ok(Reply::Integer(number()?)),
            "$" => match usize::try_from(number()?) {
                Ok(length) if length <= LONGEST_REPLY => {
                    let mut text = vec![0; length + 2];
                    self.stream.read_exact(&mut text)?;
                    text.truncate(length);
                    Ok(Reply::Text(String::from_utf8_lossy(&text).into_owned()))
                }
                Ok(length) => Err(io::Error::other(format!("a reply of {length} bytes"))),
                Err(_) => Ok(Reply::Nil),
            },
            "*" => {
                let length = number()?;
                (0..length).map(|_| self.reply()).collect::<io::Result<_>>().map(Reply::List)
            }
            _ => Err(io::Error::other(format!("not RESP2: {line}"))),
        }
    }
}
