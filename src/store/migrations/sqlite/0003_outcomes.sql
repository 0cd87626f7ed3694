-- What a key keeps is no longer only a rejection: a batch keeps what became of each of its transfers.
alter table idempotency rename column rejection to outcome;
