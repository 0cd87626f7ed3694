//! A server with somebody in it: an operator with a bank, and two users with money.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Api, Server, add_user, euros, run};

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
        let server = Server::start_in(data, arguments);
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

    /// The balance of an account, as the operator sees it.
    pub(crate) async fn balance(&self, account: &str) -> i64 {
        let path = format!("/api/v1/accounts/{account}");
        self.operator.get(&path).send().await.json(200)["balance"].as_i64().unwrap()
    }

    /// Opens an account of the operator's; returns its id.
    pub(crate) async fn open(&self, body: &Value) -> String {
        open_account(&self.operator, body).await
    }
}

impl Party {
    async fn join(server: &Server, nobody: &Api, name: &str) -> Self {
        let token = run(server.data(), &["token", "--user", name]).ok();
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

/// A new directory for a ledger.
pub(crate) fn new_data() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

async fn open_account(api: &Api, body: &Value) -> String {
    let account = api.post("/api/v1/accounts", body).send().await.json(201);
    account["id"].as_str().unwrap().to_owned()
}
