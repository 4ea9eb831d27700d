//! Numbers as they are typed, each with its range. Must not know which argument they are for.

pub(super) fn number_within(text: &str, low: f64, high: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    let fits = (low..=high).contains(&number);
    fits.then_some(number).ok_or_else(|| format!("write a number from {low} to {high}"))
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    number_within(text, 0.0, 1.0)
}

pub(super) fn factor(text: &str) -> Result<f64, String> {
    number_within(text, 1.0, 1e6)
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    number_within(text, 0.0, 1e9)
}

pub(super) fn percent(text: &str) -> Result<f64, String> {
    number_within(text, 0.0, 100.0)
}
