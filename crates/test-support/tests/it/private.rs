//! Sets of servers that a test may restart and kill.

use std::net::TcpStream;

use lockstep_test_support::{
    Service, Services, eventually,
    mail::{MailAccount, deliver_smtp, maildir_messages},
    postgres::TestDatabase,
};
use sqlx::Row;

use crate::SOON;

fn refused(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

#[tokio::test]
async fn postgres_comes_back_on_its_port_with_its_data() {
    let services = Services::private(&[Service::Postgres]).await;
    let database = TestDatabase::create_on(&services).await;
    sqlx::query("create table t as select 42 as n").execute(database.pool()).await.unwrap();
    let port = url::Url::parse(services.postgres_url()).unwrap().port().unwrap();
    for kill in [false, true] {
        if kill {
            services.kill(Service::Postgres).await;
            assert!(refused(port));
            services.start(Service::Postgres).await;
        } else {
            services.restart(Service::Postgres).await;
        }
        let row =
            eventually(SOON, async || sqlx::query("select n from t").fetch_one(database.pool()).await, "the data")
                .await;
        assert_eq!(row.get::<i32, _>(0), 42);
    }
    database.close().await;
    drop(services);
    assert!(refused(port), "the server outlived its owner");
}

/// Mail accepted while the mailboxes are away is delivered when they come back.
#[tokio::test]
async fn mail_waits_for_dovecot() {
    let services = Services::private(&[Service::Dovecot, Service::Exim]).await;
    let account = MailAccount::create(&services, "patient", "example.test");
    services.kill(Service::Dovecot).await;
    assert!(refused(services.pop3_port()));
    deliver_smtp(&services, b"Subject: x\r\n\r\n", "a@b.test", &[account.address()]).await.unwrap();
    assert_eq!(maildir_messages(&services, &account).len(), 0);
    services.start(Service::Dovecot).await;
    eventually(SOON, async || maildir_messages(&services, &account).len() == 1, "the message is delivered").await;
}
