-- The ledger's tables. `accounts`, `entries` and `transfers` are a stable interface for readers;
-- the others may change with any release.
--
-- Ids are UUIDs as text. Money is an integer in minor units. Times are microseconds since the Unix epoch:
--   select datetime(created_at / 1000000, 'unixepoch') from transfers;

create table users (
    id            text not null primary key,
    username      text not null unique collate nocase,
    role          text not null check (role in ('user', 'operator')),
    password_hash text,
    created_at    integer not null
) strict, without rowid;

create table accounts (
    id          text not null primary key,
    owner       text not null,
    name        text,
    currency    text not null,
    balance     integer not null,
    held        integer not null check (held >= 0),
    min_balance integer,
    version     integer not null,
    created_at  integer not null
) strict, without rowid;

create index accounts_by_owner on accounts (owner, id);

-- The log: the truth that all else is derived from and audited against.
create table events (
    seq  integer not null primary key,
    body blob not null,
    hash blob not null
) strict;

-- Where the log ends; one row.
create table head (
    id   integer not null primary key check (id = 1),
    seq  integer not null,
    hash blob not null,
    at   integer not null
) strict;

create table transfers (
    seq             integer not null primary key,
    id              text not null unique,
    status          text not null check (status in ('pending', 'posted', 'voided', 'expired')),
    debit_account   text not null,
    credit_account  text not null,
    amount          integer not null,
    posted_amount   integer,
    currency        text not null,
    description     text,
    metadata        text,
    reference       text,
    expires_at      integer,
    reverses        text,
    reversed_by     text,
    created_by      text not null,
    idempotency_key text not null,
    created_at      integer not null
) strict;

-- Open holds are few; these serve their sum per account and their expiry.
create index transfers_pending on transfers (debit_account, amount) where status = 'pending';
create index transfers_expiring on transfers (expires_at) where status = 'pending' and expires_at is not null;

-- Clustered by account, so that an account's history is read in one stretch.
create table entries (
    account_id  text not null,
    seq         integer not null,
    transfer_id text not null,
    amount      integer not null,
    balance     integer not null,
    created_at  integer not null,
    primary key (account_id, seq)
) strict, without rowid;

-- What each key was used for. `seq` names the event of an accepted command, `rejection` holds a refusal.
-- Rows stand in order of time, so that the oldest can be dropped without an index of their own.
create table idempotency (
    user_id     text not null,
    key         text not null,
    fingerprint blob not null,
    seq         integer,
    rejection   text,
    used_at     integer not null,
    unique (user_id, key),
    check ((seq is null) <> (rejection is null))
) strict;

insert into head (id, seq, hash, at) values (1, 0, zeroblob(32), 0);

-- The built-in operator: a fixed id, no password.
insert into users (id, username, role, password_hash, created_at)
values ('01900000-0000-7000-8000-000000000001', 'operator', 'operator', null,
        cast(unixepoch('subsec') * 1000000 as integer));
