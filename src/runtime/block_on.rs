//! A worker thread's entry into asynchronous code: builds the engine's runtime, runs one future
//! on it, and lets go of the runtime only when that is sound. Knows nothing of what the future
//! does.

use std::mem::ManuallyDrop;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::timeout;
use tracing::error;

use super::engine::{Engine, EngineError, RING_ENTRIES, RingSetup};
use super::ring;

/// How long a finished worker waits for the last completions of its ring. Sockets are shut down
/// by then, so completions are due at once; this bounds the exit should one never come.
const LAST_COMPLETIONS: Duration = Duration::from_secs(2);

/// Runs `future` to its end on a new single-threaded runtime of `engine`, with timers, sockets
/// and `spawn_local` (so `JoinSet::spawn_local` too). Tasks that `future` leaves behind are
/// dropped with the runtime.
///
/// On `io_uring` it then waits until no operation is in flight. A runtime that is dropped earlier
/// frees buffers that the kernel still writes to; if operations remain after 2 s, or if
/// `future` panics, the runtime is leaked instead.
///
/// Errors: [`EngineError::Build`] when the runtime cannot be built.
///
/// Futures must not wait by `yield_now` in a loop: operations are submitted when the thread runs
/// out of ready tasks. Await `tokio_uring::no_op()` instead.
pub fn block_on<F: Future>(engine: Engine, future: F) -> Result<F::Output, EngineError> {
    match engine {
        Engine::Uring(setup) => on_ring(setup, future),
        Engine::Epoll => on_epoll(future),
    }
}

fn on_epoll<F: Future>(future: F) -> Result<F::Output, EngineError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(EngineError::Build)?;
    Ok(LocalSet::new().block_on(&runtime, future))
}

fn on_ring<F: Future>(setup: RingSetup, future: F) -> Result<F::Output, EngineError> {
    let mut builder = tokio_uring::builder();
    builder.entries(RING_ENTRIES).uring_builder(&setup.builder());
    let runtime = tokio_uring::Runtime::new(&builder).map_err(EngineError::Build)?;
    // Unwinding from `future` must not drop the runtime either.
    let runtime = ManuallyDrop::new(runtime);
    let output = runtime.block_on(future);
    let drained = runtime.block_on(async { timeout(LAST_COMPLETIONS, ring::quiet()).await });
    if drained.is_ok() {
        drop(ManuallyDrop::into_inner(runtime));
    } else {
        error!(
            in_flight = ring::in_flight(),
            "operations outlived their worker; its ring is leaked until the process ends"
        );
    }
    Ok(output)
}
