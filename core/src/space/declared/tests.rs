//! Declared spaces against the contract of all spaces, and declarations that make no sense.

use super::*;
use crate::space::SPACES;
use crate::space::contract;
use crate::spec::Section;

const CONVOLUTIONS: &str = "\
genes:
  depth: {int: [1, 10]}
  rate: {real: [0.0001, 0.1], log: true}
  width: {int: [8, 512], step: 8, log: true}
  act: {cat: [relu, silu]}
  bias: bool
  inputs: {subset: [a, b, c], size: 2}
  dilation: {switch: {fixed: {}, exp: {base: {cat: [2, 4], ordered: true}}}}
  layers: {repeat: {width: {cat: [1, 2, 4, 8], ordered: true}}, count: [1, 3]}
  link: {parents: 4, canonical: true}
  cell: {edges: [none, skip, conv], nodes: 3}
  graph: {dag: [conv, pool], nodes: [2, 4], max_edges: 5}
";

fn build(text: &str) -> Result<Arc<dyn SearchSpace>, String> {
    let entry = SPACES.iter().find(|entry| entry.name == NAME).unwrap();
    let section = Section::from_text(text).map_err(|faults| faults.to_string())?;
    let space = (entry.build)(&section);
    section.finish().map_err(|faults| faults.to_string())?;
    Ok(space.expect("a clean section gives a space"))
}

#[test]
fn declared_spaces_keep_the_contract_of_all_spaces() {
    let digits = "genes: {ops: {edges: [none, skip, c1, c3, pool], nodes: 4}}\nnotation: digits";
    let sizes = "genes: {a: {int: [8, 64], step: 8}, b: {int: [8, 64], step: 8}}\n\
                 notation: 'list :'";
    let nested =
        "genes: {r: {repeat: {s: {switch: {x: {}, y: {k: {int: [1, 3]}}}}}, count: [0, 3]}}";
    for text in [CONVOLUTIONS, digits, sizes, nested] {
        contract::check(build(text).unwrap().as_ref());
    }
}

#[test]
fn the_order_of_genes_survives_being_stored() {
    let space = build("genes: {z: {int: [0, 3]}, a: {int: [0, 3]}}\nnotation: digits").unwrap();
    let again = build(&space.parameters().to_string()).unwrap();
    let genotype = space.parse("31").unwrap();
    assert_eq!(*genotype.0, [3, 1]);
    assert_eq!(again.format(&genotype), "31");
    assert_eq!(space.canonical_hash(&genotype), again.canonical_hash(&genotype));
}

#[test]
fn malformed_declarations_are_placed_and_explained() {
    let cases = [
        ("{}", "1:1: genes: is missing"),
        ("genes: {}", "1:8: genes: has no genes"),
        ("genes:\n  depth: {int: [5, 1]}", "2:10: genes.depth: `depth` has no values from 5 to 1"),
        ("genes:\n  depth: {int: [1]}", "2:16: genes.depth.int"),
        ("genes:\n  depth: {int: [1, 5], stride: 2}", "2:24: genes.depth.stride: unknown key"),
        ("genes:\n  depth: {whole: 3}", "2:10: genes.depth: a gene says its kind by one key"),
        ("genes:\n  act: {cat: [relu, relu]}", "2:8: genes.act: `act` names `relu` twice"),
        ("genes:\n  s: {switch: {x: {k: {int: [2, 1]}}}}", "2:23: genes.s.switch.x.k: `k` has no"),
        ("genes:\n  r: {repeat: {k: bool}}", "2:6: genes.r.count: is missing"),
        ("genes:\n  d: {dag: [c], nodes: [2, 12]}", "2:6: genes.d: `d` has 2 to 12 nodes"),
        ("genes:\n  a: {int: [0, 20]}\nnotation: digits", "cannot be written in this notation"),
        ("genes: {a: bool}\nnotation: morse", "2:11: notation: there is no notation `morse`"),
        ("genes: {a: {real: [0, .nan]}}", "a: `a` has no range"),
        ("genes: {a: {real: [0, 1], log: true}}", "`a` is logarithmic, but begins at 0"),
        ("genes: {a: {cat: ['x y', z]}}", "`a` has the unusable name `x y`"),
    ];
    for (text, expected) in cases {
        let faults = build(text).unwrap_err();
        assert!(faults.contains(expected), "{text}\nexpected {expected}\nfound {faults}");
    }
    // All faults at once.
    let faults = build("genes:\n  a: {int: [2, 1]}\n  b: {cat: []}").unwrap_err();
    assert!(
        faults.contains("`a` has no values") && faults.contains("`b` has 0 choices"),
        "{faults}"
    );
}

