//! The learning rate over the steps of a training: a linear rise, then as the schedule says.
//!
//! Must not know what is trained.

use std::f64::consts::PI;

use cambrian_core::spec::{ScheduleKind, TrainSettings};

/// The learning rate over the steps of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    peak: f64,
    warmup_steps: f64,
    steps: f64,
    course: Course,
}

/// What follows the rise.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    Cosine,
    Steps { every: f64, factor: f64 },
    Constant,
}

impl Schedule {
    /// Rises linearly to the learning rate over `warmup_epochs`, then goes on as `schedule` says: half
    /// a cosine to 0 at the end of the epochs it is laid out for, steps, or no change.
    #[must_use]
    pub fn new(settings: &TrainSettings, steps_per_epoch: usize) -> Self {
        let per_epoch = steps_per_epoch as f64;
        let epochs = settings.schedule_epochs.unwrap_or(settings.epochs);
        Self {
            peak: settings.learning_rate,
            warmup_steps: (settings.warmup_epochs * per_epoch).round(),
            steps: f64::from(epochs) * per_epoch,
            course: match settings.schedule {
                ScheduleKind::Cosine => Course::Cosine,
                ScheduleKind::Constant => Course::Constant,
                ScheduleKind::Step => Course::Steps {
                    every: f64::from(settings.step_epochs) * per_epoch,
                    factor: settings.step_factor,
                },
            },
        }
    }

    /// The rate of the step with this number, from 0.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        let step = step as f64;
        if step < self.warmup_steps {
            return self.peak * (step + 1.0) / self.warmup_steps;
        }
        match self.course {
            Course::Cosine => {
                let length = (self.steps - self.warmup_steps).max(1.0);
                let progress = (step - self.warmup_steps) / length;
                0.5 * self.peak * (1.0 + (PI * progress).cos())
            }
            Course::Steps { every, factor } => self.peak * factor.powf((step / every).floor()),
            Course::Constant => self.peak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(warmup_epochs: f64, epochs: u32, per_epoch: usize) -> Schedule {
        let settings =
            TrainSettings { learning_rate: 0.4, warmup_epochs, epochs, ..TrainSettings::default() };
        Schedule::new(&settings, per_epoch)
    }

    #[test]
    fn the_rate_rises_and_falls_to_zero() {
        let schedule = schedule(0.5, 4, 8);
        assert_eq!(schedule.rate(0), 0.1);
        assert_eq!(schedule.rate(3), 0.4);
        assert_eq!(schedule.rate(4), 0.4);
        assert!((schedule.rate(18) - 0.2).abs() < 1e-12);
        assert!(schedule.rate(31) < 0.002 && schedule.rate(31) > 0.0);
        for step in 4..31 {
            assert!(schedule.rate(step + 1) < schedule.rate(step));
        }
    }

    #[test]
    fn a_warmup_as_long_as_the_training_or_none_is_fine() {
        assert_eq!(schedule(4.0, 4, 8).rate(31), 0.4);
        assert_eq!(schedule(0.0, 1, 1).rate(0), 0.4);
    }

    #[test]
    fn steps_and_constants_hold_the_rate_between_them() {
        let settings = TrainSettings {
            learning_rate: 0.4,
            warmup_epochs: 0.0,
            epochs: 6,
            schedule: ScheduleKind::Step,
            step_epochs: 2,
            step_factor: 0.5,
            ..TrainSettings::default()
        };
        let steps = Schedule::new(&settings, 10);
        assert_eq!(
            [0, 19, 20, 39, 40, 59].map(|step| steps.rate(step)),
            [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]
        );
        let constant = TrainSettings { schedule: ScheduleKind::Constant, ..settings };
        assert_eq!([0, 59].map(|step| Schedule::new(&constant, 10).rate(step)), [0.4, 0.4]);
    }

    #[test]
    fn a_schedule_for_more_epochs_begins_like_that_of_a_longer_training() {
        let short =
            TrainSettings { epochs: 1, schedule_epochs: Some(4), ..TrainSettings::default() };
        let long = TrainSettings { epochs: 4, ..TrainSettings::default() };
        let [short, long] = [short, long].map(|settings| Schedule::new(&settings, 8));
        assert!((0..32).all(|step| short.rate(step) == long.rate(step)));
    }
}
