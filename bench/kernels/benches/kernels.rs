//! Criterion benches of the Pareto kernels.

use criterion::{Criterion, criterion_group, criterion_main};

fn placeholder(_: &mut Criterion) {}

criterion_group!(kernels, placeholder);
criterion_main!(kernels);
