//! RabbitMQ: the only file that names the AMQP library.
//!
//! A supervisor keeps two connections, one for publishing and one for consuming, so that a publisher blocked by the broker does not
//! keep acknowledgements waiting. It makes each again, with growing waits, whenever it is lost. Every target
//! exchange has a channel of its own: a broker ends a channel over one mistake, and that must not stop other queues.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt;
use lapin::{
    Acker, BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, Event, ExchangeKind,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions,
        BasicQosOptions, BasicRejectOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
    types::{AMQPValue, FieldTable, ShortString},
    uri::AMQPUri,
};
use lockstep_wire::{Queue, Role};
use tokio::{
    sync::{Mutex, Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    config::Config,
    error::{Error, PublishError},
    metrics::Metrics,
    port::{DeliveryInfo, RawDelivery, Settle, Source, Subscription},
    publish::{Publisher, RawMessage},
    topology::{Argument, definitions},
};

/// Waits between attempts to connect.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// A connection that lived so long was a good one: the next attempt comes soon.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// How often a quiet connection is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// One role's way to the broker. Clones share it.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    role: Role,
    metrics: Metrics,
    publishing: watch::Receiver<Option<Arc<PublishLink>>>,
    consuming: watch::Receiver<Option<Arc<Connection>>>,
    connected: watch::Receiver<bool>,
    problem: watch::Receiver<Option<Error>>,
    unconfirmed: Semaphore,
}

/// The publishing connection with a channel for each target.
struct PublishLink {
    connection: Connection,
    channels: Mutex<HashMap<Queue, Channel>>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("role", &self.shared.role).field("connected", &self.is_connected()).finish()
    }
}

impl Broker {
    /// Begins to keep the role connected, and returns at once: the broker may be away. Declares what the role owns whenever it
    /// connects. Ends with `cancellation`; cancel it after consumers have returned, since acknowledgements need the
    /// connection.
    ///
    /// # Errors
    /// [`Error::Config`] when the address cannot be read.
    pub fn connect_supervised(
        config: Config,
        role: Role,
        metrics: Metrics,
        cancellation: CancellationToken,
    ) -> Result<Self, Error> {
        let mut uri: AMQPUri = config.url.expose().as_str().parse().map_err(|_| {
            Error::Config("the address is not one like amqp://user:password@host:5672/vhost".to_owned())
        })?;
        uri.query.heartbeat = Some(config.heartbeat_s);
        let (publishing_in, publishing) = watch::channel(None);
        let (consuming_in, consuming) = watch::channel(None);
        let (connected_in, connected) = watch::channel(false);
        let (problem_in, problem) = watch::channel(None);
        let problem_in = Arc::new(problem_in);
        let unconfirmed = Semaphore::new(config.max_unconfirmed.max(1).into());
        let link = |name| Link {
            name,
            uri: uri.clone(),
            config: config.clone(),
            role,
            metrics: metrics.clone(),
            problem: Arc::clone(&problem_in),
        };
        let (publish_link, consume_link) = (link("publish"), link("consume"));
        tokio::spawn(supervise(publish_link, cancellation.clone(), move |connection| {
            let link = connection.map(|connection| PublishLink { connection, channels: Mutex::default() });
            publishing_in.send_replace(link.map(Arc::new));
        }));
        tokio::spawn(supervise(consume_link, cancellation.clone(), move |connection| {
            consuming_in.send_replace(connection.map(Arc::new));
        }));
        tokio::spawn(watch_both(publishing.clone(), consuming.clone(), connected_in));
        let shared = Shared { config, role, metrics, publishing, consuming, connected, problem, unconfirmed };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether both connections are up, for readiness.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.shared.connected.clone()
    }

    /// Whether both connections are up now.
    pub fn is_connected(&self) -> bool {
        *self.shared.connected.borrow()
    }

    /// Why an attempt to connect failed, told as it happens; not taken back when a later one works.
    pub fn problems(&self) -> watch::Receiver<Option<Error>> {
        self.shared.problem.clone()
    }

