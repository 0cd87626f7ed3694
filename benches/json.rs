//! Reading bodies, by decoder and size: `cargo bench --bench json`.
//!
//! `simd_json` is what handlers call, with its strict rules and its copy in reused memory; `serde_json` reads
//! into the same types with its own rules, which are laxer and so cost no less when made equal.

#[path = "subjects/json.rs"]
mod subject;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringledger::web::call::Body;
use serde::Deserialize;
use subject::{Order, TRANSFER};

/// Sizes of bodies with many transfers, in bytes.
const BATCH_BYTES: [usize; 4] = [2_000, 20_000, 200_000, 1_000_000];

// The allocator of the binary: large bodies have their memory from it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "decoded, never read")]
struct Batch<'a> {
    #[serde(borrow)]
    transfers: Vec<Order<'a>>,
}

/// At least this many bytes of transfers.
fn batch(bytes: usize) -> Bytes {
    let transfers = vec![TRANSFER; bytes.div_ceil(TRANSFER.len() + 1)];
    format!(r#"{{"transfers":[{}]}}"#, transfers.join(",")).into()
}

/// Reads one body with both decoders. A macro, since the type borrows from the body anew each time.
macro_rules! compare {
    ($criterion:expr, $type:ty, $body:expr) => {
        let sent: Bytes = $body;
        let mut group = $criterion.benchmark_group("json");
        group.throughput(Throughput::Bytes(sent.len() as u64));
        group.bench_function(BenchmarkId::new("simd_json", sent.len()), |bench| {
            bench.iter(|| black_box(Body::new(sent.clone()).json::<$type>().is_ok()));
        });
        group.bench_function(BenchmarkId::new("serde_json", sent.len()), |bench| {
            bench.iter(|| black_box(serde_json::from_slice::<$type>(black_box(&sent)).is_ok()));
        });
        group.finish();
    };
}

fn decode(criterion: &mut Criterion) {
    compare!(criterion, Order<'_>, Bytes::from_static(TRANSFER.as_bytes()));
    for bytes in BATCH_BYTES {
        compare!(criterion, Batch<'_>, batch(bytes));
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
