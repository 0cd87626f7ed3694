//! From a request's head to its caller: `cargo bench --bench auth`.
//!
//! `cached` is one client's next request, `cached_of_1000` the next of many clients', which has left the nearer
//! caches of the processor. `miss` is the first request with a token: look-up, verification, insertion into a
//! full set. `forged` has a signature that does not fit: look-up and the part of a verification up to there.

#[path = "subjects/auth.rs"]
mod subject;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ringledger::api::AuthUser;
use ringledger::services::Tokens;

/// So many that each is forgotten before its turn comes again.
const UNCACHED: u128 = 40_000;

fn from_headers(criterion: &mut Criterion) {
    let tokens = subject::tokens();
    cycle(criterion, "cached", &tokens, &heads(&tokens, 1));
    cycle(criterion, "cached_of_1000", &tokens, &heads(&tokens, 1_000));
    cycle(criterion, "miss", &tokens, &heads(&tokens, UNCACHED));
    cycle(criterion, "forged", &tokens, &[forged(&tokens)]);
}

/// Requests in turn, each with a token of its own.
fn cycle(criterion: &mut Criterion, name: &str, tokens: &Tokens, heads: &[HeaderMap]) {
    let mut next = heads.iter().cycle();
    criterion.bench_function(&format!("auth/{name}"), |bench| {
        bench.iter(|| AuthUser::from_headers(black_box(next.next().expect("a cycle")), tokens).ok());
    });
}

fn heads(tokens: &Tokens, count: u128) -> Vec<HeaderMap> {
    (0..count).map(|user| subject::head(tokens, user)).collect()
}

/// A request whose token has another token's signature.
fn forged(tokens: &Tokens) -> HeaderMap {
    let mut head = subject::head(tokens, 0);
    let other = subject::head(tokens, 1);
    let text = |head: &HeaderMap| head[AUTHORIZATION].to_str().expect("visible ASCII").to_owned();
    let (own, other) = (text(&head), text(&other));
    let (message, _) = own.rsplit_once('.').expect("a token");
    let (_, signature) = other.rsplit_once('.').expect("a token");
    head.insert(AUTHORIZATION, format!("{message}.{signature}").parse().expect("visible ASCII"));
    assert!(AuthUser::from_headers(&head, tokens).is_err());
    head
}

criterion_group!(benches, from_headers);
criterion_main!(benches);
