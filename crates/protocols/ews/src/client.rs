//! A client of one mailbox: connection, login, and requests one after the other.

mod login;
mod upload;

use std::{fmt, time::Duration};

use bytes::Bytes;
use hyper::{
    Response,
    body::Incoming,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, SET_COOKIE, USER_AGENT},
};
use lockstep_connector::{AddressRules, BodyReader, Credentials, Deadline, TlsTrust};
use lockstep_model::{fault::Fault, fault::FaultClass, fault::FaultScope, profile::AuthMethod};

use crate::{
    codec::{
        answer, attachment,
        envelope::{self, Header},
        folder, get_item,
        id::{FolderRef, ItemId, ItemRef},
        property::Shape,
    },
    fault::{self, Refusal},
    http::{Link, Outgoing, Place},
    reply::{Content, Reply},
    tokens::Issuer,
    xml::Element,
};
use login::Scheme;

/// Most cookies kept, and the longest.
const MAX_COOKIES: usize = 16;
const MAX_COOKIE: usize = 4 * 1024;

/// What a client needs to know.
#[derive(Clone)]
pub struct Options {
    /// Where the server listens.
    pub place: Place,
    /// Whom it may be.
    pub trust: TlsTrust,
    /// Which addresses it may have.
    pub addresses: AddressRules,
    /// Who logs in; with [`AuthMethod::XOAuth2`] the secret is a bearer token.
    pub credentials: Credentials,
    /// How.
    pub auth: AuthMethod,
    /// Who gives another token when the one that the credentials hold is refused.
    pub issuer: Option<Issuer>,
    /// Whose mailbox is meant, where the account is a service's that may act for others.
    pub as_whom: Option<String>,
    /// Longest wait for the head of an answer, and for each next piece of it.
    pub patience: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("place", &self.place).field("as_whom", &self.as_whom).finish_non_exhaustive()
    }
}

/// One connection with one mailbox. It is opened again by itself when the server has closed it between requests, and
/// when an answer was not read to its end.
#[derive(Debug)]
pub struct Client {
    options: Options,
    header: Header,
    link: Option<Link>,
    scheme: Scheme,
    cookies: Vec<(String, String)>,
    /// The server has answered to somebody who was let in.
    greeted: bool,
    /// The token was replaced by a fresh one; that helps once.
    renewed: bool,
}

impl Client {
    /// Connects, logs in, and looks whether the mailbox is there.
    ///
    /// # Errors
    /// Scope `profile` for what happens before the server answers, `mailbox` for what concerns the account.
    pub async fn open(options: Options, deadline: &Deadline) -> Result<Self, Fault> {
        login::check(&options.credentials)?;
        let header = Header { as_whom: options.as_whom.clone() };
        let scheme = Scheme::of(options.auth, &options.credentials)?;
        let mut client =
            Self { options, header, link: None, scheme, cookies: Vec::new(), greeted: false, renewed: false };
        client.connect(deadline).await?;
        Ok(client)
    }

    /// Ends the connection and waits, within a bound, until it has ended.
    pub async fn close(&mut self) {
        if let Some(link) = self.link.take() {
            link.close().await;
        }
    }

    /// Gives the connection up; the next request opens another.
    pub(crate) fn give_up(&mut self) {
        self.link = None;
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Longest wait for the server.
    pub fn patience(&self) -> Duration {
        self.options.patience
    }

    /// Carries out an operation; answers with its response.
    ///
    /// # Errors
    /// What kept the operation as a whole from being carried out.
    pub async fn call(&mut self, operation: &str, deadline: &Deadline) -> Result<Element, Fault> {
        self.ask(operation, deadline).await?.response().await
    }

    /// Carries out an operation that has one response message.
    ///
    /// # Errors
    /// Outside, what kept it from being carried out; inside, what the server said no to.
    pub async fn call_one(&mut self, operation: &str, deadline: &Deadline) -> Result<Result<Element, Refusal>, Fault> {
        let response = self.call(operation, deadline).await?;
        Ok(answer::only(&response).cloned())
    }

    /// Looks whether the mailbox answers at all.
    ///
    /// # Errors
    /// That it does not.
    pub async fn look(&mut self, deadline: &Deadline) -> Result<(), Fault> {
        let reply = self.ask(&Self::question(), deadline).await?;
        self.looked(reply).await
    }

    /// A message as it travels, streamed.
    ///
    /// # Errors
    /// Scope `item` when the server will not give this one.
    pub async fn mime(&mut self, item: &ItemRef, deadline: &Deadline) -> Result<BodyReader<'_>, Fault> {
        Ok(Box::pin(self.mime_content(item, deadline).await?.reader()))
    }

