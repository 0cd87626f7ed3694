//! Finding the route of a path in the table that the API serves: `cargo bench --bench router`.

#[path = "subjects/router.rs"]
mod subject;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use ringledger::api::routes;

fn find(criterion: &mut Criterion) {
    let router = routes::router(true);
    let mut group = criterion.benchmark_group("router");
    for (name, path) in subject::PATHS {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                black_box(router.find(&Method::GET, black_box(path)));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
