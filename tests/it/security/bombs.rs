//! Small requests that would be much work: numbers, nesting, names, codings.

use std::time::{Duration, Instant};

use crate::support::raw::{Connection, Request};
use crate::support::{World, on_both_stores};

/// How long a refusal may take: some hundred times what the slowest takes, for busy machines.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

on_both_stores!(bodies_that_are_much_work_are_refused_at_once, a_coded_body_is_never_unpacked);

/// The members of a transfer with `amount` and `metadata` as they are written.
fn body(world: &World, amount: &str, metadata: &str) -> String {
    let (debit, credit) = (&world.alice.account, &world.bob.account);
    format!(
        r#"{{"debit_account":"{debit}","credit_account":"{credit}","currency":"EUR","amount":{amount},"metadata":{metadata}}}"#
    )
}

/// What to do with each: never 2xx, never 5xx, never late.
async fn bodies_that_are_much_work_are_refused_at_once(store: crate::support::Store) {
    let world = World::of(store).await;
    let digits = "9".repeat(400);
    let numbers = [
        "1e999999".to_owned(),
        "1e-999999".to_owned(),
        "1E400".to_owned(),
        digits.clone(),
        format!("-{digits}"),
        format!("0.{digits}"),
        format!("{digits}e{digits}"),
        "9".repeat(60_000),
        format!("1e{}", "9".repeat(60_000)),
        "18446744073709551616".to_owned(),
        "9007199254740992".to_owned(),
    ];
    let names = |count: usize| (0..count).map(|n| format!(r#""n{n}":0"#)).collect::<Vec<_>>().join(",");
    let mut bodies: Vec<_> = numbers.iter().map(|number| body(&world, number, "{}")).collect();
    bodies.extend(numbers.iter().map(|number| body(&world, "1.0", &format!("{{\"n\":{number}}}"))));
    bodies.extend([
        "[".repeat(65_000),
        "{\"a\":".repeat(10_000),
        format!("{}{}", "[".repeat(32_000), "]".repeat(32_000)),
        body(&world, "1", &format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000))),
        body(&world, "1", &format!("{{{}}}", names(5_000))),
        format!("{{{}}}", names(6_000)),
        body(&world, "1", &format!("{{\"t\":\"{}\"}}", "\\u0000".repeat(10_000))),
        body(&world, "1", &format!("{{\"t\":\"{}", "\\".repeat(60_000))),
        body(&world, "1,\"amount\":1", "{}"),
        "\u{feff}{}".to_owned(),
        format!("{}{{}}", " ".repeat(60_000)),
    ]);
    for body in bodies {
        let shown = format!("{} ... of {} bytes", &body[..body.len().min(200)], body.len());
        let request = Request::post("/api/v1/transfers").bearer(world.alice.api.token());
        let begin = Instant::now();
        let reply = Connection::open(world.server.address())
            .call(request.field("Idempotency-Key", "bomb").json(&body).bytes());
        assert!(begin.elapsed() < REFUSED_WITHIN, "{:?} for {shown}", begin.elapsed());
        assert!([400, 413, 422].contains(&reply.status), "{reply:?} to {shown}");
        assert!(reply.body.len() < 64 * 1024, "{} bytes are told of {shown}", reply.body.len());
    }
    assert_eq!(world.balance(&world.bob.account).await, crate::support::FUNDS, "nothing was made");
}

/// 64 KiB that would unpack to 64 MiB, under every name of a coding.
async fn a_coded_body_is_never_unpacked(store: crate::support::Store) {
    let world = World::of(store).await;
    let deflated = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; 64 << 20], 9);
    assert!(deflated.len() < 128 * 1024);
    let bomb = &deflated[..deflated.len().min(60_000)];
    for coding in ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "identity, gzip", "GZIP", "unknown"]
    {
        let request = Request::post("/api/v1/transfers").bearer(world.alice.api.token());
        let request = request.field("Idempotency-Key", "coded").field("Content-Encoding", coding);
        let begin = Instant::now();
        let reply = Connection::open(world.server.address()).call(request.json(bomb).bytes());
        assert!(begin.elapsed() < REFUSED_WITHIN, "{:?}", begin.elapsed());
        assert_eq!(reply.problem_code(), "unsupported_media_type", "{coding}");
    }
}