/// Cases of `faults.txt`: a declaration, in which `\\n` stands for a new line, and all its faults.
#[test]
fn every_fault_of_a_declaration_names_its_place_and_the_way_out() {
    let cases: Vec<&str> = include_str!("faults.txt").trim().split("\n\n").collect();
    assert!(cases.len() >= 60, "only {} cases were read", cases.len());
    let mut failed = Vec::new();
    for case in cases {
        let (text, expected) = case.split_once('\n').unwrap_or((case, ""));
        let text = text.strip_prefix("# ").expect("a case starts with `# `").replace("\\n", "\n");
        let section = Section::from_text(&text).unwrap();
        let refused = (ENTRY.build)(&section).is_none();
        let faults = section.finish().err().map(|faults| faults.to_string()).unwrap_or_default();
        if faults != expected || !refused {
            failed.push(format!("# {}\n{faults}", text.replace('\n', "\\n")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn isomorphic_graphs_are_one_candidate_where_asked_for() {
    let genes = "genes: {cell: {dag: [conv, pool], nodes: [2, 4]}}";
    let (a, b) = ("cell=0>1|0>2|1>3|2>3:conv|pool", "cell=0>1|0>2|1>3|2>3:pool|conv");
    for (same, equal) in [("", false), ("\nsame: spelling", false), ("\nsame: isomorphic", true)] {
        let space = build(&format!("{genes}{same}")).unwrap();
        contract::check(space.as_ref());
        let hash = |text| space.canonical_hash(&space.parse(text).unwrap()).unwrap();
        assert_eq!(hash(a) == hash(b), equal, "{same}");
    }
}

#[test]
fn constraints_and_derived_values_survive_being_stored() {
    let text = "genes: {width: {int: [1, 8]}, depth: {int: [1, 8]}}\n\
                derived: {z: width * depth, a: z + 1}\n\
                where: [z <= 32, 'a in [2, 5, 10, 17]']";
    let space = build(text).unwrap();
    contract::check(space.as_ref());
    let again = build(&space.parameters().to_string()).unwrap();
    let genotype = space.parse("width=2,depth=8").unwrap();
    let shown = [("z", "16".to_owned()), ("a", "17".to_owned())];
    assert_eq!(again.schema().derived_values(&genotype), shown);
    assert_eq!(space.canonical_hash(&genotype), again.canonical_hash(&genotype));
    let refused = space.parse("width=5,depth=8").unwrap_err().to_string();
    assert!(refused.contains("it breaks the constraint `z <= 32`"), "{refused}");
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let text = include_str!("../../../../docs/spaces.md");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut count = 0;
    for block in blocks {
        let section = Section::from_text(block).unwrap();
        let space = section.child("space").unwrap().without("kind");
        assert!((ENTRY.build)(&space).is_some(), "{block}\n{:?}", section.finish());
        section.finish().unwrap_or_else(|faults| panic!("{block}\n{faults}"));
        count += 1;
    }
    assert_eq!(count, 9);
    // The examples of genes, each alone.
    let cells = text.lines().filter_map(|line| line.split('`').nth(3));
    let genes: Vec<&str> = cells.filter(|cell| cell.starts_with('{') || *cell == "bool").collect();
    assert_eq!(genes.len(), 10);
    for gene in genes {
        build(&format!("genes: {{a: {gene}}}")).unwrap_or_else(|faults| panic!("{gene}: {faults}"));
    }
}
