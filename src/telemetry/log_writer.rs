//! The thread that writes log text, and the queue to it.
//!
//! The queue is bounded in bytes, because one entry may be a short line or a whole buffer of lines. It never
//! makes a caller wait: what does not fit is dropped, and its lines are counted. It knows nothing of what the
//! lines say.

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use tracing_subscriber::fmt::MakeWriter;

/// Text that waits for the writer, in bytes. It bounds what a reader of standard error that has stalled can
/// cost in memory; at 200 bytes a line it holds some 80,000 lines.
const QUEUE_BYTES: usize = 16 << 20;
/// Emptied buffers that wait for use: one for each of a few cores that hand over at the same moment.
const SPARE_BUFFERS: usize = 4;
/// Capacity of a buffer that is worth keeping: that of a core's access lines. One that once held a huge line is not.
const SPARE_BYTES: RangeInclusive<usize> = 128 << 10..=256 << 10;
/// How long the end of the process waits until all text is written; a stalled reader must not hold it up.
const WRITE_OUT: Duration = Duration::from_secs(1);

/// What the thread is told.
enum Message {
    Text(Vec<u8>),
    /// Write what came before, then end. The thread's end drops the sender.
    End(Sender<()>),
}

/// Lines dropped so far because the writer did not keep up.
#[derive(Debug, Clone, Default)]
pub struct DroppedLines(Arc<AtomicUsize>);

impl DroppedLines {
    /// The count.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The way to the writer; any number of threads may use it.
#[derive(Debug)]
pub(super) struct LogQueue {
    messages: Sender<Message>,
    /// Text in the queue, and at times what is being refused. Shared with the writer.
    queued_bytes: Arc<AtomicUsize>,
    dropped: DroppedLines,
    /// Buffers that were written. Shared with the writer.
    spare: Arc<ArrayQueue<Vec<u8>>>,
}

impl LogQueue {
    /// Passes on `text`, which is whole lines, `lines` of them; all or none are written.
    pub(super) fn submit(&self, text: Vec<u8>, lines: usize) {
        let bytes = text.len();
        let before = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= QUEUE_BYTES;
        // Nobody receives once the writer has ended.
        if !fits || self.messages.send(Message::Text(text)).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.0.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// The memory of a large text that was written, empty, or none.
    pub(super) fn spare(&self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn dropped(&self) -> &DroppedLines {
        &self.dropped
    }
}

/// Makes `tracing` write each of its lines to the queue.
#[derive(Debug)]
pub(super) struct LineWriter(pub(super) Arc<LogQueue>);

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &LineWriter {
    /// Takes one whole line, which is how `tracing_subscriber::fmt` calls it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.submit(line.to_vec(), 1);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes out what is queued when it is dropped, within [`WRITE_OUT`].
#[derive(Debug)]
pub(super) struct WriterThread {
    messages: Sender<Message>,
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        let (ended, end) = mpsc::channel();
        if self.messages.send(Message::End(ended)).is_ok() {
            // Nothing is ever sent: the wait ends when the thread does, or in time.
            let _ = end.recv_timeout(WRITE_OUT);
        }
    }
}

/// Starts the thread that writes to `sink`.
pub(super) fn start(
    sink: impl Write + Send + 'static,
    settle_in: fn(),
) -> io::Result<(Arc<LogQueue>, WriterThread)> {
    let (messages, arriving) = mpsc::channel();
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let spare = Arc::new(ArrayQueue::new(SPARE_BUFFERS));
    let (written_off, emptied) = (Arc::clone(&queued_bytes), Arc::clone(&spare));
    thread::Builder::new().name("log-writer".to_owned()).spawn(move || {
        settle_in();
        write_all(arriving, &written_off, &emptied, sink);
    })?;
    let writer = WriterThread { messages: messages.clone() };
    Ok((Arc::new(LogQueue { messages, queued_bytes, dropped: DroppedLines::default(), spare }), writer))
}

fn write_all(
    arriving: Receiver<Message>,
    queued_bytes: &AtomicUsize,
    emptied: &ArrayQueue<Vec<u8>>,
    mut sink: impl Write,
) {
    while let Ok(message) = arriving.recv() {
        match message {
            Message::Text(mut text) => {
                // There is nowhere to tell of a failure, and the next write may succeed.
                let _ = sink.write_all(&text);
                queued_bytes.fetch_sub(text.len(), Ordering::Relaxed);
                if SPARE_BYTES.contains(&text.capacity()) {
                    text.clear();
                    // Freed where there are enough.
                    let _ = emptied.push(text);
                }
            }
            Message::End(ended) => {
                // First, so that whoever has seen the end can queue no line that nobody counts.
                drop(arriving);
                drop(sink);
                drop(ended);
                return;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Text that a test can wait for, write by write.
    pub(crate) struct Written(pub(crate) Sender<Vec<u8>>);

    impl Write for Written {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.send(text.to_vec()).map(|()| text.len()).map_err(io::Error::other)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A writer whose output arrives at the receiver.
    pub(crate) fn observed() -> (Arc<LogQueue>, WriterThread, Receiver<Vec<u8>>) {
        let (sink, written) = mpsc::channel();
        let (queue, thread) = start(Written(sink), || ()).unwrap();
        (queue, thread, written)
    }

    /// A sink that is stuck until the test lets go.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_end_waits_for_what_was_submitted() {
        let (queue, thread, written) = observed();
        for line in ["a\n", "b\n", "c\n"] {
            queue.submit(line.as_bytes().to_vec(), 1);
        }
        drop(thread);
        assert_eq!(written.iter().collect::<Vec<_>>().concat(), b"a\nb\nc\n");
        assert_eq!(queue.dropped().count(), 0);
        queue.submit(b"late\n".to_vec(), 1);
        assert_eq!(queue.dropped().count(), 1);
    }

    #[test]
    fn a_stalled_reader_costs_lines_and_bounded_memory() {
        let (go, stuck) = mpsc::channel();
        let (queue, thread) = start(Stuck(stuck), || ()).unwrap();
        let half = vec![b'x'; QUEUE_BYTES / 2];
        queue.submit(half.clone(), 10);
        queue.submit(half.clone(), 10);
        assert_eq!(queue.dropped().count(), 0);
        queue.submit(b"y".to_vec(), 7);
        assert_eq!(queue.dropped().count(), 7);
        assert_eq!(queue.queued_bytes.load(Ordering::Relaxed), QUEUE_BYTES);
        drop(go);
        drop(thread);
        assert_eq!(queue.queued_bytes.load(Ordering::Relaxed), 0);
    }
}
