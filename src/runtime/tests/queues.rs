//! More operations at once than the ring has places for: the submission queue is full, the completion queue overflows.

use std::os::unix::net::UnixStream;

use super::engine::RING_ENTRIES;
use super::*;

/// The completion queue has two places for each of the submission queue (`io_uring_setup(2)`).
const COMPLETION_ENTRIES: usize = 2 * RING_ENTRIES as usize;

/// Polls each once, so that all are submitted before any completion is looked at, and then to its end.
async fn all_at_once<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut outputs: Vec<_> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(ended) = future.as_mut().poll(cx)
            {
                *output = Some(ended);
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[test]
fn more_operations_than_either_queue_holds_all_complete() {
    for operations in
        [RING_ENTRIES as usize, RING_ENTRIES as usize + 1, COMPLETION_ENTRIES + 1, 3 * COMPLETION_ENTRIES]
    {
        run::<RingListener, _>(async {
            let ended = all_at_once((0..operations).map(|_| ring::next_turn())).await;
            assert_eq!(ended.len(), operations);
            // The ring is as good as before.
            ring::next_turn().await;
        });
    }
}

/// What is read and written meanwhile is not lost among them.
#[test]
fn an_overflow_loses_no_bytes_of_a_connection() {
    run::<RingListener, _>(async {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut stream = RingStream::from_connected(near).unwrap();
        for round in 0..3 {
            let crowd = all_at_once((0..2 * COMPLETION_ENTRIES).map(|_| ring::next_turn()));
            let bytes = pattern(100 + round);
            io::Write::write_all(&mut far, &bytes).unwrap();
            let (_, received) = tokio::join!(crowd, read(&mut stream, 1_000));
            assert_eq!(received.unwrap(), bytes);
            write_all(&mut stream, &bytes).await.unwrap();
            let kicker = stream.kicker();
            poll_fn(|cx| kicker.kick(cx)).await.unwrap();
            let mut echoed = vec![0; bytes.len()];
            io::Read::read_exact(&mut far, &mut echoed).unwrap();
            assert_eq!(echoed, bytes);
        }
        drop(far);
        stream.close().await;
    });
}
