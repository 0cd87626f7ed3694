-- Searching transfers, newest first. `seq` is the row id, which every index carries behind its columns.

-- Where is this key: kept for all time, beside `idempotency`, which forgets a key after a day.
create index transfers_by_key on transfers (idempotency_key);

create index transfers_by_reference on transfers (reference) where reference is not null;

-- All but a few are posted.
create index transfers_by_status on transfers (status) where status <> 'posted';

-- Whether it began as a hold. A transfer that was posted at once has entries of its own `seq`, by which it is found
-- under its accounts; a hold has none, or later ones.
alter table transfers add column hold integer not null default 0 check (hold in (0, 1));
create index holds_by_debit_account on transfers (debit_account) where hold = 1;
create index holds_by_credit_account on transfers (credit_account) where hold = 1;
