-- Searching transfers, newest first. Text is compared by its bytes: faster, and the same under every locale.

-- Where is this key: kept for all time, beside `idempotency`, which forgets a key after a day.
create index transfers_by_key on transfers (idempotency_key collate "C", seq);

create index transfers_by_reference on transfers (reference collate "C", seq) where reference is not null;

-- All but a few are posted.
create index transfers_by_status on transfers (status collate "C", seq) where status <> 'posted';

-- Whether it began as a hold. A transfer that was posted at once has entries of its own `seq`, by which it is found
-- under its accounts; a hold has none, or later ones.
alter table transfers add column hold boolean not null default false;
create index holds_by_debit_account on transfers (debit_account, seq) where hold;
create index holds_by_credit_account on transfers (credit_account, seq) where hold;
