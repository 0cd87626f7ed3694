//! A hyper server on either engine, driven as the real one is: poll, then kick.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Response, server::conn::http1};

use super::*;

in_every_mode! {
    pipelined_requests_are_all_answered
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
const BODY: &str = "pipelined";
const REQUESTS: usize = 1000;

/// Serves the connection to its end and gives the stream back.
async fn serve<S: Stream>(stream: S) -> S {
    let kicker = stream.kicker();
    let service = service_fn(|_| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY.as_bytes()))))
    });
    let mut connection = http1::Builder::new().max_buf_size(WRITE_BOUND).serve_connection(stream, service);
    poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        if let Poll::Ready(sent) = kicker.kick(cx) {
            sent.unwrap();
        }
        ended
    })
    .await
    .unwrap();
    connection.into_parts().io
}

fn pipelined_requests_are_all_answered<L: OnEngine>() {
    let ((), replies) = serve_one::<L, _, _>(
        async |stream| serve(stream).await.close().await,
        |client| {
            let mut writer = client.try_clone().unwrap();
            let writing = thread::spawn(move || {
                writer.write_all(&REQUEST.repeat(REQUESTS - 1)).unwrap();
                writer.write_all(LAST_REQUEST).unwrap();
            });
            let mut replies = String::new();
            (&client).read_to_string(&mut replies).unwrap();
            writing.join().unwrap();
            replies
        },
    );
    assert_eq!(replies.matches("HTTP/1.1 200 OK").count(), REQUESTS);
    assert_eq!(replies.matches(BODY).count(), REQUESTS);
}
