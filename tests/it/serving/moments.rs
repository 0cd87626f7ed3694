//! Requests that come at the very moment at which their connection is parked lose nothing.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::ops::Range;
use std::thread::{self, sleep};
use std::time::Duration;

use crate::support::raw::{Connection, Request};
use crate::support::{Server, on_both_engines};

/// Clients, each with a connection of its own.
const CLIENTS: u64 = 96;
/// How often each of them rests and then asks.
const RESTS: u64 = 8;
/// How long they rest, in microseconds: near the moment of parking, 1 s after the reply; near the next tick; any.
const REST_US: [Range<usize>; 4] =
    [980_000..1_010_000, 995_000..1_005_000, 1_980_000..2_020_000, 900_000..2_200_000];
/// The pause between two parts of a request, in microseconds.
const PART_PAUSE_US: Range<usize> = 0..12_000;

/// The variable that gives the seed of a run that is to be repeated.
const SEED: &str = "TEST_SEED";

on_both_engines!(requests_around_the_moment_of_parking_lose_nothing);

fn requests_around_the_moment_of_parking_lose_nothing(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    let given = std::env::var(SEED).map(|seed| seed.parse().expect("a seed is a number"));
    let seed = given.unwrap_or_else(|_| RandomState::new().hash_one(engine));
    let address = server.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| thread::spawn(move || Client::new(address, seed, client).ask_all()))
        .collect();
    let lost: Vec<_> = clients.into_iter().filter_map(|client| client.join().unwrap().err()).collect();
    assert!(lost.is_empty(), "{SEED}={seed}, {} clients: {lost:#?}", lost.len());
}

struct Client {
    connection: Connection,
    random: Random,
    number: u64,
    asked: u64,
}

/// A request and what must come back.
struct Asked {
    bytes: Vec<u8>,
    /// The end of its head.
    head: usize,
    id: String,
    status: u16,
}

impl Client {
    fn new(address: SocketAddr, seed: u64, number: u64) -> Self {
        let random = Random(seed.wrapping_add(number));
        Self { connection: Connection::open(address), random, number, asked: 0 }
    }

    fn ask_all(mut self) -> Result<(), String> {
        for _ in 0..RESTS {
            self.rest();
            let before = self.asked;
            let asked = if self.random.below(2) == 0 { self.one() } else { self.pipelined() };
            asked.map_err(|error| format!("client {} after {before} requests: {error}", self.number))?;
        }
        Ok(())
    }

    /// One request in one to three parts.
    fn one(&mut self) -> Result<(), String> {
        let asked = self.next();
        self.send(&asked.bytes)?;
        self.expect(&asked)
    }

    /// Two requests, the second one's head cut: the rest of it comes soon, or after the connection might have
    /// been parked.
    fn pipelined(&mut self) -> Result<(), String> {
        let (first, second) = (self.next(), self.next());
        let cut = self.random.within(&(1..second.head));
        self.send(&[&first.bytes, &second.bytes[..cut]].concat())?;
        if self.random.below(3) == 0 {
            self.expect(&first)?;
            self.rest();
            self.send(&second.bytes[cut..])?;
        } else {
            self.pause();
            self.send(&second.bytes[cut..])?;
            self.expect(&first)?;
        }
        self.expect(&second)
    }

    /// What is asked next: answered at once, after a wait for the lane, or with a body that nobody reads.
    fn next(&mut self) -> Asked {
        self.asked += 1;
        let id = format!("{}-{}", self.number, self.asked);
        let (request, status) = match self.random.below(3) {
            0 => (Request::get("/health"), 200),
            1 => (Request::get("/ready"), 200),
            _ => (Request::post("/api/v1/accounts").json(r#"{"currency":"EUR"}"#), 401),
        };
        let request = request.field("X-Request-Id", &id);
        Asked { bytes: request.bytes(), head: request.head().len(), id, status }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut left = bytes;
        for _ in 0..self.random.below(3) {
            let (part, rest) = left.split_at(self.random.below(left.len()));
            self.send_part(part)?;
            self.pause();
            left = rest;
        }
        self.send_part(left)
    }

    fn send_part(&mut self, part: &[u8]) -> Result<(), String> {
        self.connection.try_send(part).map_err(|error| format!("send: {error}"))
    }

    fn expect(&mut self, asked: &Asked) -> Result<(), String> {
        let reply = self.connection.try_reply().map_err(|error| format!("{}: {error}", asked.id))?;
        let right = reply.status == asked.status
            && reply.field("x-request-id") == Some(asked.id.as_str())
            && !reply.closes();
        if right { Ok(()) } else { Err(format!("{}: {reply:?}", asked.id)) }
    }

    fn rest(&mut self) {
        let range = &REST_US[self.random.below(REST_US.len())];
        sleep_us(self.random.within(range));
    }

    fn pause(&mut self) {
        sleep_us(self.random.within(&PART_PAUSE_US));
    }
}

fn sleep_us(us: usize) {
    sleep(Duration::from_micros(us as u64));
}

/// Numbers that a seed repeats (splitmix64).
struct Random(u64);

impl Random {
    /// Less than `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("it is less than `end`")
    }

    fn within(&mut self, range: &Range<usize>) -> usize {
        range.start + self.below(range.end - range.start)
    }
}
