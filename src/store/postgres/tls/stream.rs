//! The client's side of TLS on any stream, as tokio-postgres wants it. The published adapter asks for streams that
//! may change threads; those of a ring do not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{Connect, TlsConnector, client};

/// Why the handshake failed: what the peer sent is not TLS, its certificate is refused, or it refused us.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::store::postgres) struct HandshakeError(io::Error);

impl HandshakeError {
    /// The failure of the connection below, if TLS itself has nothing to do with it.
    pub(in crate::store::postgres) fn of_connection(&self) -> Option<&io::Error> {
        // What rustls finds wrong comes as this kind.
        (self.0.kind() != io::ErrorKind::InvalidData).then_some(&self.0)
    }
}

/// Encrypts one connection, if the server agrees to it.
pub(in crate::store::postgres) struct StartTls {
    connector: TlsConnector,
    server: ServerName<'static>,
    begun: Arc<AtomicBool>,
}

impl StartTls {
    pub(super) fn new(connector: TlsConnector, server: ServerName<'static>) -> Self {
        Self { connector, server, begun: Arc::default() }
    }

    /// Turns true when the server has agreed.
    pub(in crate::store::postgres) fn begun(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.begun)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for StartTls {
    type Stream = Encrypted<S>;
    type Error = HandshakeError;
    type Future = Handshake<S>;

    fn connect(self, stream: S) -> Handshake<S> {
        self.begun.store(true, Ordering::Relaxed);
        Handshake(Box::new(self.connector.connect(self.server, stream)))
    }
}

/// The handshake of one connection. Boxed, since it is large and every connecting future would hold it.
pub(in crate::store::postgres) struct Handshake<S>(Box<Connect<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Handshake<S> {
    type Output = Result<Encrypted<S>, HandshakeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut *self.0).poll(cx).map_ok(Encrypted).map_err(HandshakeError)
    }
}

/// An encrypted connection.
pub(in crate::store::postgres) struct Encrypted<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
