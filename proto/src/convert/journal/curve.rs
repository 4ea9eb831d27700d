//! Curves of evaluations, and stops that follow from them, as the journal has them. Must not know when a curve
//! is hopeless.

use cambrian_core::engine::{Event, Standing};
use cambrian_core::id::AttemptId;

use super::super::{ConvertError, MAX_LIST, Within, list, positive};
use super::task_attempt;
use crate::v1;

pub(super) fn stop_decided(message: v1::StopDecided) -> Result<Event, ConvertError> {
    let v1::StopDecided { task, attempt, step, value, behind, of } = message;
    let AttemptId { task, attempt } = task_attempt(task, attempt)?;
    finite("value", value)?;
    let standing = Standing { step, value, behind, of };
    Ok(Event::StopDecided { task, attempt, standing })
}

pub(super) fn curve_recorded(message: v1::CurveRecorded) -> Result<Event, ConvertError> {
    let v1::CurveRecorded { task, attempt, steps, values } = message;
    let AttemptId { task, attempt } = task_attempt(task, attempt)?;
    positive("steps", steps.len())?;
    list("steps", steps.len(), MAX_LIST)?;
    if steps.len() != values.len() {
        let reason = format!("has {} values of {} steps", values.len(), steps.len());
        return Err(ConvertError::new("values", reason));
    }
    for (index, value) in values.iter().enumerate() {
        finite("", *value).within_entry("values", index)?;
    }
    let points = steps.into_iter().zip(values).collect();
    Ok(Event::CurveRecorded { task, attempt, points })
}

pub(super) fn finite(field: &'static str, value: f64) -> Result<(), ConvertError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(ConvertError::new(field, format!("is {value}, expected a finite number")))
}