    /// Why the last attempt to connect failed, for readiness; `None` while both connections are up.
    pub fn problem(&self) -> Option<Error> {
        if self.is_connected() { None } else { self.shared.problem.borrow().clone() }
    }

    async fn publish_once(&self, queue: Queue, message: RawMessage) -> Result<(), PublishError> {
        let link = self.shared.publishing.borrow().clone();
        let link = link.ok_or_else(|| PublishError::Unavailable("not connected".to_owned()))?;
        let channel = link.channel(queue).await.map_err(|e| publish_error(&e))?;
        let mut headers = FieldTable::default();
        if let Some(traceparent) = message.traceparent {
            headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.into()));
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = channel
            .basic_publish(queue.exchange().into(), queue.name().into(), options, &message.bytes, properties)
            .await
            .map_err(|e| publish_error(&e))?;
        match confirm.await.map_err(|e| publish_error(&e))? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Err(PublishError::Returned),
            Confirmation::Nack(None) => Err(PublishError::Nacked),
            Confirmation::NotRequested => Err(PublishError::Unavailable("a channel without confirms".to_owned())),
        }
    }

    /// After a time-out the channel is not trusted any more: it may hold confirms that nobody waits for.
    async fn forget_channel(&self, queue: Queue) {
        let link = self.shared.publishing.borrow().clone();
        if let Some(link) = link {
            link.channels.lock().await.remove(&queue);
        }
    }
}

impl PublishLink {
    async fn channel(&self, queue: Queue) -> lapin::Result<Channel> {
        let mut channels = self.channels.lock().await;
        if let Some(channel) = channels.get(&queue).filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channels.insert(queue, channel.clone());
        Ok(channel)
    }
}

#[async_trait]
impl Publisher for Broker {
    async fn publish_raw(&self, queue: Queue, message: RawMessage) -> Result<(), PublishError> {
        let begun = Instant::now();
        let publish = async {
            // Never closed.
            let _slot = self.shared.unconfirmed.acquire().await;
            self.publish_once(queue, message).await
        };
        let result = match timeout(self.shared.config.publish_timeout(), publish).await {
            Ok(result) => result,
            Err(_) => {
                self.forget_channel(queue).await;
                Err(PublishError::TimedOut)
            }
        };
        let outcome = result.as_ref().err().map_or("confirmed", PublishError::name);
        self.shared.metrics.published.with_label_values(&[queue.name(), outcome]).inc();
        if result.is_ok() {
            self.shared.metrics.confirm_seconds.observe(begun.elapsed().as_secs_f64());
        }
        result
    }
}

#[async_trait]
impl Source for Broker {
    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error> {
        if queue != self.shared.role.reads() {
            return Err(Error::NotOurQueue(queue));
        }
        let connection = self.shared.consuming.borrow().clone();
        let connection = connection.ok_or_else(|| Error::Unavailable("not connected".to_owned()))?;
        let subscribe = async {
            // The queue may have been deleted since the connection was made.
            declare(&connection, self.shared.role, self.shared.config.max_length).await?;
            let channel = connection.create_channel().await?;
            channel.basic_qos(prefetch.max(1), BasicQosOptions::default()).await?;
            let consumer = channel
                .basic_consume(
                    queue.name().into(),
                    ShortString::default(),
                    BasicConsumeOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            Ok::<_, lapin::Error>(RabbitSubscription { channel, consumer })
        };
        match timeout(self.shared.config.connect_timeout(), subscribe).await {
            Ok(Ok(subscription)) => Ok(Box::new(subscription)),
            Ok(Err(error)) => Err(link_error(&error)),
            Err(_) => Err(Error::Unavailable("no answer to the subscription in time".to_owned())),
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

struct RabbitSubscription {
    channel: Channel,
    consumer: Consumer,
}

#[async_trait]
impl Subscription for RabbitSubscription {
    async fn next(&mut self) -> Option<RawDelivery> {
        match self.consumer.next().await? {
            Ok(delivery) => Some(raw(delivery, &self.channel)),
            Err(error) => {
                tracing::info!(%error, "subscription lost");
                None
            }
        }
    }

    async fn cancel(&mut self) {
        // On an error the channel is gone, and the subscription with it.
        let _ = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
    }
}

fn raw(delivery: Delivery, channel: &Channel) -> RawDelivery {
    let headers = delivery.properties.headers().as_ref();
    let count = headers.and_then(|headers| headers.inner().get("x-delivery-count")).map_or(0, number);
    RawDelivery {
        info: DeliveryInfo { redelivered: delivery.redelivered, delivery_count: count },
        settle: Box::new(RabbitSettle { acker: delivery.acker, _channel: channel.clone() }),
        bytes: delivery.data,
    }
}

fn number(value: &AMQPValue) -> u32 {
    let number = match value {
        AMQPValue::ShortShortInt(n) => i64::from(*n),
        AMQPValue::ShortShortUInt(n) => i64::from(*n),
        AMQPValue::ShortInt(n) => i64::from(*n),
        AMQPValue::ShortUInt(n) => i64::from(*n),
        AMQPValue::LongInt(n) => i64::from(*n),
        AMQPValue::LongUInt(n) => i64::from(*n),
        AMQPValue::LongLongInt(n) => *n,
        _ => 0,
    };
    u32::try_from(number).unwrap_or(0)
}

/// Keeps the channel: a delivery can be settled only on the channel it came on.
struct RabbitSettle {
    acker: Acker,
    _channel: Channel,
}

impl fmt::Debug for RabbitSettle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RabbitSettle")
    }
}

fn heard(answer: lapin::Result<bool>) -> Result<(), Error> {
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Unavailable("the channel of the delivery is gone".to_owned())),
        Err(error) => Err(Error::Unavailable(error.to_string())),
    }
}

