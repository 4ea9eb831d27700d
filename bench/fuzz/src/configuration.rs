//! Text that people write: campaigns, settings, tokens, places of databases, names of artifacts.
//!
//! Must not know how inputs are mutated, nor protobuf.

use std::hint::black_box;

use cambrian_coordinator::store::place::Place;
use cambrian_coordinator::store::postgres::PostgresStore;
use cambrian_core::artifact::ArtifactId;
use cambrian_core::rng::{self, Purpose};
use cambrian_core::spec::CampaignSpec;
use cambrian_transport::token::{Token, Validity};
use cambrian_worker::config::{RawConfig, Surroundings, resolve};

use crate::with_file;

/// The longest campaign that is fuzzed, bytes: longer ones repeat what shorter ones show.
const LONGEST: usize = 16 << 10;

/// A campaign that is accepted must be able to draw and to name an architecture.
pub(crate) fn campaign(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(&bytes[..bytes.len().min(LONGEST)]) else { return };
    match CampaignSpec::parse(text) {
        Ok(spec) => {
            let mut rng = rng::stream(spec.seed, Purpose::Proposal, 0);
            let drawn = spec.space.schema().sample(&mut rng);
            let written = spec.space.format(&drawn);
            let read = spec.space.parse(&written);
            assert_eq!(read.as_ref(), Ok(&drawn), "{written}");
            let _ = black_box(spec.space.has_networks().then(|| spec.space.lower(&drawn)));
        }
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
}

pub(crate) fn campaigns() -> Vec<Vec<u8>> {
    let examples = [
        include_str!("../../../configs/campaigns/blocks.yaml"),
        include_str!("../../../configs/campaigns/dtlz2.yaml"),
        include_str!("../../../configs/campaigns/rungs.yaml"),
        include_str!("../../../configs/campaigns/screened.yaml"),
        include_str!("../../../configs/campaigns/seven-axes.yaml"),
    ];
    examples.map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(crate) fn coordinator(bytes: &[u8]) {
    with_file(bytes, |path| {
        if let Ok(config) = cambrian_coordinator::config::Config::read(path) {
            let _ = black_box(config.check());
        }
    });
}

pub(crate) fn coordinators() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../../configs/coordinator.yaml").to_vec()]
}

pub(crate) fn worker(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(raw) = RawConfig::parse(text) {
        let _ = black_box(resolve(raw, &Surroundings::default()));
    }
}

pub(crate) fn workers() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../../configs/worker.yaml").to_vec()]
}

pub(crate) fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = black_box((text.parse::<Token>().is_ok(), text.parse::<Validity>().is_ok()));
}

pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let tokens = ["cambrian_1_abcdefghijklmnopqrstuvwxyz", "90d", "12h", "3w", "never"];
    tokens.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A name has one spelling.
pub(crate) fn artifact(bytes: &[u8]) {
    let _ = black_box(ArtifactId::try_from(bytes).map(|id| id.to_string()));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(id) = text.parse::<ArtifactId>() {
        assert_eq!(id.to_string(), text);
    }
}

pub(crate) fn artifacts() -> Vec<Vec<u8>> {
    vec![ArtifactId::of(b"content").to_string().into_bytes()]
}

/// The parameters of a URL that name a file, which is read.
const OF_FILES: [&str; 4] = ["sslrootcert", "sslcert", "sslkey", "password_file"];

/// No connection is made, and no file is read.
pub(crate) fn database(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Place::Postgres(url) = Place::from(text.to_owned())
        && !OF_FILES.iter().any(|name| text.contains(name))
        && let Err(fault) = PostgresStore::check_url(&url)
    {
        assert!(!fault.to_string().is_empty());
    }
}

pub(crate) fn databases() -> Vec<Vec<u8>> {
    let places = [
        "postgresql://cambrian:secret@localhost:5433/cambrian?sslmode=disable",
        "postgres://u@a.example,b.example/x?connect_timeout=5&sslmode=require",
        "postgresql:///x?host=/run/postgresql&target_session_attrs=read-write&keepalives=1",
        "state/cambrian.db",
    ];
    places.map(|text| text.as_bytes().to_vec()).to_vec()
}
