//! Expressions against a naive evaluator, and texts that make no sense.

use proptest::prelude::*;

use super::super::gene::GeneKind;
use super::super::{Schema, compile};
use super::*;

fn names(names: &str) -> Vec<Box<str>> {
    names.split(' ').map(Into::into).collect()
}

fn genes() -> Vec<Gene> {
    let integer = |low, high| GeneKind::Integer { low, high, step: 1, log: false };
    let categorical = |choices| GeneKind::Categorical { choices: names(choices), ordered: false };
    let exponential = vec![Gene::new("base", integer(2, 4))];
    let arms = vec![("fixed".into(), vec![]), ("exp".into(), exponential)];
    let body = vec![
        Gene::new("width", integer(1, 9)),
        Gene::new("dil", GeneKind::Switch { arms: arms.clone() }),
    ];
    vec![
        Gene::new("a", integer(0, 9)),
        Gene::new("b", integer(-3, 3)),
        Gene::new("kernel", categorical("3 5 7")),
        Gene::new("act", categorical("relu silu")),
        Gene::new("bias", GeneKind::Boolean),
        Gene::new("rate", GeneKind::Real { low: 0.5, high: 2.0, log: true }),
        Gene::new("inputs", GeneKind::Subset { of: names("x y z"), at_least: 0, at_most: 3 }),
        Gene::new("dil", GeneKind::Switch { arms }),
        Gene::new("layers", GeneKind::Repeat { shared: false, at_least: 0, at_most: 3, body }),
        Gene::new("0>1", integer(1, 3)),
        Gene::new(
            "cell",
            GeneKind::Dag { least_nodes: 2, most_nodes: 4, max_edges: 6, labels: names("c p") },
        ),
        Gene::new("edges", GeneKind::Edges { nodes: 3, labels: names("none conv") }),
    ]
}

const GENOTYPE: &str = "a=6,b=-2,kernel=5,act=silu,bias=true,rate=2,inputs=x|z,dil=exp,\
                        dil.exp.base=3,layers=2,layers.0.width=4,layers.0.dil=fixed,\
                        layers.1.width=7,layers.1.dil=exp,layers.1.dil.exp.base=2,0>1=2,\
                        cell=0>1|0>2|1>3|2>3:c|p,edges=none|conv|conv";

/// The value of an expression for [`GENOTYPE`] as text, `none` if it does not apply, `undefined`
/// if it has none for another reason, or its fault.
fn value(text: &str) -> String {
    let genes = genes();
    let root = compile::group(&genes, "").unwrap();
    let slots = Schema::new(genes.clone()).unwrap().parse(GENOTYPE).unwrap().0;
    let scope = Scope { genes: &genes, root: &root, derived: &[], locals: &[] };
    let mut term = match syntax::parse(text) {
        Ok(term) => term,
        Err(fault) => return format!("{}: {}", fault.at, fault.reason),
    };
    if let Err(fault) = scope.check(&mut term) {
        return format!("{}: {}", fault.at, fault.reason);
    }
    match (Reading { slots: &slots, derived: &[], frames: &[], shape: None }).value(&term) {
        Ok(value) => shown(&value),
        Err(Missing::DoesNotApply) => "none".to_owned(),
        Err(Missing::Undefined) => "undefined".to_owned(),
    }
}

