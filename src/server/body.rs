//! Request bodies: collected whole, within a bound of bytes and of patience.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::api::AppError;

/// How long a refused request's body may take to arrive before the connection is given up instead.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// The whole body. A declared length beyond the bound is refused before anything is read, so that a client that
/// expects `100 Continue` is spared the upload.
pub(super) async fn collect(
    body: &mut Incoming,
    bound_bytes: usize,
    stall: Duration,
) -> Result<Bytes, AppError> {
    let too_large = AppError::PayloadTooLarge(bound_bytes);
    if body.size_hint().lower() > bound_bytes as u64 {
        return Err(too_large);
    }
    let Some(first) = next(body, stall).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > bound_bytes {
        return Err(too_large);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while let Some(data) = next(body, stall).await? {
        if whole.len() + data.len() > bound_bytes {
            return Err(too_large);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads away the body of a request that was refused, so that the connection can go on. Returns whether it can.
pub(super) async fn discard(body: &mut Incoming, bound_bytes: usize, expects_continue: bool) -> bool {
    if body.is_end_stream() {
        return true;
    }
    if expects_continue || body.size_hint().lower() > bound_bytes as u64 {
        return false;
    }
    let all = async {
        let mut left = bound_bytes;
        // hyper does not say of a chunked body that it has ended; its last frame does.
        while let Some(data) = next(body, DISCARD_TIMEOUT).await.ok()? {
            left = left.checked_sub(data.len())?;
        }
        Some(())
    };
    matches!(timeout(DISCARD_TIMEOUT, all).await, Ok(Some(())))
}

/// The next piece of data; trailers are passed over.
async fn next(body: &mut Incoming, stall: Duration) -> Result<Option<Bytes>, AppError> {
    loop {
        let frame = timeout(stall, body.frame()).await.map_err(|_| AppError::BodyTimeout)?;
        match frame.transpose().map_err(|_| AppError::BodyBroken)?.map(hyper::body::Frame::into_data) {
            Some(Ok(data)) => return Ok(Some(data)),
            Some(Err(_trailers)) => {}
            None => return Ok(None),
        }
    }
}