    pub(crate) async fn mime_content(&mut self, item: &ItemRef, deadline: &Deadline) -> Result<Content, Fault> {
        let shape = Shape { mime: true, ..Shape::default() };
        let request = get_item::request(std::slice::from_ref(item), &shape);
        self.ask(&request, deadline).await?.content("MimeContent").await
    }

    /// The content of a file that is attached to an item, streamed.
    ///
    /// # Errors
    /// Scope `item` when the server will not give this one, or it is no file.
    pub async fn attachment(&mut self, id: &str, deadline: &Deadline) -> Result<BodyReader<'_>, Fault> {
        let reply = self.ask(&attachment::get(id), deadline).await?;
        Ok(Box::pin(reply.content("Content").await?.reader()))
    }

    /// Attaches a file to an item, streamed; answers with the attachment's id and the item's new state.
    ///
    /// # Errors
    /// Inside, what the server said no to.
    pub async fn attach(
        &mut self,
        parent: &ItemId,
        name: &str,
        content_type: &str,
        content: BodyReader<'_>,
        deadline: &Deadline,
    ) -> Result<Result<(String, ItemId), Refusal>, Fault> {
        let reply = upload::attach(self, parent, name, content_type, content, deadline).await;
        if reply.is_err() {
            self.give_up();
        }
        let response = reply?.response().await?;
        match answer::only(&response) {
            Ok(message) => {
                let made = attachment::created(message);
                made.map(Ok).ok_or_else(|| fault::violation("the server does not say what it attached"))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Sends an operation; its answer is read by the caller. A question is asked once more where the server has closed
    /// the connection between two requests, which shows only with the next.
    pub(crate) async fn ask(&mut self, operation: &str, deadline: &Deadline) -> Result<Reply, Fault> {
        let body = Bytes::from(envelope::envelope(&self.header, operation));
        let mut may_repeat = self.link.is_some();
        loop {
            self.ready(deadline).await?;
            let sent = self.begin(Outgoing::whole(body.clone()), None)?;
            match deadline.run(self.options.patience, sent).await {
                Ok(Ok(response)) => {
                    let reply = self.heard(response, deadline);
                    // Nothing was carried out for a token that has run out meanwhile.
                    if reply.status() != 401 || !self.renew(deadline).await? {
                        return Ok(reply);
                    }
                    self.give_up();
                }
                Ok(Err(error)) => {
                    self.give_up();
                    let unheard = error.is_canceled() || (is_question(operation) && error.is_incomplete_message());
                    if !(may_repeat && unheard) {
                        return Err(fault::lost(&error));
                    }
                    may_repeat = false;
                }
                Err(fault) => {
                    self.give_up();
                    return Err(fault);
                }
            }
        }
    }

    /// Makes sure that the connection is there and logged in.
    pub(crate) async fn ready(&mut self, deadline: &Deadline) -> Result<(), Fault> {
        deadline.check(fault::SOME_TIME)?;
        let patience = self.options.patience;
        if let Some(link) = &mut self.link {
            // An answer that nobody reads any more keeps the connection busy: it is given up, not waited for.
            match deadline.run(patience.min(Duration::from_secs(1)), link.is_ready()).await {
                Ok(true) => return Ok(()),
                Err(fault) if fault.code != "TimedOut" => return Err(fault),
                _ => self.link = None,
            }
        }
        self.connect(deadline).await
    }

    /// Starts a request on the connection that is open.
    pub(crate) fn begin(
        &mut self,
        body: Outgoing,
        authorization: Option<HeaderValue>,
    ) -> Result<impl Future<Output = Result<Response<Incoming>, hyper::Error>> + Send + use<>, Fault> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
            (CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8")),
            (ACCEPT, HeaderValue::from_static("text/xml")),
            (USER_AGENT, HeaderValue::from_static(concat!("Lockstep/", env!("CARGO_PKG_VERSION")))),
        ];
        let anchor = self.header.as_whom.as_deref().unwrap_or(&self.options.credentials.user);
        if anchor.contains('@')
            && let Ok(value) = HeaderValue::from_str(anchor)
        {
            headers.push((HeaderName::from_static("x-anchormailbox"), value));
        }
        if let Some(value) = authorization.or_else(|| self.scheme.header()) {
            headers.push((AUTHORIZATION, value));
        }
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        if !cookies.is_empty()
            && let Ok(value) = HeaderValue::from_str(&cookies.join("; "))
        {
            headers.push((COOKIE, value));
        }
        let link = self.link.as_mut().ok_or_else(|| fault::lost(&"it is closed"))?;
        link.send(&self.options.place, &headers, body)
    }

    /// Takes note of what the head of an answer says.
    pub(crate) fn heard(&mut self, response: Response<Incoming>, deadline: &Deadline) -> Reply {
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair =
                cookie.to_str().ok().and_then(|text| text.split(';').next()).and_then(|pair| pair.split_once('='));
            if let Some((name, value)) = pair.filter(|(name, value)| name.len() + value.len() <= MAX_COOKIE) {
                let (name, value) = (name.trim(), value.trim());
                self.cookies.retain(|(known, _)| known != name);
                if self.cookies.len() < MAX_COOKIES && !value.is_empty() {
                    self.cookies.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Reply::new(response, self.options.patience, deadline)
    }

    /// Opens the connection, without a word.
    async fn dial(&mut self, deadline: &Deadline) -> Result<(), Fault> {
        let Options { trust, addresses, place, patience, .. } = &self.options;
        self.link = Some(Link::open(trust, *addresses, place, *patience, deadline).await?);
        Ok(())
    }

    async fn connect(&mut self, deadline: &Deadline) -> Result<(), Fault> {
        self.dial(deadline).await?;
        let question = Bytes::from(envelope::envelope(&self.header, &Self::question()));
        let looked = match self.sign_in(&question, deadline).await {
            Ok(reply) => self.looked(reply).await,
            Err(fault) => Err(fault),
        };
        match looked {
            Ok(()) => {
                self.greeted = true;
                Ok(())
            }
            Err(fault) => {
                self.link = None;
                Err(if self.greeted { fault } else { fault::before_first_answer(fault) })
            }
        }
    }

    /// One request with its login, on a connection of its own, whatever kind of XML it is.
    pub(crate) async fn post(options: Options, body: String, deadline: &Deadline) -> Result<Reply, Fault> {
        login::check(&options.credentials)?;
        let scheme = Scheme::of(options.auth, &options.credentials)?;
        let header = Header::default();
        let mut client =
            Self { options, header, link: None, scheme, cookies: Vec::new(), greeted: false, renewed: false };
        client.dial(deadline).await?;
        let mut reply = client.sign_in(&Bytes::from(body), deadline).await.map_err(fault::before_first_answer)?;
        // The connection lives until its answer has been read.
        reply.keep(client.link.take());
        Ok(reply)
    }

    /// Reads the answer to the question that each connection begins with: is the inbox there?
    async fn looked(&mut self, reply: Reply) -> Result<(), Fault> {
        let response = reply.response().await?;
        let looked = answer::only(&response).map(|_| ());
        looked.map_err(|refusal| refusal.fault(FaultScope::Mailbox))
    }

    fn question() -> String {
        folder::request(&[FolderRef::Distinguished("inbox")], &Shape::default())
    }
}

/// Whether an operation changes nothing, so that it may be asked twice.
fn is_question(operation: &str) -> bool {
    ["<m:Get", "<m:Find", "<m:Sync", "<m:Resolve"].iter().any(|beginning| operation.starts_with(beginning))
}

/// A fault for an account that the server does not let in.
fn unauthorized(said: &str) -> Fault {
    fault::mailbox(FaultClass::Auth, "Unauthorized", format!("the server refused the account: {said}"))
}
