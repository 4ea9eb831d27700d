//! Campaigns that a journal keeps are read again whatever is asked of new ones since.

use cambrian_core::spec::CampaignSpec;

fn campaign(space: &str) -> String {
    format!(
        "version: 1\nname: kept\nseed: 1\nspace:\n  kind: declared\n{space}\n\
         metrics: {{loss: {{goal: minimize}}}}\nobjectives: [loss]\n\
         algorithm: {{kind: random}}\n\
         stages: [{{name: all, evaluator: custom/any, measures: [loss], timeout: 5m}}]\n\
         budget: {{evaluations: 10}}\n"
    )
}

/// Once accepted, refused now, and how.
fn refused_since() -> Vec<(String, &'static str)> {
    let long = (0..50).map(|nth| format!("max(a{}) >= -{nth}", ", a".repeat(1_020)));
    let long: Vec<String> = long.map(|text| format!("\"{text}\"")).collect();
    let narrow: Vec<String> = (0..20).map(|nth| format!("\"a + {nth} >= 0\"")).collect();
    vec![
        ("  genes: {a: {subset: ['-', b]}}".into(), "the name `-`"),
        ("  genes: {a: {real: [1.0, 1.0000001]}}".into(), "too narrow a range"),
        ("  genes: {a: {cat: [x_y, z]}, b: {int: [1, 3]}}\n  notation: list _".into(), "notation"),
        (
            "  genes: {t: {int: [1, 4]}}\n  derived: {classes: t * 2}\n  \
             network: {layers: [flatten, linear: {features: classes}]}"
                .into(),
            "derived value is called `classes`",
        ),
        (format!("  genes: {{a: {{int: [1, 9]}}}}\n  where: [{}]", long.join(", ")), "terms"),
        (
            "  genes: {a: {count: [1, 40000], repeat: {x: bool}}}".into(),
            "needs tables of its values",
        ),
        (
            format!(
                "  genes: {{a: {{int: [1, 100]}}, b: {{int: [1, 100]}}, c: {{int: [1, 100]}}}}\n  \
                 where: [\"a == b and b == c\", {}]",
                narrow.join(", ")
            ),
            "architectures drawn meet them",
        ),
    ]
}

#[test]
fn what_is_refused_of_new_campaigns_is_read_of_kept_ones() {
    for (space, reason) in refused_since() {
        let text = campaign(&space);
        let faults = CampaignSpec::parse(&text).expect_err(reason).to_string();
        assert!(faults.contains(reason), "{faults}");
        let kept = CampaignSpec::parse_resolved(&text);
        assert!(kept.is_ok(), "{reason}: {}", kept.unwrap_err());
    }
}
