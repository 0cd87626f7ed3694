//! Many transfers under one key.

use std::sync::Arc;

use super::{Books, KeyOutcome, Outcome, Use};
use crate::models::posting::{BatchOutcome, BatchRequest, Refusal};

impl Books {
    pub(super) fn batch(&mut self, request: &BatchRequest) -> Outcome {
        let used = Use::of_batch(request);
        if let Some(earlier) = self.earlier(&used) {
            return earlier;
        }
        let bookmark = request.atomic.then(|| self.begin());
        let BatchRequest { actor, key, .. } = request;
        let mut items = Vec::with_capacity(request.items.len());
        for item in &request.items {
            items.push(self.make_transfer(*actor, key, item.id, &item.terms, item.hold));
        }
        let refused = items.iter().any(Result::is_err);
        let aborted = bookmark.filter(|_| refused);
        match aborted {
            Some(bookmark) => {
                self.undo(bookmark);
                for item in items.iter_mut().filter(|item| item.is_ok()) {
                    *item = Err(Refusal::Aborted);
                }
            }
            None => self.keep(),
        }
        let request_id = request.request_id.clone();
        let batch = BatchOutcome { items, aborted: aborted.is_some(), request_id };
        self.settle(&used, Ok(KeyOutcome::Batch(Arc::new(batch))))
    }
}
