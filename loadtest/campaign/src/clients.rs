//! The clients: each places one order after another and sends an order again, under its key, until it is told what
//! became of it. A client gives up no order, also not when the campaign is over.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http::{Connection, Reply};
use crate::orders::{Accounts, Order, Verdict};

/// How long an order may remain without an answer. Beyond it something is stuck.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// Before an order is sent again, so that clients leave the machine to whoever recovers.
const PAUSE: Duration = Duration::from_millis(5);
/// One of so many orders is sent once more although it was answered.
const ASKED_AGAIN: usize = 50;

/// What clients share with whoever makes their life hard.
#[derive(Debug)]
pub(crate) struct Scene {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug)]
struct Progress {
    address: SocketAddr,
    is_over: bool,
    /// Whether nobody wants to know any more what became of open orders.
    is_abandoned: bool,
    acknowledged: u64,
    /// Of the answered requests, when the one that was sent last was sent.
    newest: Option<Instant>,
    /// Why a client has stopped before the end.
    failure: Option<String>,
}

/// What one client has seen.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    pub(crate) settled: Vec<(Order, Verdict)>,
    pub(crate) tally: Tally,
}

/// What happened to requests, in numbers.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Orders that were sent and not answered, or answered with 503, at least once.
    pub lost_answers: u64,
    /// Of these, how many had been decided: their second answer was a replay.
    pub had_been_decided: u64,
    /// Replies with 503.
    pub unavailable: u64,
    /// Answered orders that were sent again and got the same answer, as a replay.
    pub replayed: u64,
}

impl Scene {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let progress = Progress {
            address,
            is_over: false,
            is_abandoned: false,
            acknowledged: 0,
            newest: None,
            failure: None,
        };
        Self { progress: Mutex::new(progress), changed: Condvar::new() }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn move_to(&self, address: SocketAddr) {
        self.progress().address = address;
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.progress().acknowledged
    }

    /// Waits until so many orders have been answered.
    pub(crate) fn wait_for(&self, acknowledged: u64) -> io::Result<()> {
        self.wait_while(|progress| progress.acknowledged < acknowledged)
    }

    /// Waits until something was answered that was sent after `moment`.
    pub(crate) fn wait_for_answer_since(&self, moment: Instant) -> io::Result<()> {
        self.wait_while(|progress| progress.newest.is_none_or(|newest| newest < moment))
    }

    fn wait_while(&self, mut waits: impl FnMut(&Progress) -> bool) -> io::Result<()> {
        let still = |progress: &mut Progress| progress.failure.is_none() && waits(progress);
        let waited = self.changed.wait_timeout_while(self.progress(), SETTLED_WITHIN, still);
        let (progress, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        match &progress.failure {
            Some(failure) => Err(io::Error::other(failure.clone())),
            None if timeout.timed_out() => Err(stuck("all clients")),
            None => Ok(()),
        }
    }

    fn note(&self, sent: Instant) {
        let mut progress = self.progress();
        progress.acknowledged += 1;
        progress.newest = progress.newest.max(Some(sent));
        drop(progress);
        self.changed.notify_all();
    }

    fn abandon(&self) {
        let mut progress = self.progress();
        (progress.is_over, progress.is_abandoned) = (true, true);
    }

    fn fail(&self, error: &io::Error) {
        self.progress().failure.get_or_insert(error.to_string());
        self.changed.notify_all();
    }
}

/// All clients. They end with this value, whatever they are about.
#[derive(Debug)]
pub(crate) struct Crew {
    scene: Arc<Scene>,
    threads: Vec<JoinHandle<Diary>>,
}

impl Crew {
    /// Waits until each has its answer and has ended.
    pub(crate) fn end(mut self) -> io::Result<Vec<Diary>> {
        self.scene.progress().is_over = true;
        let diaries = self.threads.drain(..).map(JoinHandle::join).collect::<Result<Vec<_>, _>>();
        // An order without an answer has stopped its client.
        self.scene.wait_for(0)?;
        diaries.map_err(|_| io::Error::other("a client panicked"))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.scene.abandon();
    }
}

/// Starts so many clients.
pub(crate) fn start(
    scene: &Arc<Scene>,
    accounts: &Arc<Accounts>,
    clients: usize,
    dice: &mut fastrand::Rng,
) -> Crew {
    let one = |name| {
        let mut client = Client {
            scene: Arc::clone(scene),
            accounts: Arc::clone(accounts),
            dice: dice.fork(),
            connection: None,
            diary: Diary::default(),
        };
        thread::spawn(move || {
            if let Err(error) = client.work(name) {
                client.scene.fail(&error);
            }
            client.diary
        })
    };
    Crew { scene: Arc::clone(scene), threads: (0..clients).map(one).collect() }
}

struct Client {
    scene: Arc<Scene>,
    accounts: Arc<Accounts>,
    dice: fastrand::Rng,
    connection: Option<(SocketAddr, Connection)>,
    diary: Diary,
}

impl Client {
    fn work(&mut self, name: usize) -> io::Result<()> {
        for number in 0.. {
            if self.scene.progress().is_over {
                break;
            }
            let order = self.accounts.order(&mut self.dice, format!("client-{name}-{number}"));
            let (verdict, _) = self.settle(&order)?;
            if self.dice.usize(..ASKED_AGAIN) == 0 {
                self.ask_again(&order, &verdict)?;
            }
            self.diary.settled.push((order, verdict));
        }
        Ok(())
    }

