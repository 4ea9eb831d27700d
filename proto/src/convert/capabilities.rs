//! What a worker can do.
//!
//! An evaluator's own description leaves slots and labels to its worker, so neither is demanded
//! here.
//!
//! Must not know which stages ask for what is offered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cambrian_core::engine::{Capabilities, EvaluatorOffer};
use cambrian_core::objective::{MetricName, Provenance};

use super::{ConvertError, MAX_NAME_BYTES, Within, list, name, number, string_map, text, text_map};
use crate::v1;

/// The largest number of evaluations that one worker runs at once.
pub const MAX_SLOTS: u32 = 4096;
/// The longest list of evaluators, metrics or data sets.
const MAX_OFFERS: usize = 1024;

impl From<&EvaluatorOffer> for v1::EvaluatorOffer {
    fn from(offer: &EvaluatorOffer) -> Self {
        let metric = |(name, provenance): (&MetricName, &Provenance)| {
            (name.to_string(), v1::Provenance::from(provenance))
        };
        Self {
            name: offer.name.to_string(),
            version: offer.version.to_string(),
            metrics: offer.metrics.iter().map(metric).collect(),
            yields: offer.yields,
        }
    }
}

impl TryFrom<v1::EvaluatorOffer> for EvaluatorOffer {
    type Error = ConvertError;

    fn try_from(message: v1::EvaluatorOffer) -> Result<Self, ConvertError> {
        name("name", &message.name)?;
        text("version", &message.version, MAX_NAME_BYTES)?;
        list("metrics", message.metrics.len(), MAX_OFFERS)?;
        let metric = |(metric, provenance): (String, v1::Provenance)| {
            let key = MetricName::from(name("key", &metric).within("metrics")?);
            Ok((key, Provenance::try_from(provenance).within(&metric).within("metrics")?))
        };
        let metrics = message.metrics.into_iter().map(metric).collect::<Result<_, _>>()?;
        let (name, version) = (message.name.into(), message.version.into());
        Ok(Self { name, version, metrics, yields: message.yields })
    }
}

impl From<&Capabilities> for v1::Capabilities {
    fn from(capabilities: &Capabilities) -> Self {
        Self {
            device_class: capabilities.device_class.to_string(),
            memory_bytes: capabilities.memory_bytes,
            slots: capabilities.slots,
            evaluators: capabilities.evaluators.iter().map(Into::into).collect(),
            datasets: capabilities.datasets.iter().map(ToString::to_string).collect(),
            unavailable: string_map(&capabilities.unavailable),
            labels: string_map(&capabilities.labels),
            dataset_offers: capabilities.fingerprints.iter().map(dataset_offer).collect(),
        }
    }
}

impl TryFrom<v1::Capabilities> for Capabilities {
    type Error = ConvertError;

    fn try_from(message: v1::Capabilities) -> Result<Self, ConvertError> {
        text("device_class", &message.device_class, MAX_NAME_BYTES)?;
        number("memory_bytes", message.memory_bytes)?;
        if message.slots > MAX_SLOTS {
            let reason = format!("is {}, at most {MAX_SLOTS} are allowed", message.slots);
            return Err(ConvertError::new("slots", reason));
        }
        Ok(Self {
            device_class: message.device_class.into(),
            memory_bytes: message.memory_bytes,
            slots: message.slots,
            evaluators: evaluators(message.evaluators)?,
            datasets: datasets(&message.datasets)?,
            unavailable: text_map("unavailable", message.unavailable)?,
            labels: text_map("labels", message.labels)?,
            fingerprints: fingerprints(message.dataset_offers)?,
        })
    }
}

fn evaluators(messages: Vec<v1::EvaluatorOffer>) -> Result<Vec<EvaluatorOffer>, ConvertError> {
    list("evaluators", messages.len(), MAX_OFFERS)?;
    let mut seen = BTreeMap::new();
    let read = |(index, message)| {
        let offer = EvaluatorOffer::try_from(message).within_entry("evaluators", index)?;
        if let Some(first) = seen.insert(offer.name.clone(), index) {
            let reason = format!("`{}` is evaluators[{first}] already", offer.name);
            return Err(ConvertError::new("name", reason)).within_entry("evaluators", index);
        }
        Ok(offer)
    };
    messages.into_iter().enumerate().map(read).collect()
}

fn datasets(names: &[String]) -> Result<BTreeSet<Arc<str>>, ConvertError> {
    list("datasets", names.len(), MAX_OFFERS)?;
    let read = |(index, dataset): (usize, &String)| {
        name("", dataset).within_entry("datasets", index).map(Arc::from)
    };
    names.iter().enumerate().map(read).collect()
}