#[async_trait]
impl Settle for RabbitSettle {
    async fn ack(self: Box<Self>, and_earlier: bool) -> Result<(), Error> {
        heard(self.acker.ack(BasicAckOptions { multiple: and_earlier }).await)
    }

    async fn reject(self: Box<Self>) -> Result<(), Error> {
        heard(self.acker.reject(BasicRejectOptions { requeue: false }).await)
    }

    async fn requeue(self: Box<Self>) -> Result<(), Error> {
        heard(self.acker.nack(BasicNackOptions { multiple: false, requeue: true }).await)
    }
}

/// What the supervisor of one connection needs.
struct Link {
    name: &'static str,
    uri: AMQPUri,
    config: Config,
    role: Role,
    metrics: Metrics,
    problem: Arc<watch::Sender<Option<Error>>>,
}

/// Keeps one connection until cancelled, and tells who needs it.
async fn supervise(link: Link, cancellation: CancellationToken, mut tell: impl FnMut(Option<Connection>)) {
    let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
    let up = link.metrics.connected.with_label_values(&[link.name]);
    while !cancellation.is_cancelled() {
        let opened = tokio::select! {
            () = cancellation.cancelled() => break,
            opened = timeout(link.config.connect_timeout(), link.open()) => opened,
        };
        match opened {
            Ok(Ok((connection, watched))) => {
                link.metrics.connections.with_label_values(&[link.name]).inc();
                up.set(1);
                tell(Some(connection));
                let since = Instant::now();
                let why = watched.until_lost(&link.metrics, &cancellation).await;
                up.set(0);
                tell(None);
                if since.elapsed() > GOOD_AFTER {
                    backoff.reset();
                }
                if !cancellation.is_cancelled() {
                    tracing::warn!(link = link.name, role = link.role.name(), why, "connection to the broker lost");
                }
            }
            Ok(Err(error)) => link.failed(error),
            Err(_) => link.failed(Error::Unavailable("no connection in time".to_owned())),
        }
        tokio::select! {
            () = cancellation.cancelled() => break,
            () = tokio::time::sleep(backoff.next()) => {}
        }
    }
}

impl Link {
    fn failed(&self, error: Error) {
        tracing::warn!(link = self.name, role = self.role.name(), %error, "cannot connect to the broker");
        self.problem.send_replace(Some(error));
    }