    /// Sends an order until there is an answer; says whether that was a replay.
    fn settle(&mut self, order: &Order) -> io::Result<(Verdict, bool)> {
        let request = self.accounts.request(order);
        let begin = Instant::now();
        let mut is_lost = false;
        while begin.elapsed() < SETTLED_WITHIN && !self.scene.progress().is_abandoned {
            let sent = Instant::now();
            match self.send(&request) {
                Sent::Answered(reply) if reply.status == 503 => {
                    if !reply.has_retry_after {
                        return Err(reply.unexpected());
                    }
                    self.diary.tally.unavailable += 1;
                    is_lost = true;
                }
                Sent::Answered(reply) => {
                    self.diary.tally.lost_answers += u64::from(is_lost);
                    self.diary.tally.had_been_decided += u64::from(is_lost && reply.is_replay);
                    self.scene.note(sent);
                    return Ok((Verdict::of(&reply)?, reply.is_replay));
                }
                Sent::Unanswered => is_lost = true,
                Sent::Not => {}
            }
            thread::sleep(PAUSE);
        }
        Err(stuck(&order.key))
    }

    fn ask_again(&mut self, order: &Order, verdict: &Verdict) -> io::Result<()> {
        let (again, is_replay) = self.settle(order)?;
        if again != *verdict || !is_replay {
            let told = format!("{} was {verdict:?}, then {again:?} (a replay: {is_replay})", order.key);
            return Err(io::Error::other(told));
        }
        self.diary.tally.replayed += 1;
        Ok(())
    }

    /// Sends a request once, on the connection to where the server is now.
    fn send(&mut self, request: &str) -> Sent {
        let address = self.scene.progress().address;
        let (_, mut connection) = match self.connection.take().filter(|(to, _)| *to == address) {
            Some(connection) => connection,
            None => match Connection::open(address) {
                Ok(connection) => (address, connection),
                Err(_) => return Sent::Not,
            },
        };
        match connection.call(request) {
            Ok(reply) => {
                self.connection = Some((address, connection));
                Sent::Answered(reply)
            }
            Err(_) => Sent::Unanswered,
        }
    }
}

/// What became of one attempt.
enum Sent {
    Answered(Reply),
    /// It may have been decided.
    Unanswered,
    /// There was nobody to send it to.
    Not,
}

fn stuck(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what}: no answer within {SETTLED_WITHIN:?}"))
}
