//! Transfers at a fixed rate: each is due at its moment whatever the server does, and its time counts from then.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::http::{Connection, post, runtime, seq};
use crate::ledger::Ledger;
use crate::server::Server;

/// What came of the transfers of one part.
pub(crate) struct Paid {
    /// How long each took from its moment, in microseconds, sorted.
    times_us: Vec<u64>,
    pub(crate) errors: u64,
    memory_kib: u64,
    cpu_ms: u64,
}

impl Paid {
    pub(crate) fn quantile_us(&self, share: f64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let place = (self.times_us.len() as f64 * share) as usize;
        self.times_us.get(place.min(self.times_us.len().saturating_sub(1))).copied().unwrap_or(0)
    }

    pub(crate) fn report(&self) -> Value {
        json!({
            "transfers": self.times_us.len(),
            "errors": self.errors,
            "p50_us": self.quantile_us(0.5),
            "p99_us": self.quantile_us(0.99),
            "p999_us": self.quantile_us(0.999),
            "server_cpu_ms": self.cpu_ms,
            "server_memory_mib": self.memory_kib / 1024,
        })
    }
}

/// Pays for so many seconds.
pub(crate) fn pay(
    ledger: &Ledger,
    server: &Server,
    rate: u32,
    senders: u32,
    seconds: u32,
) -> io::Result<Paid> {
    let each = rate * seconds / senders;
    let cpu_before_ms = server.cpu_ms()?;
    let sent = runtime()?.block_on(async {
        let begin = Instant::now() + Duration::from_millis(100);
        let mut tasks = JoinSet::new();
        for sender in 0..senders {
            let token = ledger.token.clone();
            let accounts = ledger.accounts.clone();
            let connection = Connection::open(server.address).await?;
            let first = begin + Duration::from_secs(1) * sender / rate;
            let every = Duration::from_secs(1) * senders / rate;
            tasks.spawn(send(connection, token, accounts, first, every, each));
        }
        io::Result::Ok(tasks.join_all().await)
    })?;
    let mut paid = Paid {
        times_us: Vec::new(),
        errors: 0,
        memory_kib: server.memory_kib()?,
        cpu_ms: server.cpu_ms()? - cpu_before_ms,
    };
    for Sent { times_us, made, errors } in sent {
        paid.times_us.extend(times_us);
        paid.errors += errors;
        for (seq, between) in made {
            ledger.note(seq, between);
        }
    }
    paid.times_us.sort_unstable();
    Ok(paid)
}

#[derive(Default)]
struct Sent {
    times_us: Vec<u64>,
    made: Vec<(u64, [usize; 2])>,
    errors: u64,
}

async fn send(
    mut connection: Connection,
    token: String,
    accounts: Vec<String>,
    first: Instant,
    every: Duration,
    count: u32,
) -> Sent {
    let mut sent = Sent::default();
    for n in 0..count {
        let due = first + every * n;
        let debit = fastrand::usize(..accounts.len());
        let credit = (debit + fastrand::usize(1..accounts.len())) % accounts.len();
        let body = json!({
            "debit_account": accounts[debit], "credit_account": accounts[credit], "amount": 1, "currency": "EUR",
        });
        let key = format!("Idempotency-Key: {:032x}\r\n", fastrand::u128(..));
        let request = post("/api/v1/transfers", &token, &key, &body.to_string());
        sleep_until(due).await;
        match connection.call(&request).await {
            Ok(reply) if reply.status == 201 => {
                sent.times_us.push(u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX));
                if let Some(seq) = seq(&reply.body) {
                    sent.made.push((seq, [debit, credit]));
                }
            }
            Ok(_) => sent.errors += 1,
            Err(_) => {
                sent.errors += u64::from(count - n);
                break;
            }
        }
    }
    sent
}
