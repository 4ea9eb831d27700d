//! The matrix of objective values that every Pareto kernel reads. It is the one gate through
//! which values enter, so that kernels never meet NaN, infinities or ragged rows. It must not
//! know what its columns mean.

/// Why a row of objective values was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PointError {
    /// The matrix was declared with zero objectives.
    #[error("a point needs at least one objective, but the set was declared with none")]
    NoObjectives,
    /// The row has another length than the matrix.
    #[error("a point needs {expected} objective values, but {found} were given")]
    WrongLength {
        /// Number of objectives of the matrix.
        expected: usize,
        /// Number of values given.
        found: usize,
    },
    /// A value is NaN or infinite.
    #[error(
        "objective {objective} (counted from 0) is {value}, which is not finite; record the \
         evaluation as failed instead"
    )]
    NonFinite {
        /// Column of the offending value.
        objective: usize,
        /// The value as given.
        value: f64,
    },
}

/// A refused row together with its position among the rows given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("row {row} (counted from 0) was refused: {source}")]
pub struct RowError {
    /// Position of the row, from 0.
    pub row: usize,
    /// What was wrong with it.
    pub source: PointError,
}

/// N points of M finite objective values each, row-major in one allocation.
///
/// Negative zero is stored as positive zero, so that equality, ordering and bit patterns agree.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Points {
    values: Vec<f64>,
    objectives: usize,
}

impl Points {
    /// An empty set of points with `objectives` (M) values each.
    #[must_use]
    pub fn new(objectives: usize) -> Self {
        Self { values: Vec::new(), objectives }
    }

    /// As [`Points::new`], with room for `rows` points.
    #[must_use]
    pub fn with_capacity(objectives: usize, rows: usize) -> Self {
        Self { values: Vec::with_capacity(objectives.saturating_mul(rows)), objectives }
    }

    /// Collects rows of `objectives` values each.
    ///
    /// # Errors
    /// The first row that [`Points::push`] refuses, with its position.
    pub fn try_from_rows<R: AsRef<[f64]>>(
        objectives: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Self, RowError> {
        let rows = rows.into_iter();
        let mut points = Self::with_capacity(objectives, rows.size_hint().0);
        for (row, values) in rows.enumerate() {
            points.push(values.as_ref()).map_err(|source| RowError { row, source })?;
        }
        Ok(points)
    }

    /// Appends one point.
    ///
    /// # Errors
    /// [`PointError`] when the length differs from M, a value is not finite or M is zero; the set
    /// is then as it was.
    pub fn push(&mut self, row: &[f64]) -> Result<(), PointError> {
        check_row(self.objectives, row)?;
        self.values.extend(row.iter().map(|value| value + 0.0));
        Ok(())
    }

    /// Takes all points out and keeps the allocation.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// Number of objectives, M.
    #[must_use]
    pub fn objectives(&self) -> usize {
        self.objectives
    }

    /// Number of points, N.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.objectives).unwrap_or(0)
    }

    /// Whether there is no point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The M values of point `index`.
    ///
    /// # Panics
    /// When `index >= len()`, as slice indexing does.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.objectives..][..self.objectives]
    }

    /// The value of one objective of one point.
    ///
    /// # Panics
    /// When `index >= len()` or `objective >= objectives()`, as slice indexing does.
    #[must_use]
    pub fn value(&self, index: usize, objective: usize) -> f64 {
        self.row(index)[objective]
    }

    /// All points in index order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> + Clone {
        // `max(1)`: chunks of zero are not defined, and with M = 0 there are no values at all.
        self.values.chunks_exact(self.objectives.max(1))
    }

    /// Forgets all points and keeps the allocation; the next points have `objectives` values.
    pub fn reset(&mut self, objectives: usize) {
        self.values.clear();
        self.objectives = objectives;
    }

    /// Inserts a point so that it becomes row `index`, moving later rows up by one.
    pub(super) fn insert(&mut self, index: usize, row: &[f64]) -> Result<(), PointError> {
        check_row(self.objectives, row)?;
        let at = index * self.objectives;
        self.values.splice(at..at, row.iter().map(|value| value + 0.0));
        Ok(())
    }

    /// Takes out the rows of ascending, distinct indices; the others keep their order.
    pub(super) fn remove_rows(&mut self, removed: &[usize]) {
        let mut upcoming = removed.iter().copied().peekable();
        let mut kept = 0;
        for index in 0..self.len() {
            if upcoming.next_if_eq(&index).is_none() {
                let from = index * self.objectives;
                self.values.copy_within(from..from + self.objectives, kept * self.objectives);
                kept += 1;
            }
        }
        self.values.truncate(kept * self.objectives);
    }
}

/// Refuses a row that may not enter a set of `objectives` columns.
pub(super) fn check_row(objectives: usize, row: &[f64]) -> Result<(), PointError> {
    if objectives == 0 {
        return Err(PointError::NoObjectives);
    }
    if row.len() != objectives {
        return Err(PointError::WrongLength { expected: objectives, found: row.len() });
    }
    match row.iter().position(|value| !value.is_finite()) {
        Some(objective) => Err(PointError::NonFinite { objective, value: row[objective] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_bad_rows_and_stays_as_it_was() {
        let mut points = Points::new(2);
        points.push(&[1.0, 2.0]).unwrap();
        let before = points.clone();
        assert_eq!(points.push(&[1.0]), Err(PointError::WrongLength { expected: 2, found: 1 }));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = points.push(&[0.0, bad]).unwrap_err();
            assert!(matches!(error, PointError::NonFinite { objective: 1, .. }), "{error}");
        }
        assert_eq!(Points::new(0).push(&[]), Err(PointError::NoObjectives));
        assert_eq!(points, before);
    }

    #[test]
    fn names_the_refused_row() {
        let error = Points::try_from_rows(1, [[0.0], [f64::NAN]]).unwrap_err();
        assert_eq!(error.row, 1);
        assert!(error.to_string().contains("row 1"), "{error}");
    }

    #[test]
    fn negative_zero_becomes_positive() {
        let points = Points::try_from_rows(1, [[-0.0]]).unwrap();
        assert!(points.value(0, 0).is_sign_positive());
    }

    #[test]
    fn rows_are_read_back_in_order() {
        let mut points = Points::try_from_rows(2, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).unwrap();
        assert_eq!((points.len(), points.objectives()), (3, 2));
        assert_eq!(points.row(1), [3.0, 4.0]);
        points.insert(1, &[7.0, 8.0]).unwrap();
        points.remove_rows(&[0, 3]);
        assert_eq!(points.rows().collect::<Vec<_>>(), [[7.0, 8.0], [3.0, 4.0]]);
        points.reset(1);
        assert!(points.is_empty());
        assert_eq!(Points::new(0).len(), 0);
        assert_eq!(Points::new(0).rows().len(), 0);
    }
}
