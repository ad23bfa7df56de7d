//! What exists on the broker, and who may touch it. Names come from [`lockstep_wire::queue`].
//!
//! Each role declares its own queue, the exchange that leads to it, and their dead-letter twins; nobody else's. All
//! arguments are explicit, since brokers between 3.10 and 4.x have different defaults. A queue cannot change its arguments: other
//! ones need a new name.

use lockstep_wire::{Queue, Role};

/// Given back more often than this, a message goes to the dead-letter queue: something kills its readers.
pub const DELIVERY_LIMIT: u32 = 3;

/// Dead letters are looked at by people, who may look often.
const DEAD_DELIVERY_LIMIT: u32 = 1_000;

/// The value of a queue argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A durable direct exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeDefinition {
    /// Name.
    pub name: String,
}

/// A durable queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDefinition {
    /// Name.
    pub name: String,
    /// Every argument.
    pub arguments: Vec<(&'static str, Argument)>,
}

/// A binding of a queue to an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingDefinition {
    /// The exchange.
    pub exchange: String,
    /// The queue.
    pub queue: String,
    /// The routing key: always the name of the work queue.
    pub routing_key: String,
}

/// What one role declares, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definitions {
    /// Exchanges.
    pub exchanges: Vec<ExchangeDefinition>,
    /// Queues; the dead-letter queue first, so that nothing dies into nowhere.
    pub queues: Vec<QueueDefinition>,
    /// Bindings.
    pub bindings: Vec<BindingDefinition>,
}

/// What a role declares at each connection, with queues of at most `max_length` messages.
pub fn definitions(role: Role, max_length: u32) -> Definitions {
    let queue = role.reads();
    let text = |value: &str| Argument::Text(value.to_owned());
    let work = vec![
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT.into())),
        ("x-dead-letter-exchange", Argument::Text(queue.dead_exchange())),
        ("x-dead-letter-routing-key", text(queue.name())),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-max-length", Argument::Number(max_length.into())),
        ("x-queue-leader-locator", text("balanced")),
    ];
    let dead = vec![
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", Argument::Number(DEAD_DELIVERY_LIMIT.into())),
        ("x-overflow", text("drop-head")),
        ("x-max-length", Argument::Number(max_length.into())),
        ("x-queue-leader-locator", text("balanced")),
    ];
    let binding =
        |exchange, to: &str| BindingDefinition { exchange, queue: to.to_owned(), routing_key: queue.name().to_owned() };
    Definitions {
        exchanges: vec![
            ExchangeDefinition { name: queue.dead_exchange() },
            ExchangeDefinition { name: queue.exchange() },
        ],
        queues: vec![
            QueueDefinition { name: queue.dead(), arguments: dead },
            QueueDefinition { name: queue.name().to_owned(), arguments: work },
        ],
        bindings: vec![binding(queue.dead_exchange(), &queue.dead()), binding(queue.exchange(), queue.name())],
    }
}

/// A broker user's rights inside a virtual host: three regular expressions over names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// What it may declare and delete.
    pub configure: String,
    /// What it may publish to, bind (a queue) and dead-letter to (an exchange).
    pub write: String,
    /// What it may consume (a queue) and bind to (an exchange).
    pub read: String,
}

/// The least rights a role can work with. A role never may publish to its own exchange, nor touch another's queue.
pub fn permissions(role: Role) -> Permissions {
    let queue = role.reads();
    let own = [queue.name().to_owned(), queue.exchange(), queue.dead(), queue.dead_exchange()];
    let mut write = vec![queue.name().to_owned(), queue.dead(), queue.dead_exchange()];
    write.extend(role.writes().iter().map(|queue: &Queue| queue.exchange()));
    Permissions { configure: pattern(&own), write: pattern(&write), read: pattern(&own) }
}

/// Rights of every role, by the name of its user.
pub fn all_permissions() -> Vec<(&'static str, Permissions)> {
    Role::ALL.iter().map(|role| (role.name(), permissions(*role))).collect()
}

fn pattern(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| name.replace('.', "\\.")).collect();
    format!("^({})$", names.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_may_write_the_report_exchange_and_its_own_dead_ends() {
        let rights = permissions(Role::MailboxWorker);
        assert_eq!(
            rights.write,
            r"^(mailbox\.sync|mailbox\.sync\.dead|mailbox\.sync\.dead\.exchange|scheduler\.report\.exchange)$"
        );
        assert_eq!(
            rights.read,
            r"^(mailbox\.sync|mailbox\.sync\.exchange|mailbox\.sync\.dead|mailbox\.sync\.dead\.exchange)$"
        );
        assert_eq!(rights.configure, rights.read);
    }

    #[test]
    fn work_queues_are_bounded_and_lead_to_their_twins() {
        for role in Role::ALL {
            let definitions = definitions(*role, 7);
            let work = &definitions.queues[1];
            assert_eq!(work.name, role.reads().name());
            assert!(work.arguments.contains(&("x-max-length", Argument::Number(7))));
            assert!(work.arguments.contains(&("x-dead-letter-exchange", Argument::Text(role.reads().dead_exchange()))));
        }
    }
}