#[test]
fn expressions_have_their_values() {
    for (text, expected) in [
        ("1 + 2 * 3 - 4", "3"),
        ("(1 + 2) * 3", "9"),
        ("-a // 4", "-2"),
        ("a % -4", "-2"),
        ("-7 % 4", "1"),
        ("7 / 2", "3.5"),
        ("7.5 // 2", "3"),
        ("1 // 0", "undefined"),
        ("1 / 0", "undefined"),
        ("9223372036854775807 + 1", "undefined"),
        ("9223372036854775807 > 9223372036854775806", "true"),
        ("a * b", "-12"),
        ("abs(b) + min(a, 3) + max(1, 2, 5)", "10"),
        ("kernel in [3, 5] or 1 // 0 == 1", "true"),
        ("kernel + 0.5", "5.5"),
        ("act == \"silu\" and not bias", "false"),
        ("not act == 'relu'", "true"),
        ("not not bias == true", "true"),
        ("rate", "2"),
        ("if bias then a else b", "6"),
        ("if a > 6 then 1 else if a == 6 then 2 else 3", "2"),
        ("\"x\" in inputs and \"y\" not in inputs", "true"),
        ("len(inputs)", "2"),
        ("dil", "exp"),
        ("dil.exp.base", "3"),
        ("layers", "2"),
        ("layers.1.width", "7"),
        ("layers.2.width", "none"),
        ("layers.0.dil.exp.base", "none"),
        ("sum(layers.width)", "11"),
        ("layers.dil.exp.base", "2"),
        ("max(layers.width) - min(layers.width)", "3"),
        ("count(layers.dil, \"exp\")", "1"),
        ("`0>1` * 2", "4"),
        ("cell.nodes + cell.edges", "8"),
        ("count(cell.ops, \"c\")", "1"),
        ("[16, 24, 40][1] + [1, 2][0]", "25"),
        ("[\"x\", \"y\"][2 - 1] == \"y\"", "true"),
        ("divisible(18, 8)", "24"),
        ("divisible(30, 8)", "32"),
        ("divisible(3, 8)", "8"),
        ("divisible(72 / 4, 8) == divisible(18.0, 8)", "true"),
        ("count(edges, \"conv\") == 2", "true"),
        ("3 in []", "false"),
        ("min([3, 1, 2])", "1"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn faults_are_at_their_character() {
    for (text, expected) in [
        ("", "0: a value is expected, found the end"),
        ("a +", "3: a value is expected, found the end"),
        ("a = 3", "2: `=` has no meaning here"),
        ("a < b < 3", "6: comparisons do not follow one another"),
        ("a b", "2: `b` does not continue the expression"),
        ("(a + 1", "6: `)` is expected, found the end"),
        ("act == \"relu", "7: the text does not end"),
        ("act == \"gelu\"", "7: the gene is never `gelu`"),
        ("\"w\" in inputs", "0: the gene is never `w`"),
        ("act in [\"relu\", \"elu\"]", "16: the gene is never `elu`"),
        ("act == relu", "7: there is no gene `relu`"),
        ("depht > 3", "0: there is no gene `depht`"),
        ("dil.linear.base > 1", "0: there is no gene `dil.linear`"),
        ("dil.exp > 1", "0: `dil.exp` has no value of its own"),
        ("layers.3.width > 1", "0: there is no gene `layers.3`"),
        ("cell == 1", "0: `cell` has no value of its own"),
        ("a.b > 1", "0: there is no gene `a.b`"),
        ("act + 1 > 2", "0: arithmetic takes a number, found a text"),
        ("a and bias", "0: `and` and `or` takes true or false, found a number"),
        ("a == \"3\"", "5: `==` with this left side takes a number, found a text"),
        ("layers.width > 3", "0: a comparison by size takes a number, found a list of numbers"),
        ("[1, \"x\"] == 1", "4: a list, as its first value, takes a number, found a text"),
        ("if bias then 1 else \"x\"", "20: `else`, as `then`, takes a number, found a text"),
        ("if bias then 1", "14: `else` is expected, found the end"),
        ("median(a, b) > 1", "0: there is no function `median`"),
        ("a[0] > 1", "0: a position in a number has no value"),
        ("[1, 2][\"x\"] > 1", "7: a position takes a number, found a text"),
        ("divisible(8) > 1", "0: `divisible` takes a number and its divisor"),
        ("sum(a) > 1", "4: a list is searched for a number, found a number"),
        ("99999999999999999999 > a", "0: the number 99999999999999999999 is too large"),
        ("a. > 1", "2: a name is expected behind the point"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    let deep = format!("{}a{} > 1", "(".repeat(500), ")".repeat(500));
    assert!(value(&deep).contains("nested too deeply"));
    assert!(value(&"-".repeat(400)).contains("value is expected"));
    assert!(value(&format!("{}a", "-".repeat(400))).contains("nested too deeply"));
    assert!(value(&format!("a{}", " + a".repeat(400))).contains("nested too deeply"));
    assert!(value(&"a".repeat(5000)).contains("5000 characters"));
}

/// An expression whose text and value are known.
#[derive(Debug, Clone)]
enum Naive {
    Number(i64),
    A,
    B,
    Negate(Box<Naive>),
    Pair(&'static str, Box<Naive>, Box<Naive>),
    Choose(&'static str, Box<[Naive; 4]>),
}

impl Naive {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::A => "a".to_owned(),
            Self::B => "b".to_owned(),
            Self::Negate(inner) => format!("-({})", inner.text()),
            Self::Pair("min", a, b) => format!("min({}, {})", a.text(), b.text()),
            Self::Pair(operator, a, b) => format!("({} {operator} {})", a.text(), b.text()),
            Self::Choose(operator, parts) => {
                let [a, b, c, d] = parts.each_ref().map(Self::text);
                format!("(if {a} {operator} {b} then {c} else {d})")
            }
        }
    }

    /// By exact rational steps in wide numbers.
    fn value(&self) -> Option<i128> {
        Some(match self {
            Self::Number(number) => i128::from(*number),
            Self::A => 6,
            Self::B => -2,
            Self::Negate(inner) => -inner.value()?,
            Self::Pair(operator, a, b) => {
                let (a, b) = (a.value()?, b.value()?);
                match *operator {
                    "+" => a + b,
                    "-" => a - b,
                    "*" => a * b,
                    "min" => a.min(b),
                    _ if b == 0 => return None,
                    "//" => {
                        (a - a.rem_euclid(b.abs())) / b.abs() * b.signum() - {
                            i128::from(b < 0 && a.rem_euclid(b.abs()) != 0)
                        }
                    }
                    _ => {
                        let rest = a.rem_euclid(b.abs());
                        if b < 0 && rest != 0 { rest + b } else { rest }
                    }
                }
            }
            Self::Choose(operator, parts) => {
                let [a, b, c, d] = parts.as_ref();
                let (a, b) = (a.value()?, b.value()?);
                let holds = match *operator {
                    "<" => a < b,
                    "==" => a == b,
                    _ => a >= b,
                };
                if holds { c.value()? } else { d.value()? }
            }
        })
    }
}

fn naive() -> impl Strategy<Value = Naive> {
    let leaf = prop_oneof![(0i64..9).prop_map(Naive::Number), Just(Naive::A), Just(Naive::B)];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let operators = prop::sample::select(vec!["+", "-", "*", "//", "%", "min"]);
        let comparisons = prop::sample::select(vec!["<", "==", ">="]);
        prop_oneof![
            inner.clone().prop_map(|inner| Naive::Negate(Box::new(inner))),
            (operators, inner.clone(), inner.clone()).prop_map(|(operator, a, b)| Naive::Pair(
                operator,
                Box::new(a),
                Box::new(b)
            )),
            (comparisons, prop::array::uniform4(inner))
                .prop_map(|(operator, parts)| Naive::Choose(operator, Box::new(parts))),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_those_of_a_naive_evaluator(expression in naive()) {
        let expected = match expression.value() {
            None => "undefined".to_owned(),
            Some(number) => number.to_string(),
        };
        prop_assert_eq!(value(&expression.text()), expected, "{}", expression.text());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        let _ = value(&text);
    }

    #[test]
    fn no_mixture_of_words_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", "b", "kernel", "act", "layers", ".", "width", "(", ")", "[", "]", ",", "+", "-",
            "*", "//", "%", "==", "<", "in", "not", "and", "or", "if", "then", "else", "3", "1e9",
            "\"relu\"", "min", "sum", "count", "len", "`0>1`", "'", "cell.ops", "true", "9.5",
        ]), 0..20),
        spaced: bool,
    ) {
        let _ = value(&words.join(if spaced { " " } else { "" }));
    }
}
