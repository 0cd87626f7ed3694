//! Statements: what they say, to whom, in which form; and how long ones are made, sent, cut and given up.

mod streams;

use serde_json::json;

use crate::support::books::Books;
use crate::support::postgres::{serve_on, shared_cluster};
use crate::support::raw::Connection;
use crate::support::{Answer, Api, FUNDS, World, euros};

const HEADER: &str = "record,seq,created_at,transfer_id,counterparty_account,description,reference,amount,balance,\
     currency,account_id,owner,owner_name";

fn path(account: &str, query: &str) -> String {
    format!("/api/v1/accounts/{account}/statement{query}")
}

async fn csv(api: &Api, account: &str, query: &str) -> Vec<Vec<String>> {
    let answer = api.get(&path(account, query)).header("accept", "text/csv").send().await;
    records(answer.is(200).text())
}

/// The records of a CSV file without line breaks inside fields, less its header.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut lines = text.split_terminator("\r\n");
    assert_eq!(lines.next(), Some(HEADER));
    let records: Vec<_> = lines.map(fields).collect();
    assert!(records.iter().all(|record| record.len() == HEADER.split(',').count()), "{text}");
    records
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().unwrap();
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

/// Kind, description, amount and balance of each record.
fn gist(records: &[Vec<String>]) -> Vec<[&str; 4]> {
    records.iter().map(|record| [0, 5, 7, 8].map(|place| &*record[place])).collect()
}

async fn pay(world: &World, amount: i64, description: &str) -> serde_json::Value {
    let mut body = world.payment(amount);
    body["description"] = json!(description);
    body["reference"] = json!("2026/17, part 1");
    world.alice.api.transfer(&body).send().await.json(201)
}

#[tokio::test]
async fn a_statement_names_account_owner_period_balances_and_every_entry() {
    let world = World::new().await;
    let alice = &world.alice;
    let first = pay(&world, 1_250, "Rent, \"two\" rooms").await;
    pay(&world, 1, "=1+1").await;
    let records = csv(&alice.api, &alice.account, "").await;
    let [opening, funded, rent, formula, closing] = records.as_slice() else { panic!("{records:?}") };
    let account = alice.api.get(&alice.path()).send().await.json(200);
    for (end, kind) in [(opening, "opening"), (closing, "closing")] {
        assert_eq!(end[0], kind);
        assert_eq!(end[9..], ["EUR", &alice.account, &alice.id, "alice"]);
    }
    assert_eq!(opening[2], account["created_at"], "the period begins with the account");
    assert!(closing[2] >= formula[2], "and ends now");
    assert_eq!(gist(&records[..2]), [["opening", "", "0", "0"], ["entry", "", "10000", "10000"]]);
    assert_eq!(funded[4], world.bank);
    assert_eq!(
        gist(&records[2..]),
        [
            ["entry", "Rent, \"two\" rooms", "-1250", "8750"],
            ["entry", "'=1+1", "-1", "8749"],
            ["closing", "", "8749", "8749"],
        ]
    );
    assert_eq!(
        [&rent[1], &rent[2], &rent[3]].map(|field| json!(field)),
        [json!(first["seq"].to_string()), first["created_at"].clone(), first["id"].clone()]
    );
    assert_eq!([&*rent[4], &*rent[6]], [&*world.bob.account, "2026/17, part 1"]);
    let other_side = csv(&world.bob.api, &world.bob.account, "").await;
    assert_eq!(gist(&other_side)[2], ["entry", "Rent, \"two\" rooms", "1250", "11250"]);
    assert_eq!(other_side[2][4], alice.account);
}

#[tokio::test]
async fn a_period_has_its_first_moment_and_not_its_last() {
    let world = World::new().await;
    let (api, account) = (&world.alice.api, &*world.alice.account);
    let mut times = Vec::new();
    for amount in 1..=3 {
        times.push(pay(&world, amount, "p").await["created_at"].as_str().unwrap().to_owned());
    }
    let of = async |query: String| {
        let records = csv(api, account, &query).await;
        let entries = records.iter().filter(|record| record[0] == "entry").count();
        let ends = [records.first().unwrap(), records.last().unwrap()];
        (entries, ends.map(|record| record[8].parse::<i64>().unwrap()))
    };
    assert_eq!(of(format!("?from={}&to={}", times[0], times[2])).await, (2, [FUNDS, FUNDS - 3]));
    assert_eq!(of(format!("?from={}", times[1])).await, (2, [FUNDS - 1, FUNDS - 6]));
    assert_eq!(of(format!("?to={}", times[0])).await, (1, [0, FUNDS]));
    assert_eq!(of(format!("?from={0}&to={0}", times[1])).await, (0, [FUNDS - 1, FUNDS - 1]));
    assert_eq!(of("?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z".to_owned()).await, (0, [0, 0]));
    assert_eq!(
        of("?from=2020-01-01T01:00:00%2B01:00&to=9999-01-01T00:00:00Z".to_owned()).await,
        (4, [0, FUNDS - 6])
    );
}

