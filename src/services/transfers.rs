//! Transfers: making them, ending holds, moving money back, reading one.

use super::{ServiceError, Services};
use crate::models::posting::{
    BatchItem, BatchRequest, Command, HoldDecision, HoldRequest, Outcome, ReversalRequest, TransferRequest,
};
use crate::models::{Actor, Fingerprint, Hold, IdempotencyKey, Role, Terms, Transfer, TransferId};
use crate::telemetry::ids::uuid_v7;

/// Who asks, under which key.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The user.
    pub actor: Actor,
    /// The user's key.
    pub key: IdempotencyKey,
    /// Kept with a rejection, so that its replay reads like the first reply.
    pub request_id: &'a str,
}

/// What a transfer is to do.
#[derive(Debug, Clone)]
pub struct Order {
    /// What moves.
    pub terms: Terms,
    /// Whether it is only held for now, and how.
    pub hold: Option<Hold>,
}

impl Services {
    /// Moves money or holds it, at most once per key. The outcome is the ledger's decision, on stable storage.
    pub async fn transfer(&self, asked: Asked<'_>, order: Order) -> Result<Outcome, ServiceError> {
        let Order { terms, hold } = order;
        let command = Command::Transfer(TransferRequest {
            actor: asked.actor,
            key: asked.key,
            fingerprint: Fingerprint::of_transfer(&terms, hold),
            id: TransferId::from_uuid(uuid_v7()),
            terms,
            hold,
            request_id: asked.request_id.into(),
        });
        Ok(self.lane.submit(command).await?)
    }

    /// Posts or voids a pending transfer, at most once per key.
    pub async fn resolve(
        &self,
        asked: Asked<'_>,
        transfer_id: TransferId,
        decision: HoldDecision,
    ) -> Result<Outcome, ServiceError> {
        let fingerprint = match decision {
            HoldDecision::Post(amount) => Fingerprint::of_post(transfer_id, amount),
            HoldDecision::Void => Fingerprint::of_void(transfer_id),
        };
        let command = Command::Resolve(HoldRequest {
            actor: asked.actor,
            key: asked.key,
            fingerprint,
            transfer_id,
            decision,
            request_id: asked.request_id.into(),
        });
        Ok(self.lane.submit(command).await?)
    }

    /// Moves a posted transfer's money back, at most once per key.
    pub async fn reverse(&self, asked: Asked<'_>, reverses: TransferId) -> Result<Outcome, ServiceError> {
        let command = Command::Reverse(ReversalRequest {
            actor: asked.actor,
            key: asked.key,
            fingerprint: Fingerprint::of_reversal(reverses),
            id: TransferId::from_uuid(uuid_v7()),
            reverses,
            request_id: asked.request_id.into(),
        });
        Ok(self.lane.submit(command).await?)
    }

    /// Makes transfers one after the other, at most once per key; all or none if `atomic`.
    pub async fn batch(
        &self,
        asked: Asked<'_>,
        atomic: bool,
        orders: Vec<Order>,
    ) -> Result<Outcome, ServiceError> {
        let item = |Order { terms, hold }| BatchItem { id: TransferId::from_uuid(uuid_v7()), terms, hold };
        let items: Vec<_> = orders.into_iter().map(item).collect();
        let command = Command::Batch(BatchRequest {
            actor: asked.actor,
            key: asked.key,
            fingerprint: Fingerprint::of_batch(atomic, &items),
            atomic,
            items,
            request_id: asked.request_id.into(),
        });
        Ok(self.lane.submit(command).await?)
    }

    /// A transfer that touches an account of the actor's.
    pub async fn transfer_by_id(&self, actor: Actor, id: TransferId) -> Result<Transfer, ServiceError> {
        let transfer = self.reader.transfer(id).await?.ok_or(ServiceError::NotFound)?;
        if actor.role != Role::Operator {
            self.permit_either_side(actor, &transfer).await?;
        }
        Ok(transfer)
    }

    async fn permit_either_side(&self, actor: Actor, transfer: &Transfer) -> Result<(), ServiceError> {
        for id in [transfer.terms.debit_account, transfer.terms.credit_account] {
            let account = self.reader.account(id).await?;
            if account.is_some_and(|account| account.owner == actor.id) {
                return Ok(());
            }
        }
        Err(ServiceError::Forbidden("The transfer is between accounts of other users."))
    }
}
