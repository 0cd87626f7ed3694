//! Tokens that were never made by the server, also in the hands of one who has its key: RFC 8725's list of attacks.

use serde_json::{Value, json};

use crate::support::raw::{Connection, Request};
use crate::support::{Server, Signer, World};

const ME: &str = "/api/v1/users/me";

/// The status that a token's bearer is answered with; the server must go on after it.
fn status(server: &Server, token: &str) -> u16 {
    let reply = Connection::open(server.address()).call(Request::get(ME).bearer(token).bytes());
    assert!(reply.status != 401 || reply.problem_code() == "unauthenticated", "{reply:?}");
    reply.status
}

/// Alice with the server's key, which she should not have.
async fn world() -> (World, Signer, Value) {
    let world = World::new().await;
    let signer = Signer::of(&world.server);
    let claims = Signer::claims(&world.alice.id, "user");
    assert_eq!(status(&world.server, &signer.sign(&claims)), 200, "what all others differ from");
    (world, signer, claims)
}

#[tokio::test]
async fn no_header_chooses_an_algorithm() {
    let (world, signer, claims) = world().await;
    let claims = claims.to_string();
    let algorithms = [
        "none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS384", "HS512", "RS256", "RS384", "RS512",
        "PS256", "ES256", "ES384", "EdDSA", "dir", "A128KW",
    ];
    for algorithm in algorithms {
        let mut header = signer.header();
        header["alg"] = json!(algorithm);
        let token = signer.sign_text(&header.to_string(), &claims);
        let (message, _) = token.rsplit_once('.').unwrap();
        for token in [token.clone(), format!("{message}."), message.to_owned()] {
            assert_eq!(status(&world.server, &token), 401, "{algorithm:?}");
        }
    }
    for alg in [json!(null), json!(["HS256"]), json!(256), json!({"alg": "HS256"})] {
        let mut header = signer.header();
        header["alg"] = alg.clone();
        assert_eq!(status(&world.server, &signer.sign_text(&header.to_string(), &claims)), 401, "{alg}");
    }
}

/// Keys that one who has none might think of: the public name, nothing, its hexadecimal form.
#[tokio::test]
async fn no_other_key_signs_under_our_name() {
    let (world, signer, claims) = world().await;
    let (header, claims) = (signer.header().to_string(), claims.to_string());
    let file = std::fs::read(world.server.data().join("signing.key")).unwrap();
    for key in [&b""[..], &[0; 32], signer.kid().as_bytes(), file.trim_ascii(), b"ringledger", b"secret"] {
        assert_eq!(status(&world.server, &Signer::with(key).sign_text(&header, &claims)), 401, "{key:?}");
    }
}

#[tokio::test]
async fn a_key_id_is_a_name_and_nothing_else() {
    let (world, signer, claims) = world().await;
    let claims = claims.to_string();
    let kid = signer.kid();
    let names = [
        json!("../../../../../../dev/null"),
        json!("/dev/null"),
        json!("file:///dev/null"),
        json!("http://127.0.0.1:1/key"),
        json!("signing.key"),
        json!("' or '1'='1"),
        json!("x' union select 'a'; --"),
        json!("|id"),
        json!(format!("{kid}\u{0}")),
        json!(format!(" {kid}")),
        json!(kid.to_uppercase()),
        json!(&kid[..15]),
        json!(""),
        json!(null),
        json!(0),
        json!([kid]),
        json!({"kid": kid}),
        json!("k".repeat(8_000)),
    ];
    for name in names {
        let mut header = signer.header();
        header["kid"] = name.clone();
        for key in [&signer, &Signer::with(b"")] {
            let token = key.sign_text(&header.to_string(), &claims);
            assert_eq!(status(&world.server, &token), 401, "{name}");
        }
    }
}

