-- The ledger's tables. `accounts`, `entries` and `transfers` are a stable interface for readers;
-- the others may change with any release. Money is an integer in minor units.

create table users (
    id            uuid primary key,
    username      text not null,
    role          text not null check (role in ('user', 'operator')),
    password_hash text,
    created_at    timestamptz not null
);

-- Names are ASCII and unique whatever their case.
create unique index users_by_name on users (lower(username collate "C"));

create table accounts (
    id          uuid primary key,
    owner       uuid not null,
    name        text,
    currency    text not null,
    balance     bigint not null,
    held        bigint not null check (held >= 0),
    min_balance bigint,
    version     bigint not null,
    created_at  timestamptz not null
-- Room on each page, so that a new balance finds its place beside the old one and no index is touched (HOT).
) with (fillfactor = 70);

create index accounts_by_owner on accounts (owner, id);

-- The log: the truth that all else is derived from and audited against.
create table events (
    seq  bigint primary key,
    body bytea not null,
    hash bytea not null
);

-- Where the log ends; one row. Whoever holds its lock is the only one who appends.
create table head (
    id   integer primary key check (id = 1),
    seq  bigint not null,
    hash bytea not null,
    at   timestamptz not null
) with (fillfactor = 10);

create table transfers (
    seq             bigint primary key,
    id              uuid not null unique,
    status          text not null check (status in ('pending', 'posted', 'voided', 'expired')),
    debit_account   uuid not null,
    credit_account  uuid not null,
    amount          bigint not null,
    posted_amount   bigint,
    currency        text not null,
    description     text,
    metadata        json,
    reference       text,
    expires_at      timestamptz,
    reverses        uuid,
    reversed_by     uuid,
    created_by      uuid not null,
    idempotency_key text not null,
    created_at      timestamptz not null
);

-- Open holds are few; these serve their sum per account and their expiry.
create index transfers_pending on transfers (debit_account, amount) where status = 'pending';
create index transfers_expiring on transfers (expires_at) where status = 'pending' and expires_at is not null;

create table entries (
    account_id  uuid not null,
    seq         bigint not null,
    transfer_id uuid not null,
    amount      bigint not null,
    balance     bigint not null,
    created_at  timestamptz not null,
    primary key (account_id, seq)
);

-- What each key was used for. `seq` names the event of an accepted command, `rejection` holds a refusal.
create table idempotency (
    user_id     uuid not null,
    key         text collate "C" not null,
    fingerprint bytea not null,
    seq         bigint,
    rejection   text,
    used_at     timestamptz not null,
    primary key (user_id, key),
    check ((seq is null) <> (rejection is null))
);

-- The oldest are dropped.
create index idempotency_by_time on idempotency (used_at);

-- Which keys may sign tokens: SHA-256 of each.
create table signing_keys (
    fingerprint bytea primary key,
    accepted_at timestamptz not null
);

insert into head (id, seq, hash, at) values (1, 0, decode(repeat('00', 32), 'hex'), 'epoch');

-- The built-in operator: a fixed id, no password.
insert into users (id, username, role, password_hash, created_at)
values ('01900000-0000-7000-8000-000000000001', 'operator', 'operator', null, clock_timestamp());
