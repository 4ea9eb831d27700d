//! What every register must do, in memory, in a file and in PostgreSQL.

use super::*;
use crate::store::sqlite::SqliteStore;

/// Runs the contract on registers that `open` opens again and again on the same tables.
pub(in crate::store) fn contract(open: &dyn Fn() -> Register) {
    found_by_the_public_part(&open());
    a_name_belongs_to_its_first_holder(&open());
    names_that_could_mislead_are_refused(&open());
    let (first, second) = (open(), open());
    let (token, _) = first.create(Role::Admin, "bob", None, Timestamp(1)).unwrap();
    let third = open();
    assert_eq!(third.find(token.id()).unwrap().unwrap().0.name, "bob");
    assert!(third.list().unwrap().iter().any(|record| record.id == token.id()));
    let revoked_at = |register: &Register, at| register.revoke(token.id(), Timestamp(at)).unwrap();
    assert_eq!(revoked_at(&second, 7).revoked_at, Some(Timestamp(7)));
    assert_eq!(revoked_at(&second, 9).revoked_at, Some(Timestamp(7)));
    let unknown = TokenId(token.id().0 ^ 1);
    assert!(matches!(second.revoke(unknown, Timestamp(9)), Err(TokenError::Unknown(_))));
    // A register may look again each second, for what another process has changed.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while first.find(token.id()).unwrap().unwrap().0.revoked_at != Some(Timestamp(7)) {
        assert!(std::time::Instant::now() < deadline, "the revocation is not seen");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn found_by_the_public_part(register: &Register) {
    let (token, record) = register.create(Role::View, "ada", Some(Span(5)), Timestamp(10)).unwrap();
    let (found, hash) = register.find(token.id()).unwrap().unwrap();
    assert_eq!(found, record);
    assert_eq!(found.expires_at, Some(Timestamp(15)));
    assert!(hash.is_of(&token));
    assert!(!hash.is_of(&Token::generate().unwrap()));
    assert_eq!(register.list().unwrap(), [record]);
}

fn a_name_belongs_to_its_first_holder(register: &Register) {
    let create =
        |name, valid| register.create(Role::Worker, name, valid, Timestamp(0)).unwrap().0.id();
    let claim = |name, at| register.claim_worker("gpu", name, 2, Timestamp(at)).unwrap();
    create("anne", Some(Span(100)));
    let second = create("anne", None);
    create("eve", None);
    assert_eq!(claim("anne", 1), Claim::Held);
    assert_eq!(claim("anne", 2), Claim::Held);
    assert_eq!(claim("eve", 3), Claim::Elses("anne".into()));
    assert_eq!(claim("eve", 200), Claim::Elses("anne".into()), "the second one holds");
    register.revoke(second, Timestamp(201)).unwrap();
    assert_eq!(claim("eve", 202), Claim::Held);
    assert_eq!(claim("anne", 203), Claim::Elses("eve".into()));
    let more = |worker| register.claim_worker(worker, "eve", 2, Timestamp(204)).unwrap();
    assert_eq!(
        ["cpu", "tpu", "cpu", "gpu"].map(more),
        [Claim::Held, Claim::Full, Claim::Held, Claim::Held]
    );
    assert_eq!(register.claim_worker("tpu", "anne", 2, Timestamp(205)).unwrap(), Claim::Held);
}

fn names_that_could_mislead_are_refused(register: &Register) {
    let before = register.list().unwrap();
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for bad in ["", "a b", "a\nb", "ада", long.as_str()] {
        let refused = register.create(Role::View, bad, None, Timestamp(0));
        assert!(matches!(refused, Err(TokenError::Name(_))), "{bad}");
    }
    assert_eq!(register.list().unwrap(), before);
}

#[test]
fn memory_keeps_the_contract() {
    let register = Register::in_memory().unwrap();
    contract(&|| register.clone());
}

#[test]
fn a_file_keeps_the_contract_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cambrian.db");
    drop(SqliteStore::open(&path).unwrap());
    contract(&|| Register::open(&path).unwrap());
    let register = Register::open(&path).unwrap();
    let (token, _) = register.create(Role::View, "ada", None, Timestamp(10)).unwrap();
    let secret = token.reveal();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let secret = &secret.as_bytes()[13..];
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn a_revocation_in_a_file_is_seen_at_once_on_every_connection() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cambrian.db");
    drop(SqliteStore::open(&path).unwrap());
    let (register, other) = (Register::open(&path).unwrap(), Register::open(&path).unwrap());
    let (token, _) = register.create(Role::Admin, "ada", None, Timestamp(1)).unwrap();
    other.revoke(token.id(), Timestamp(7)).unwrap();
    let (found, _) = register.find(token.id()).unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(Timestamp(7)));
}