fn dataset_offer((name, fingerprint): (&Arc<str>, &Arc<str>)) -> v1::DatasetOffer {
    v1::DatasetOffer { name: name.to_string(), fingerprint: fingerprint.to_string() }
}

fn fingerprints(
    offers: Vec<v1::DatasetOffer>,
) -> Result<BTreeMap<Arc<str>, Arc<str>>, ConvertError> {
    list("dataset_offers", offers.len(), MAX_OFFERS)?;
    let mut read = BTreeMap::new();
    for (index, offer) in offers.into_iter().enumerate() {
        let v1::DatasetOffer { name: dataset, fingerprint } = offer;
        name("name", &dataset).within_entry("dataset_offers", index)?;
        text("fingerprint", &fingerprint, MAX_NAME_BYTES).within_entry("dataset_offers", index)?;
        if !fingerprint.is_empty() {
            read.insert(dataset.into(), fingerprint.into());
        }
    }
    Ok(read)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::measurement::tests::any_provenance;
    use super::super::tests::bad_field;
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_offer()(
            version in ".{0,8}",
            yields in proptest::bool::ANY,
            metrics in proptest::collection::btree_map("[a-z]{1,8}", any_provenance(), 0..4),
        ) -> EvaluatorOffer {
            let metrics = metrics.into_iter().map(|(k, v)| (k.as_str().into(), v)).collect();
            EvaluatorOffer { name: "x".into(), version: version.into(), metrics, yields }
        }
    }

    prop_compose! {
        pub(crate) fn any_capabilities()(
            device_class in ".{0,20}", memory_bytes in 0..1u64 << 50, slots in 0..=MAX_SLOTS,
            offers in proptest::collection::btree_map("[a-z]{1,8}", any_offer(), 0..3),
            datasets in proptest::collection::btree_set("[a-z]{1,8}", 0..3),
            fingerprints in proptest::collection::btree_map("[a-z]{1,8}", "[0-9a-f]{1,9}", 0..3),
            unavailable in proptest::collection::btree_map("[a-z]{1,8}", ".{0,30}", 0..3),
            labels in proptest::collection::btree_map("[a-z]{1,8}", ".{0,30}", 0..3),
        ) -> Capabilities {
            let evaluators = offers
                .into_iter()
                .map(|(name, offer)| EvaluatorOffer { name: name.into(), ..offer })
                .collect();
            Capabilities {
                device_class: device_class.into(),
                memory_bytes,
                slots,
                evaluators,
                datasets: datasets.into_iter().map(Into::into).collect(),
                fingerprints: fingerprints.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
                unavailable: unavailable.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
                labels: labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn capabilities_round_trip(before in any_capabilities()) {
            prop_assert_eq!(Capabilities::try_from(v1::Capabilities::from(&before)), Ok(before));
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        let bad = |message| bad_field(Capabilities::try_from(message));
        let offer = v1::EvaluatorOffer { name: "train".into(), ..Default::default() };
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        let none = v1::Capabilities::default();
        assert_eq!(
            bad(v1::Capabilities { device_class: long.clone(), ..none.clone() }),
            "device_class"
        );
        assert_eq!(
            bad(v1::Capabilities { memory_bytes: u64::MAX, ..none.clone() }),
            "memory_bytes"
        );
        assert_eq!(bad(v1::Capabilities { slots: MAX_SLOTS + 1, ..none.clone() }), "slots");
        let twice =
            v1::Capabilities { evaluators: vec![offer.clone(), offer.clone()], ..none.clone() };
        assert_eq!(bad(twice), "evaluators[1].name");
        let versioned = v1::EvaluatorOffer { version: long, ..offer.clone() };
        assert_eq!(
            bad(v1::Capabilities { evaluators: vec![versioned], ..none.clone() }),
            "evaluators[0].version"
        );
        let metrics = BTreeMap::from([("accuracy".to_owned(), v1::Provenance::default())]);
        let unsourced = v1::EvaluatorOffer { metrics, ..offer };
        assert_eq!(
            bad(v1::Capabilities { evaluators: vec![unsourced], ..none.clone() }),
            "evaluators[0].metrics.accuracy.source"
        );
        let unnamed = v1::Capabilities { datasets: vec![String::new()], ..none.clone() };
        assert_eq!(bad(unnamed), "datasets[0]");
        let offers = vec![v1::DatasetOffer::default()];
        let unnamed = v1::Capabilities { dataset_offers: offers, ..none.clone() };
        assert_eq!(bad(unnamed), "dataset_offers[0].name");
        let labels = BTreeMap::from([("\n".to_owned(), String::new())]);
        assert_eq!(bad(v1::Capabilities { labels: labels.clone(), ..none.clone() }), "labels.key");
        assert_eq!(bad(v1::Capabilities { unavailable: labels, ..none }), "unavailable.key");
    }
}
