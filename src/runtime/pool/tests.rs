//! The pool from outside: what its callers may rely on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, mpsc};

use super::*;
use crate::runtime::cores::{self, burn};
use crate::runtime::sys;

/// So long that the relief thread never steps in: a test's jobs block, which looks like starvation.
const NO_RELIEF: Duration = Duration::from_hours(1);

fn one_thread(queue_len: usize) -> (CpuPool, CpuThreads) {
    CpuPool::start_with(NO_RELIEF, NonZeroUsize::MIN, queue_len, |_| ()).unwrap()
}

/// Occupies the pool's only thread until the returned sender is used or dropped.
async fn occupy(pool: &CpuPool) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let (started, mut has_started) = tokio::sync::mpsc::channel(1);
    let (pool, released) = (pool.clone(), Mutex::new(released));
    tokio::spawn(async move {
        let job = move || {
            started.try_send(()).unwrap();
            released.lock().unwrap().recv()
        };
        pool.run(job).await
    });
    has_started.recv().await.unwrap();
    release
}

#[tokio::test]
async fn results_come_back_from_named_threads() {
    let (pool, _threads) = one_thread(1);
    let name = pool.run(|| thread::current().name().map(str::to_owned)).await;
    assert_eq!(name, Ok(Some("cpu-0".to_owned())));
}

#[tokio::test]
async fn threads_run_in_the_idle_class() {
    let (pool, _threads) = one_thread(1);
    assert_eq!(pool.run(sys::scheduling_class).await, Ok(libc::SCHED_IDLE));
    assert_eq!(sys::scheduling_class(), libc::SCHED_OTHER);
}

#[tokio::test]
async fn a_full_queue_is_reported_at_once() {
    let (pool, _threads) = one_thread(1);
    let release = occupy(&pool).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(|| 1).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(pool.run(|| 2).await, Err(PoolError::Full));
    drop(release);
    assert_eq!(waiting.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn a_panic_is_contained() {
    let (pool, _threads) = one_thread(1);
    let outcome: Result<(), _> = pool.run(|| panic!("this panic belongs to the test")).await;
    assert_eq!(outcome, Err(PoolError::Panicked));
    assert_eq!(pool.run(|| 7).await, Ok(7));
}

#[tokio::test]
async fn a_job_whose_caller_has_gone_is_skipped() {
    let (pool, _threads) = one_thread(2);
    let release = occupy(&pool).await;
    let (ran, runs) = mpsc::channel();
    let abandoned = tokio::spawn({
        let (pool, ran) = (pool.clone(), ran.clone());
        async move { pool.run(move || ran.send("abandoned")).await }
    });
    tokio::task::yield_now().await;
    abandoned.abort();
    assert!(abandoned.await.unwrap_err().is_cancelled());
    drop(release);
    pool.run(move || ran.send("wanted")).await.unwrap().unwrap();
    assert_eq!(runs.recv(), Ok("wanted"));
}

#[tokio::test]
async fn stopping_ends_the_running_job_and_drops_the_waiting_one() {
    let (pool, threads) = one_thread(1);
    let release = occupy(&pool).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(|| ()).await }
    });
    tokio::task::yield_now().await;
    // The waiting caller hears of it while the other job runs.
    let stopping = thread::spawn(|| threads.stop());
    assert_eq!(waiting.await.unwrap(), Err(PoolError::Stopped));
    drop(release);
    stopping.join().unwrap();
    assert_eq!(pool.run(|| ()).await, Err(PoolError::Stopped));
}

#[tokio::test]
async fn waiting_and_running_are_timed() {
    let (told, timings) = mpsc::channel();
    let observe = move |timing| told.send(timing).unwrap();
    let (pool, _threads) = CpuPool::start_with(NO_RELIEF, NonZeroUsize::MIN, 3, observe).unwrap();
    let cost = Duration::from_millis(10);
    let (first, second, panicked) = tokio::join!(
        pool.run(move || burn(cost)),
        pool.run(|| ()),
        pool.run(|| panic!("belongs to the test"))
    );
    assert_eq!((first, second, panicked), (Ok(()), Ok(()), Err::<(), _>(PoolError::Panicked)));
    let timings: Vec<Timing> = timings.try_iter().collect();
    assert_eq!(timings.len(), 3);
    assert!(timings[0].run >= cost, "{timings:?}");
    assert!(timings[1].queue >= timings[0].run, "{timings:?}");
}

#[tokio::test]
async fn an_observer_that_panics_costs_one_answer() {
    let mut calls = 0;
    let observe = move |_| {
        calls += 1;
        assert!(calls > 1, "this panic belongs to the test");
    };
    let (pool, _threads) = CpuPool::start_with(NO_RELIEF, NonZeroUsize::MIN, 1, observe).unwrap();
    assert_eq!(pool.run(|| 1).await, Err(PoolError::Stopped));
    assert_eq!(pool.run(|| 2).await, Ok(2));
}

/// Callers wake on a thread that keeps its share of a core while it holds their scheduler's lock.
#[tokio::test]
async fn callers_are_told_from_a_thread_of_normal_priority() {
    let (told, class) = mpsc::channel();
    let observe = move |_| told.send(sys::scheduling_class()).unwrap();
    let (pool, _threads) = CpuPool::start(NonZeroUsize::MIN, 1, observe).unwrap();
    pool.run(|| ()).await.unwrap();
    assert_eq!(class.recv(), Ok(libc::SCHED_OTHER));
}

/// Threads that leave `SCHED_IDLE` next to nothing of any core, until dropped.
struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spinners {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = cores::allowed();
        let spinning = Arc::new(Barrier::new(cores.len() + 1));
        let spin = |core| {
            let (stop, spinning) = (Arc::clone(&stop), Arc::clone(&spinning));
            thread::spawn(move || {
                cores::pin(core).unwrap();
                spinning.wait();
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = cores.into_iter().map(spin).collect();
        spinning.wait();
        Self { stop, threads }
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(join);
    }
}

type ThreadSeen = (Option<String>, libc::c_int);

/// A job of some length that tells who ran it.
fn burn_and_tell() -> ThreadSeen {
    burn(Duration::from_millis(20));
    (thread::current().name().map(str::to_owned), sys::scheduling_class())
}

/// By a worker at `SCHED_IDLE` each job would take some ten seconds.
#[tokio::test]
async fn starved_jobs_are_run_by_the_relief_thread() {
    let (pool, _threads) = CpuPool::start(NonZeroUsize::MIN, 1, |_| ()).unwrap();
    let spinners = Spinners::start();
    let relief = Ok((Some("cpu-relief".to_owned()), libc::SCHED_BATCH));
    assert_eq!(tokio::join!(pool.run(burn_and_tell), pool.run(burn_and_tell)), (relief.clone(), relief));
    drop(spinners);
    while pool.run(sys::scheduling_class).await != Ok(libc::SCHED_IDLE) {}
}

/// A worker cannot let go of what it has begun.
#[tokio::test]
async fn a_job_whose_worker_is_stuck_is_run_again() {
    let (pool, threads) = CpuPool::start(NonZeroUsize::MIN, 1, |_| ()).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let on_relief = pool.run(move || {
        let (name, _) = burn_and_tell();
        if name.as_deref() == Some("cpu-0") {
            // An error is as good: the test has ended.
            let _ = released.lock().unwrap().recv();
        }
        name
    });
    assert_eq!(on_relief.await, Ok(Some("cpu-relief".to_owned())));
    drop(release);
    threads.stop();
}