/// A header may bring a key along or say where it is. None of that is looked at, and `crit` is refused, since nothing
/// that it could name is understood (RFC 7515 §4.1.11).
#[tokio::test]
async fn what_a_header_brings_along_is_not_used() {
    let (world, signer, claims) = world().await;
    let forger = Signer::with(&[7; 32]);
    let key = json!({"kty": "oct", "k": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc", "alg": "HS256"});
    for (name, value) in
        [("jwk", key), ("jku", json!("http://127.0.0.1:1/")), ("x5u", json!("http://127.0.0.1:1/"))]
    {
        let mut header = signer.header();
        header[name] = value;
        assert_eq!(
            status(&world.server, &forger.sign_text(&header.to_string(), &claims.to_string())),
            401,
            "{name}"
        );
    }
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!("exp"), json!([1])] {
        let mut header = signer.header();
        header["b64"] = json!(false);
        header["crit"] = crit.clone();
        assert_eq!(
            status(&world.server, &signer.sign_text(&header.to_string(), &claims.to_string())),
            401,
            "{crit}"
        );
    }
}

/// Two members of one name: whoever reads the first and whoever reads the last would see two tokens.
#[tokio::test]
async fn doubled_members_are_refused() {
    let (world, signer, claims) = world().await;
    let (header, text) = (signer.header().to_string(), claims.to_string());
    let twice = |object: &str, member: &str| format!("{{{member},{}", &object[1..]);
    for member in [r#""alg":"none""#, r#""kid":"other""#, r#""alg":"HS256""#] {
        assert_eq!(status(&world.server, &signer.sign_text(&twice(&header, member), &text)), 401, "{member}");
    }
    for member in
        [r#""role":"operator""#, r#""exp":1"#, r#""sub":"x""#, r#""aud":"other""#, r#""iss":"other""#]
    {
        assert_eq!(status(&world.server, &signer.sign_text(&header, &twice(&text, member))), 401, "{member}");
    }
}

#[tokio::test]
async fn times_are_whole_numbers_that_do_not_overflow() {
    let (world, signer, claims) = world().await;
    let header = signer.header().to_string();
    let with = |claim: &str, value: &str| {
        let marked = {
            let mut changed = claims.clone();
            changed[claim] = json!("HERE");
            changed.to_string()
        };
        signer.sign_text(&header, &marked.replace(r#""HERE""#, value))
    };
    let beyond =
        ["1e999999", "18446744073709551616", "-1", "1.5", "\"4102444800\"", "null", "[4102444800]", "true"];
    for claim in ["exp", "nbf"] {
        for value in beyond {
            assert_eq!(status(&world.server, &with(claim, value)), 401, "{claim} {value}");
        }
        let digits = "9".repeat(400);
        assert_eq!(status(&world.server, &with(claim, &digits)), 401, "{claim} of 400 digits");
    }
    for (claim, value, expected) in [
        ("exp", "0", 401),
        ("exp", "18446744073709551615", 200),
        ("nbf", "18446744073709551615", 401),
        ("nbf", "0", 200),
    ] {
        // Twice: the second time the token may be known.
        for _ in 0..2 {
            assert_eq!(status(&world.server, &with(claim, value)), expected, "{claim} {value}");
        }
    }
}

/// base64url has one spelling here: else a token that was revoked by its text would live on under another.
#[tokio::test]
async fn a_token_has_one_spelling() {
    let (world, signer, claims) = world().await;
    let token = signer.sign(&claims);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let last = signature.chars().last().unwrap();
    // 32 bytes leave two bits of the last character over, which hold nothing: any but 0 is another spelling.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    assert_eq!(place % 4, 0, "the unused bits are 0");
    for unused in 1..4 {
        let other = &alphabet[place + unused..=place + unused];
        let token = format!("{message}.{}{other}", &signature[..signature.len() - 1]);
        assert_eq!(status(&world.server, &token), 401, "{unused}");
    }
    for other in [format!("{token}="), format!("{token}=="), format!("{token}%3D"), format!("{token}.")] {
        assert_eq!(status(&world.server, &other), 401, "{other}");
    }
    assert_eq!(status(&world.server, &token), 200);
}

#[tokio::test]
async fn long_tokens_cost_little_and_are_bounded_by_the_head() {
    let (world, signer, claims) = world().await;
    let long = |bytes: usize| {
        let mut claims = claims.clone();
        claims["extra"] = json!("x".repeat(bytes));
        signer.sign(&claims)
    };
    assert_eq!(status(&world.server, &long(9_000)), 200, "within the bound of a head");
    let nested = format!("{{\"extra\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let header = signer.header().to_string();
    assert_eq!(status(&world.server, &signer.sign_text(&header, &nested)), 401, "nested");
    assert_eq!(status(&world.server, &signer.sign_text(&nested, &claims.to_string())), 401, "nested header");
    let reply = Connection::open(world.server.address()).call(Request::get(ME).bearer(&long(13_000)).bytes());
    assert_eq!(reply.problem_code(), "headers_too_large");
}

#[tokio::test]
async fn a_token_of_nobody_is_no_failure() {
    let (world, signer, _) = world().await;
    let nobody = uuid::Uuid::now_v7().to_string();
    let token = signer.sign(&Signer::claims(&nobody, "user"));
    let gone = world.nobody.with_token(&token);
    for path in [ME, "/api/v1/accounts", "/api/v1/transfers", &world.alice.path()] {
        let answer = gone.get(path).send().await;
        assert!([200, 401, 403, 404].contains(&answer.status), "{path}: {}", answer.text());
    }
    let opened = gone.post("/api/v1/accounts", &json!({"currency": "EUR"})).send().await;
    assert!([401, 403, 404, 422].contains(&opened.status), "{}", opened.text());
}
