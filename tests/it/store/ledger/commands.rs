//! Commands, each with ids of its own.

use super::*;

impl Ledger {
    /// An id that was not made before. Ids rise.
    pub(crate) fn new_id(&mut self) -> Uuid {
        self.made += 1;
        Uuid::from_u128(0x0190_0000_0000_7000_9000_0000_0000_0000 + self.made)
    }

    /// Makes an ordinary user.
    pub(crate) fn registration(&mut self, name: &str) -> RegisterUser {
        RegisterUser {
            id: UserId::from_uuid(self.new_id()),
            username: name.parse().unwrap(),
            role: Role::User,
            password_hash: format!("hash of {name}"),
        }
    }

    /// Opens a euro account that may not fall below 0.
    pub(crate) fn opening(&mut self, owner: UserId) -> OpenAccount {
        OpenAccount {
            id: AccountId::from_uuid(self.new_id()),
            owner: Owner::Id(owner),
            name: None,
            currency: "EUR".parse().unwrap(),
            min_balance: Some(Money::ZERO),
        }
    }

    /// The operator moves euros, with a key of its own.
    pub(crate) fn payment(&mut self, debit: AccountId, credit: AccountId, amount: i64) -> TransferRequest {
        let key = format!("key-{}", self.made);
        self.request(OPERATOR, &key, euros(debit, credit, amount))
    }

    /// Asks for a transfer.
    pub(crate) fn request(&mut self, actor: Actor, key: &str, terms: Terms) -> TransferRequest {
        let id = self.new_id();
        TransferRequest {
            actor,
            key: key_of(key),
            fingerprint: Fingerprint::of_transfer(&terms, None),
            id: TransferId::from_uuid(id),
            terms,
            hold: None,
            request_id: format!("request-{id}").into(),
        }
    }

    /// The operator holds euros, with a key of its own.
    pub(crate) fn holding(
        &mut self,
        debit: AccountId,
        credit: AccountId,
        amount: i64,
        timeout_s: Option<u32>,
    ) -> TransferRequest {
        let request = self.payment(debit, credit, amount);
        let hold = Some(Hold { timeout_s });
        TransferRequest { fingerprint: Fingerprint::of_transfer(&request.terms, hold), hold, ..request }
    }

    /// The operator posts a hold or a part of it, with a key of its own.
    pub(crate) fn posting(&mut self, of: TransferId, part: Option<i64>) -> HoldRequest {
        let part = part.map(|part| Amount::new(part).unwrap());
        self.resolution(of, HoldDecision::Post(part), Fingerprint::of_post(of, part))
    }

    /// The operator voids a hold, with a key of its own.
    pub(crate) fn voiding(&mut self, of: TransferId) -> HoldRequest {
        self.resolution(of, HoldDecision::Void, Fingerprint::of_void(of))
    }

    fn resolution(
        &mut self,
        transfer_id: TransferId,
        decision: HoldDecision,
        fingerprint: Fingerprint,
    ) -> HoldRequest {
        let id = self.new_id();
        let (key, request_id) = (key_of(&format!("key-{id}")), format!("request-{id}").into());
        HoldRequest { actor: OPERATOR, key, fingerprint, transfer_id, decision, request_id }
    }

    /// The operator reverses a transfer, with a key of its own.
    pub(crate) fn reversal(&mut self, reverses: TransferId) -> ReversalRequest {
        let id = self.new_id();
        ReversalRequest {
            actor: OPERATOR,
            key: key_of(&format!("key-{id}")),
            fingerprint: Fingerprint::of_reversal(reverses),
            id: TransferId::from_uuid(id),
            reverses,
            request_id: format!("request-{id}").into(),
        }
    }

    /// The operator asks for transfers, under one key of its own.
    pub(crate) fn many(
        &mut self,
        atomic: bool,
        orders: impl IntoIterator<Item = (Terms, Option<Hold>)>,
    ) -> BatchRequest {
        let mut item = |(terms, hold)| BatchItem { id: TransferId::from_uuid(self.new_id()), terms, hold };
        let items: Vec<_> = orders.into_iter().map(&mut item).collect();
        let id = self.new_id();
        BatchRequest {
            actor: OPERATOR,
            key: key_of(&format!("key-{id}")),
            fingerprint: Fingerprint::of_batch(atomic, &items),
            atomic,
            items,
            request_id: format!("request-{id}").into(),
        }
    }

    /// The same command, sent another time: with other ids.
    pub(crate) fn sent_again(&mut self, command: &Command) -> Command {
        let mut command = command.clone();
        let request_id = format!("request-{}", self.new_id()).into();
        let mut new_id = || TransferId::from_uuid(self.new_id());
        match &mut command {
            Command::Transfer(request) => (request.id, request.request_id) = (new_id(), request_id),
            Command::Resolve(request) => request.request_id = request_id,
            Command::Reverse(request) => (request.id, request.request_id) = (new_id(), request_id),
            Command::Batch(request) => {
                request.request_id = request_id;
                request.items.iter_mut().for_each(|item| item.id = new_id());
            }
            other => panic!("{other:?} has no key"),
        }
        command
    }

    /// The same request, sent another time.
    pub(crate) fn again(&mut self, request: &TransferRequest) -> TransferRequest {
        self.request(request.actor, request.key.as_str(), request.terms.clone())
    }
}
