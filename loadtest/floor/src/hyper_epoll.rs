//! hyper's HTTP/1 on tokio's sockets and nothing else: what ringledger would cost without anything of its own.
//! hyper is left at its defaults, and without a timer, so no deadline is kept.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::reply;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Serves on the calling thread until something is wrong with the listener.
pub(crate) fn serve(listener: TcpListener) -> io::Result<Infallible> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, accept(listener))
}

async fn accept(listener: TcpListener) -> io::Result<Infallible> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn_local(serve_connection(stream));
        while connections.try_join_next().is_some() {}
    }
}

/// An error is the peer's doing: the connection ends, and nobody is told.
async fn serve_connection(stream: TcpStream) {
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(reply::BODY.as_bytes())));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(reply::CONTENT_TYPE));
    fields.insert(X_REQUEST_ID, HeaderValue::from_static(reply::REQUEST_ID));
    Ok(response)
}
