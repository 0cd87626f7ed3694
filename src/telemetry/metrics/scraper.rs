//! The thread that writes out what is measured, so that no core does: hundreds of series take about a millisecond.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::oneshot;

use super::{Format, Metrics};

/// Scrapes that wait. There are one or two scrapers, who come every few seconds; beyond it somebody scrapes faster than
/// can be written, and is told so.
const SCRAPES: usize = 8;

/// Too many scrapes wait, or the thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many scrapes at once")]
pub struct TooManyScrapes;

struct Scrape {
    format: Format,
    reply: oneshot::Sender<String>,
}

/// The way to the thread. It ends with the last clone.
#[derive(Debug, Clone)]
pub struct Scraper(SyncSender<Scrape>);

impl Scraper {
    /// Starts the thread, which calls `settle_in` first: it may give itself a priority.
    pub fn start(metrics: Arc<Metrics>, settle_in: fn()) -> io::Result<Self> {
        let (queue, scrapes) = sync_channel(SCRAPES);
        thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            settle_in();
            answer(&metrics, &scrapes);
        })?;
        Ok(Self(queue))
    }

    /// Everything that is measured, as text.
    pub async fn scrape(&self, format: Format) -> Result<String, TooManyScrapes> {
        let (reply, text) = oneshot::channel();
        self.0.try_send(Scrape { format, reply }).map_err(|_| TooManyScrapes)?;
        text.await.map_err(|_| TooManyScrapes)
    }
}

fn answer(metrics: &Metrics, scrapes: &Receiver<Scrape>) {
    while let Ok(Scrape { format, reply }) = scrapes.recv() {
        if !reply.is_closed() {
            // Who asked may have gone.
            let _ = reply.send(metrics.render(format));
        }
    }
}