    async fn open(&self) -> Result<(Connection, Watched), Error> {
        let name = format!("lockstep {} {}", self.role.name(), self.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection =
            Connection::connect_uri(self.uri.clone(), properties).await.map_err(|error| login_error(&error))?;
        let watched = Watched { status: connection.status().clone(), events: Box::pin(connection.events_listener()) };
        if self.name == "consume" {
            let declared = declare(&connection, self.role, self.config.max_length).await;
            declared.map_err(|error| link_error(&error))?;
        }
        Ok((connection, watched))
    }
}

/// A connection as its supervisor sees it.
struct Watched {
    status: lapin::ConnectionStatus,
    events: futures::stream::BoxStream<'static, Event>,
}

impl Watched {
    /// Waits until the connection is lost, and says why.
    async fn until_lost(mut self, metrics: &Metrics, cancellation: &CancellationToken) -> String {
        let mut why = "closed".to_owned();
        while self.status.connected() && !cancellation.is_cancelled() {
            let event = tokio::select! {
                () = cancellation.cancelled() => continue,
                event = timeout(LOOK_EVERY, self.events.next()) => event,
            };
            match event {
                Ok(Some(Event::Error(error))) => why = error.to_string(),
                Ok(Some(Event::ConnectionBlocked(reason))) => {
                    tracing::warn!(reason, "the broker blocks publishers");
                    metrics.blocked.set(1);
                }
                Ok(Some(Event::ConnectionUnblocked)) => metrics.blocked.set(0),
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => break,
            }
        }
        metrics.blocked.set(0);
        why
    }
}

/// Declares what a role owns. Doing it again changes nothing.
async fn declare(connection: &Connection, role: Role, max_length: u32) -> lapin::Result<()> {
    let definitions = definitions(role, max_length);
    let channel = connection.create_channel().await?;
    for exchange in definitions.exchanges {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(exchange.name.into(), ExchangeKind::Direct, options, FieldTable::default()).await?;
    }
    for queue in definitions.queues {
        let mut arguments = FieldTable::default();
        for (name, argument) in queue.arguments {
            let value = match argument {
                Argument::Text(text) => AMQPValue::LongString(text.into()),
                Argument::Number(number) => AMQPValue::LongLongInt(number),
            };
            arguments.insert(name.into(), value);
        }
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.name.into(), options, arguments).await?;
    }
    for binding in definitions.bindings {
        channel
            .queue_bind(
                binding.queue.into(),
                binding.exchange.into(),
                binding.routing_key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

/// Tells whether both connections are up, for as long as their supervisors live.
async fn watch_both(
    mut publishing: watch::Receiver<Option<Arc<PublishLink>>>,
    mut consuming: watch::Receiver<Option<Arc<Connection>>>,
    connected: watch::Sender<bool>,
) {
    loop {
        let both = publishing.borrow_and_update().is_some() && consuming.borrow_and_update().is_some();
        connected.send_replace(both);
        let changed = tokio::select! {
            changed = publishing.changed() => changed,
            changed = consuming.changed() => changed,
        };
        if changed.is_err() {
            connected.send_replace(false);
            return;
        }
    }
}

fn kind(error: &lapin::Error) -> Option<(&AMQPErrorKind, String)> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => Some((error.kind(), error.to_string())),
        _ => None,
    }
}

fn login_error(error: &lapin::Error) -> Error {
    match kind(error) {
        // The same answer as for a virtual host that is not there, but it passes.
        Some((AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED), text))
            if text.contains("limit") || text.contains("down") =>
        {
            Error::Unavailable(text)
        }
        Some((
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED),
            text,
        )) => Error::LoginRefused(text),
        _ => link_error(error),
    }
}

fn link_error(error: &lapin::Error) -> Error {
    match kind(error) {
        Some((AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED), text))
        | Some((AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED), text)) => Error::Refused(text),
        _ => Error::Unavailable(error.to_string()),
    }
}

fn publish_error(error: &lapin::Error) -> PublishError {
    match kind(error) {
        // The exchange is not there: its reader has never been connected.
        Some((AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND), _)) => PublishError::Returned,
        Some((AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), text)) => PublishError::Forbidden(text),
        _ => PublishError::Unavailable(error.to_string()),
    }
}
