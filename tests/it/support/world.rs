//! A server with somebody in it: an operator with a bank, and two users with money.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Api, PASSWORD, Request, Server, Store, add_user, euros, run_command};

/// What the two users have to begin with, in cents.
pub(crate) const FUNDS: i64 = 10_000;
/// The `seq` of the last transfer that made the world.
pub(crate) const LAST_SEQ: u64 = 2;

/// A server and those who call it.
pub(crate) struct World {
    pub(crate) server: Server,
    /// Without a token.
    pub(crate) nobody: Api,
    /// The built-in operator.
    pub(crate) operator: Api,
    /// The operator's euro account without a floor, where all money comes from.
    pub(crate) bank: String,
    pub(crate) alice: Party,
    pub(crate) bob: Party,
}

/// A user with a euro account.
pub(crate) struct Party {
    pub(crate) api: Api,
    pub(crate) id: String,
    pub(crate) account: String,
}

impl World {
    /// On a server with default settings.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// On a server with further arguments of `serve`.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let data = new_data();
        Self::on(data, arguments).await
    }

    /// On a server with these settings.
    pub(crate) async fn configured(yaml: &str) -> Self {
        let data = new_data();
        let path = data.path().join("settings.yaml");
        std::fs::write(&path, yaml).unwrap();
        Self::on(data, &["--config", path.to_str().unwrap()]).await
    }

    async fn on(data: TempDir, arguments: &[&str]) -> Self {
        for name in ["alice", "bob"] {
            add_user(data.path(), name, &[]).ok();
        }
        Self::around(Server::start_in(data, arguments)).await
    }

    /// On a server that keeps its ledger in `store`.
    pub(crate) async fn of(store: Store) -> Self {
        Self::of_set(store, &[]).await
    }

    /// The same with further settings.
    pub(crate) async fn of_set(store: Store, settings: &[(&str, &str)]) -> Self {
        let server = store.serve(settings);
        let nobody = Api::anonymous(&server);
        for name in ["alice", "bob"] {
            let user = json!({"username": name, "password": PASSWORD});
            nobody.post("/api/v1/users", &user).send().await.is(201);
        }
        Self::around(server).await
    }

    /// The same where nobody may register.
    pub(crate) async fn of_closed(store: Store, settings: &[(&str, &str)]) -> Self {
        let server = store.serve(settings);
        for name in ["alice", "bob"] {
            let mut command = server.command();
            command.args(["user", "add", name, "--password-stdin"]);
            run_command(command, &format!("{PASSWORD}\n")).ok();
        }
        Self::around(server).await
    }

    async fn around(server: Server) -> Self {
        let nobody = Api::anonymous(&server);
        let operator = nobody.with_token(&server.operator_token());
        let bank = open_account(&operator, &json!({"currency": "EUR", "min_balance": null})).await;
        let alice = Party::join(&server, &nobody, "alice").await;
        let bob = Party::join(&server, &nobody, "bob").await;
        for party in [&alice, &bob] {
            operator.transfer(&euros(&bank, &party.account, FUNDS)).send().await.is(201);
        }
        Self { server, nobody, operator, bank, alice, bob }
    }

    /// The same world after `kill -9` of the server.
    pub(crate) fn after_a_crash(self) -> Self {
        let (server, _) = self.server.kill_and_restart();
        let nobody = Api::anonymous(&server);
        let renewed = |api: &Api| nobody.with_token(api.token());
        let operator = renewed(&self.operator);
        let alice = Party { api: renewed(&self.alice.api), ..self.alice };
        let bob = Party { api: renewed(&self.bob.api), ..self.bob };
        Self { server, operator, bank: self.bank, alice, bob, nobody }
    }

    /// A transfer of euros from alice to bob.
    pub(crate) fn payment(&self, amount: i64) -> Value {
        euros(&self.alice.account, &self.bob.account, amount)
    }

    /// An account, as the operator sees it.
    pub(crate) async fn account(&self, account: &str) -> Value {
        self.operator.get(&format!("/api/v1/accounts/{account}")).send().await.json(200)
    }

    /// A transfer, as the operator sees it.
    pub(crate) async fn transfer(&self, transfer: &Value) -> Value {
        self.operator.get(&path_of(transfer)).send().await.json(200)
    }

    /// Alice holds this much for bob.
    pub(crate) async fn hold(&self, amount: i64) -> Value {
        let mut body = self.payment(amount);
        body["pending"] = json!(true);
        self.alice.api.transfer(&body).send().await.json(201)
    }

    /// The `seq` that the next event would have; makes one.
    pub(crate) async fn next_seq(&self) -> u64 {
        let transfer = self.operator.transfer(&euros(&self.bank, &self.alice.account, 1)).send().await;
        transfer.json(201)["seq"].as_u64().unwrap()
    }

    /// The balance of an account, as the operator sees it.
    pub(crate) async fn balance(&self, account: &str) -> i64 {
        self.account(account).await["balance"].as_i64().unwrap()
    }

    /// Opens an account of the operator's; returns its id.
    pub(crate) async fn open(&self, body: &Value) -> String {
        open_account(&self.operator, body).await
    }
}

impl Party {
    async fn join(server: &Server, nobody: &Api, name: &str) -> Self {
        let mut command = server.command();
        command.args(["token", "--user", name]);
        let token = run_command(command, "").ok();
        let api = nobody.with_token(token.trim());
        let me = api.get("/api/v1/users/me").send().await.json(200);
        let account = open_account(&api, &json!({"currency": "EUR"})).await;
        Self { api, id: me["id"].as_str().unwrap().to_owned(), account }
    }

    /// Path of the party's account.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/accounts/{}", self.account)
    }
}

/// The path of a transfer.
pub(crate) fn path_of(transfer: &Value) -> String {
    format!("/api/v1/transfers/{}", transfer["id"].as_str().unwrap())
}

/// A `POST` without a body that does `verb` to a transfer.
pub(crate) fn act(api: &Api, transfer: &Value, verb: &str, key: &str) -> Request {
    api.request(reqwest::Method::POST, &format!("{}/{verb}", path_of(transfer))).key(key)
}

/// Checks that `again` is `first` told a second time.
#[track_caller]
pub(crate) fn assert_replays(again: &Answer, first: &Answer) {
    assert_eq!(again.status, first.status, "{}", again.text());
    assert_eq!(again.text(), first.text());
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    again.is_not_stored();
}

/// A new directory for a ledger.
pub(crate) fn new_data() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn open_account(api: &Api, body: &Value) -> String {
    let account = api.post("/api/v1/accounts", body).send().await.json(201);
    account["id"].as_str().unwrap().to_owned()
}
