//! Transfers: asking for one, reading one.

use super::{ServiceError, Services};
use crate::models::posting::{Command, Outcome, TransferRequest};
use crate::models::{Actor, Fingerprint, IdempotencyKey, Role, Terms, Transfer, TransferId};
use crate::telemetry::ids::uuid_v7;

impl Services {
    /// Moves money, at most once per key. The outcome is the ledger's decision, on stable storage.
    ///
    /// `request_id` is kept with a rejection, so that its replay reads like the first reply.
    pub async fn transfer(
        &self,
        actor: Actor,
        key: IdempotencyKey,
        terms: Terms,
        request_id: &str,
    ) -> Result<Outcome, ServiceError> {
        let command = Command::Transfer(TransferRequest {
            actor,
            key,
            fingerprint: Fingerprint::of_transfer(&terms),
            id: TransferId::from_uuid(uuid_v7()),
            terms,
            request_id: request_id.into(),
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
