//! The way of a request from bytes to bytes, without a socket: `cargo bench --bench request`.
//!
//! `plaintext` needs nothing but its head, `account` a known token and a read of the store, `transfer` a commit,
//! which is most of its time. `pipelined` is 16 of `plaintext` at once; its throughput counts each. `rig` is what
//! of each figure is the client's and the scheduler's. Instructions are counted by
//! `benches/instructions request_plaintext request_account`.

#[path = "subjects/request.rs"]
mod subject;

use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use subject::{Exchange, Rig};

/// Requests that a pipelining client sends at once.
const DEPTH: usize = 16;

// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn answer(criterion: &mut Criterion) {
    measure(criterion, "rig", 1, &Rig::canned(), &mut subject::plaintext());
    let (rig, ledger) = Rig::new();
    measure(criterion, "plaintext", 1, &rig, &mut subject::plaintext());
    measure(criterion, "pipelined", DEPTH, &rig, &mut subject::pipelined(DEPTH));
    measure(criterion, "account", 1, &rig, &mut ledger.account());
    measure(criterion, "transfer", 1, &rig, &mut ledger.transfer());
}

fn measure(criterion: &mut Criterion, name: &str, requests: usize, rig: &Rig, exchange: &mut Exchange) {
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Elements(requests as u64));
    group.bench_function(name, |bench| {
        bench.iter_custom(|times| {
            let begin = Instant::now();
            rig.repeat(exchange, times);
            begin.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, answer);
criterion_main!(benches);