#[track_caller]
fn assert_is_attachment(answer: &Answer, account: &str, media_type: &str, ending: &str) {
    answer.is(200).is_not_stored();
    assert_eq!(answer.header("content-type"), Some(media_type));
    let disposition = answer.header("content-disposition").unwrap();
    let begin = format!("attachment; filename=\"statement-{account}-2");
    assert!(
        disposition.starts_with(&begin) && disposition.ends_with(&format!(".{ending}\"")),
        "{disposition}"
    );
}

#[tokio::test]
async fn accept_chooses_between_pdf_and_csv() {
    let world = World::new().await;
    let (api, account) = (&world.alice.api, &*world.alice.account);
    let plain = api.get(&path(account, "")).send().await;
    assert_is_attachment(&plain, account, "application/pdf", "pdf");
    assert!(plain.body.starts_with(b"%PDF-1.7\n") && plain.body.ends_with(b"%%EOF\n"));
    for accept in ["application/pdf", "*/*", "text/csv;q=0.5, application/pdf"] {
        let answer = api.get(&path(account, "")).header("accept", accept).send().await;
        assert_is_attachment(&answer, account, "application/pdf", "pdf");
    }
    for accept in ["text/csv", "text/*", "text/csv, application/pdf;q=0.9"] {
        let answer = api.get(&path(account, "")).header("accept", accept).send().await;
        assert_is_attachment(&answer, account, "text/csv; charset=utf-8", "csv");
    }
    for accept in ["application/json", "image/png", "text/csv;q=0"] {
        let answer = api.get(&path(account, "")).header("accept", accept).send().await;
        answer.problem(406, "not_acceptable");
    }
}

#[tokio::test]
async fn a_statement_is_for_owner_and_operator_and_of_a_period_that_can_be() {
    let world = World::new().await;
    let account = &*world.alice.account;
    world.operator.get(&path(account, "")).send().await.is(200);
    world.bob.api.get(&path(account, "")).send().await.problem(403, "forbidden");
    world.nobody.get(&path(account, "")).send().await.problem(401, "unauthenticated");
    for unknown in ["01900000-0000-7000-8000-0000000000ff", "x"] {
        world.operator.get(&path(unknown, "")).send().await.problem(404, "not_found");
    }
    for (query, pointer) in [
        ("?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "/to"),
        ("?to=2020-01-01T00:00:00Z", "/to"),
        ("?from=9999-01-01T00:00:00Z", "/from"),
        ("?from=yesterday", "/from"),
        ("?to=2026-01-01", "/to"),
        ("?limit=5", "/limit"),
        ("?to=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z", "/to"),
    ] {
        world.alice.api.get(&path(account, query)).send().await.invalid("invalid_request", pointer);
    }
    world.alice.api.post(&path(account, ""), &json!({})).send().await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn odd_accounts_have_statements() {
    let world = World::new().await;
    let name = "中".repeat(128);
    let gold = world.open(&json!({"currency": "XAU", "name": name, "min_balance": null})).await;
    let vault = world.open(&json!({"currency": "XAU"})).await;
    let mut body = euros(&gold, &vault, (1 << 53) - 1);
    body["currency"] = json!("XAU");
    body["description"] = json!("\u{202e}\u{301}\u{feff}🏳️‍🌈".repeat(40));
    world.operator.transfer(&body).send().await.json(201);
    for account in [&gold, &vault] {
        let answer = world.operator.get(&path(account, "")).send().await;
        assert!(answer.is(200).body.ends_with(b"%%EOF\n"));
    }
    let records = csv(&world.operator, &gold, "").await;
    assert_eq!(records[1][7..9], ["-9007199254740991", "-9007199254740991"]);
}

#[test]
fn postgres_has_the_same_statements() {
    let server = serve_on(&shared_cluster().url(&shared_cluster().database().unwrap()));
    let books = Books::open(&server, 2);
    let mut connection = Connection::open(server.address());
    let order = crate::support::books::Order { key: "k".to_owned(), debit: 0, credit: 1, amount: 7 };
    assert_eq!(connection.call(books.request(&order).bytes()).status, 201);
    let target = path(&books.accounts[0], "");
    let reply = connection.call(books.get(&target).field("Accept", "text/csv").bytes());
    let records = records(std::str::from_utf8(&reply.body).unwrap());
    let funds = crate::support::books::FUNDS.to_string();
    let left = (crate::support::books::FUNDS - 7).to_string();
    assert_eq!(
        gist(&records),
        [
            ["opening", "", "0", "0"],
            ["entry", "", &funds, &funds],
            ["entry", "", "-7", &left],
            ["closing", "", &left, &left],
        ]
    );
    assert_eq!(records[2][4], books.accounts[1]);
    let reply = connection.call(books.get(&target).bytes());
    assert!(reply.status == 200 && reply.body.ends_with(b"%%EOF\n"), "{}", reply.status);
}
