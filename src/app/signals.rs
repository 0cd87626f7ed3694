//! The signals that the process answers to, as what they ask for.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the server answers to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on no signal has its default action; `hangup` had none before.
    pub(super) fn new(hangup: Signal) -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt, hangup })
    }

    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End("SIGTERM"),
            _ = self.interrupt.recv() => Wish::End("SIGINT"),
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// The next signal that asks for the end.
    pub(super) async fn end(&mut self) -> &'static str {
        loop {
            if let Wish::End(signal) = self.next().await {
                return signal;
            }
        }
    }
}

/// What a signal asks for.
pub(super) enum Wish {
    /// The end; with the signal's name.
    End(&'static str),
    /// The live settings, read again.
    Reload,
}
