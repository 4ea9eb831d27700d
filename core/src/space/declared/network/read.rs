//! A network from a campaign, every fault at its place. It must not know how a graph is built; it
//! only tries some architectures, so that a declaration that cannot be built is refused at once.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Kind, Layer, Merging, Network, OPERATIONS, Operation, STRUCTURES};
use crate::graph::MAX_DIMENSION;
use crate::rng::{Purpose, stream};
use crate::space::Schema;
use crate::space::schema::{Expression, GraphGene, Local, LocalKind, RuleError, Type};
use crate::spec::Item;

/// The most layers of a declaration after its blocks are put in.
const MAX_LAYERS: usize = 10_000;
/// The deepest nesting of layers, blocks included.
const MAX_DEPTH: usize = 64;
/// How many drawn architectures are built to try a declaration. Tests that feed millions of inputs
/// (`--cfg fuzzing`) build one of each that they draw themselves.
const TRIED: u64 = if cfg!(fuzzing) { 0 } else { 64 };
const LAYER_HELP: &str = "write an operation such as `relu` or `{conv: {channels: 16}}`, or one of \
                          for, choose, if, residual, sum, product, concat, attention, cell, or a \
                          block";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    input: Option<[u32; 3]>,
    classes: Option<u32>,
    #[serde(rename = "blocks")]
    _blocks: Option<IgnoredAny>,
    #[serde(rename = "layers")]
    _layers: Option<IgnoredAny>,
}

/// Reads the network over the genes of `schema`; faults go to their places, `None` if there were
/// any. `written` is the same value as JSON.
pub(in crate::space::declared) fn read(
    item: &Item<'_>,
    written: serde_json::Value,
    schema: &Schema,
) -> Option<Network> {
    let section = item.section()?;
    let raw: Raw = section.read();
    section.missing("layers", "list what the network does, from its input to its classes");
    let (input, classes) = (raw.input.unwrap_or([3, 32, 32]), raw.classes.unwrap_or(10));
    for (nth, side) in input.into_iter().enumerate() {
        section.check_range(&format!("input[{nth}]"), side, 1..=MAX_DIMENSION);
    }
    section.check_range("classes", classes, 2..=100_000);
    let mut reader = Reader {
        schema,
        blocks: blocks(item)?,
        open: Vec::new(),
        places: Vec::new(),
        items: Vec::new(),
        depth: 0,
    };
    for name in ["input", "classes"] {
        let derived = schema.derived().any(|(derived, _)| derived == name);
        let derived = derived && !section.is_kept();
        if derived || schema.genes().iter().any(|gene| *gene.name == *name) {
            let what = if derived { "derived value" } else { "gene" };
            item.fault(
                format!("a {what} is called `{name}`, which a network has itself"),
                "rename it",
            );
        }
    }
    let layers = reader.layers(&item.inner("layers")?, &globals());
    if !section.is_clean() {
        return None;
    }
    for block in reader.blocks.iter().filter(|block| !block.used) {
        block.at.fault(
            format!("the block `{}` is used by no layer", block.name),
            "use it in `layers`, or leave it out",
        );
    }
    if !section.is_clean() {
        return None;
    }
    let places = reader.places;
    let network = Network { input, classes, layers, places, written };
    try_out(&network, schema, item, &reader.items)?;
    Some(network)
}

/// Builds some architectures, and faults the layer at which one cannot be built.
fn try_out(network: &Network, schema: &Schema, item: &Item<'_>, items: &[Item<'_>]) -> Option<()> {
    let draw = |ordinal| schema.sample(&mut stream(0, Purpose::Proposal, ordinal));
    let first = schema.unrank(&0u32.into());
    let last = schema.unrank(&(schema.cardinality() - 1u32));
    for genotype in first.into_iter().chain(last).chain((0..TRIED).map(draw)) {
        if let Err(failure) = network.build(schema, &genotype) {
            let place = failure.layer.and_then(|layer| items.get(layer)).unwrap_or(item);
            let text = schema.format(&genotype);
            let reason = format!("`{text}` has no network: {}", failure.reason);
            place.fault(reason, "change the layers, or exclude such architectures by `where`");
            return None;
        }
    }
    Some(())
}

/// The names that are known everywhere in a network.
fn globals<'a>() -> Vec<Local<'a>> {
    vec![
        Local { name: "classes".into(), kind: LocalKind::Value(Type::Number) },
        Local { name: "input".into(), kind: LocalKind::Input },
    ]
}

#[derive(Clone)]
struct Block<'d> {
    name: String,
    takes: Vec<Box<str>>,
    layers: Item<'d>,
    at: Item<'d>,
    used: bool,
}

fn blocks<'d>(network: &Item<'d>) -> Option<Vec<Block<'d>>> {
    let Some(item) = network.inner("blocks") else { return Some(Vec::new()) };
    let mut blocks = Vec::new();
    for (name, block) in item.entries()? {
        let taken = OPERATIONS.iter().any(|(known, _)| *known == name);
        if taken || STRUCTURES.contains(&name.as_str()) {
            block.fault(format!("`{name}` is a layer already"), "give the block another name");
        }
        let mut takes: Vec<Box<str>> = Vec::new();
        for (key, value) in block.entries()? {
            match key.as_str() {
                "layers" => {}
                "takes" => {
                    for name in value.elements()? {
                        let text = name.text().unwrap_or_default();
                        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                        let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic());
                        if !is_name
                            || !text.chars().all(plain)
                            || takes.iter().any(|t| **t == *text)
                        {
                            name.fault(
                                "the arguments of a block are different names",
                                "write `takes: [channels, stride]`",
                            );
                        }
                        takes.push(text.into());
                    }
                }
                _ => value.fault(format!("a block has no `{key}`"), "it has `takes` and `layers`"),
            }
        }
        let Some(layers) = block.inner("layers") else {
            block.fault("the block has no layers", "write `layers: [..]` in it");
            return None;
        };
        blocks.push(Block { name, takes, layers, at: block.clone(), used: false });
    }
    Some(blocks)
}

struct Reader<'d, 'a> {
    schema: &'a Schema,
    blocks: Vec<Block<'d>>,
    /// The blocks that are being put in, outermost first.
    open: Vec<usize>,
    places: Vec<Box<str>>,
    items: Vec<Item<'d>>,
    depth: usize,
}

impl<'d, 'a> Reader<'d, 'a> {
    /// The layers of a list; those with faults are left out.
    fn layers(&mut self, item: &Item<'d>, locals: &[Local<'a>]) -> Vec<Layer> {
        let Some(elements) = item.elements() else { return Vec::new() };
        if self.depth >= MAX_DEPTH {
            item.fault("layers are nested too deeply here", format!("keep it to {MAX_DEPTH}"));
            return Vec::new();
        }
        self.depth += 1;
        let layers = elements.iter().filter_map(|element| self.layer(element, locals)).collect();
        self.depth -= 1;
        layers
    }

    fn layer(&mut self, item: &Item<'d>, locals: &[Local<'a>]) -> Option<Layer> {
        let place = self.places.len();
        if place == MAX_LAYERS {
            item.fault(format!("the network has more than {MAX_LAYERS} layers"), "use `for`");
        }
        if place >= MAX_LAYERS {
            return None;
        }
        let path = item.path();
        let from = path.find("network").unwrap_or_default();
        self.places.push(path[from..].into());
        self.items.push(item.clone());
        let kind = match item.text() {
            Some(name) => self.named(name, item, None, locals)?,
            None => {
                let entries = item.entries()?;
                let [(name, value)] = entries.as_slice() else {
                    item.fault("a layer says what it is by one key", LAYER_HELP);
                    return None;
                };
                self.named(name, item, Some(value), locals)?
            }
        };
        Some(Layer { place, kind })
    }

    fn named(
        &mut self,
        name: &str,
        layer: &Item<'d>,
        value: Option<&Item<'d>>,
        locals: &[Local<'a>],
    ) -> Option<Kind> {
        if let Some((_, operation)) = OPERATIONS.iter().find(|(known, _)| *known == name) {
            return self.operation(name, *operation, value, locals);
        }
        if let Some(block) = self.blocks.iter().position(|block| block.name == name) {
            return self.block(block, layer, value, locals);
        }
        let Some(value) = value.filter(|_| STRUCTURES.contains(&name)) else {
            let known: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
            let reason = format!("there is no layer `{name}`");
            layer.fault(reason, format!("{LAYER_HELP}; operations: {}", known.join(", ")));
            return None;
        };
        match name {
            "for" => self.repetition(value, locals),
            "choose" => self.choice(value, locals),
            "if" => self.condition(value, locals),
            "cell" => self.cell(value, locals),
            "attention" => self.attention(value, locals),
            "residual" => {
                let branches = vec![Vec::new(), self.layers(value, locals)];
                Some(Kind::Merge { how: Merging::Sum, branches })
            }
            _ => {
                let branches: Vec<Vec<Layer>> =
                    value.elements()?.iter().map(|branch| self.layers(branch, locals)).collect();
                if branches.is_empty() {
                    value.fault("there are no branches", "write `[[..], [..]]`: lists of layers");
                    return None;
                }
                let how = match name {
                    "sum" => Merging::Sum,
                    "product" => Merging::Product,
                    _ => Merging::Stack,
                };
                Some(Kind::Merge { how, branches })
            }
        }
    }

    fn operation(
        &mut self,
        name: &str,
        operation: Operation,
        value: Option<&Item<'d>>,
        locals: &[Local<'a>],
    ) -> Option<Kind> {
        let takes = operation.arguments();
        let mut arguments = vec![None; takes.len()];
        for (key, value) in value.map_or(Some(Vec::new()), Item::entries)? {
            let Some(nth) = takes.iter().position(|(known, _)| *known == key) else {
                let known: Vec<&str> = takes.iter().map(|(name, _)| *name).collect();
                let help = if known.is_empty() {
                    "it takes no arguments".to_owned()
                } else {
                    format!("it takes {}", known.join(", "))
                };
                value.fault(format!("`{name}` has no argument `{key}`"), help);
                continue;
            };
            arguments[nth] = self.typed(&value, takes[nth].1, locals);
        }
        Some(Kind::Apply(operation, arguments))
    }

    fn block(
        &mut self,
        nth: usize,
        layer: &Item<'d>,
        value: Option<&Item<'d>>,
        locals: &[Local<'a>],
    ) -> Option<Kind> {
        self.blocks[nth].used = true;
        let Block { name, takes, layers, .. } = self.blocks[nth].clone();
        if self.open.contains(&nth) {
            layer.fault(
                format!("the block `{name}` is inside itself"),
                "use `for` to repeat layers",
            );
            return None;
        }
        let given = value.map_or(Some(Vec::new()), Item::entries)?;
        let mut arguments = Vec::with_capacity(takes.len());
        let mut inside = globals();
        for argument in &takes {
            let Some((_, value)) = given.iter().find(|(key, _)| **key == **argument) else {
                let help = format!("it takes {}", takes.join(", "));
                layer.fault(format!("the block `{name}` needs `{argument}`"), help);
                return None;
            };
            let expression = self.expression(value, locals)?;
            let kind = LocalKind::Value(expression.kind());
            inside.push(Local { name: argument.clone(), kind });
            arguments.push(expression);
        }
        if let Some((key, value)) =
            given.iter().find(|(key, _)| !takes.iter().any(|t| **t == **key))
        {
            let help = format!("it takes {}", takes.join(", "));
            value.fault(format!("the block `{name}` has no argument `{key}`"), help);
        }
        self.open.push(nth);
        let body = self.layers(&layers, &inside);
        self.open.pop();
        Some(Kind::Block { arguments, body })
    }

    /// The values at these keys, of which the first `required` have to be there; others are faults.
    fn parts(
        &self,
        item: &Item<'d>,
        keys: &[&str],
        required: usize,
        help: &str,
    ) -> Option<Vec<Option<Item<'d>>>> {
        let entries = item.entries()?;
        for (key, value) in entries.iter().filter(|(key, _)| !keys.contains(&key.as_str())) {
            value.fault(format!("there is no `{key}` here"), help);
        }
        let found: Vec<Option<Item<'d>>> = keys.iter().map(|key| item.inner(key)).collect();
        let missing = keys.iter().zip(&found).take(required).find(|(_, found)| found.is_none());
        if let Some((key, _)) = missing {
            item.fault(format!("`{key}` is missing"), help);
            return None;
        }
        Some(found)
    }

    fn repetition(&mut self, item: &Item<'d>, locals: &[Local<'a>]) -> Option<Kind> {
        const HELP: &str = "write `{each: block, in: stage, layers: [..]}`, where `stage` is a repeat \
                            gene or a number";
        let parts = self.parts(item, &["each", "in", "layers"], 3, HELP)?;
        let [Some(each), Some(over), Some(layers)] = parts.as_slice() else { return None };
        let name: Box<str> = each.text().unwrap_or_default().into();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) || locals.iter().any(|l| l.name == name) {
            each.fault(format!("`{name}` cannot be the name of a copy"), "use a new plain name");
            return None;
        }
        let schema = self.schema;
        let copies = schema.copies(over.text().unwrap_or_default(), locals);
        let of = self.typed(over, Type::Number, locals)?;
        let kind = match copies {
            Some(copies) => LocalKind::Copy(copies),
            None => LocalKind::Value(Type::Number),
        };
        let mut inside = locals.to_vec();
        inside.push(Local { name, kind });
        let body = self.layers(layers, &inside);
        Some(match copies {
            Some(copies) => Kind::ForCopies { of, slots: copies.slots(), body },
            None => Kind::ForTimes { times: of, body },
        })
    }

    fn choice(&mut self, item: &Item<'d>, locals: &[Local<'a>]) -> Option<Kind> {
        const HELP: &str = "write `{by: gene, of: {name: [..], other: [..]}}`";
        let parts = self.parts(item, &["by", "of"], 2, HELP)?;
        let [Some(by), Some(of)] = parts.as_slice() else { return None };
        let expression = self.expression(by, locals)?;
        let choices = expression.choices();
        let twice = choices.as_deref().and_then(|choices| {
            choices.iter().enumerate().find(|(nth, choice)| choices[..*nth].contains(choice))
        });
        if let Some((_, choice)) = twice.filter(|_| !item.is_kept()) {
            let reason = format!("two choices of the gene are the number {choice}");
            by.fault(reason, "take one of them out; they cannot build different layers");
            return None;
        }
        let arms = self.arms(of, choices.as_deref(), locals)?;
        Some(Kind::Choose { by: expression, arms })
    }

    /// Layers by name: where `names` are known, one entry for each, in that order, and no other.
    fn arms(
        &mut self,
        item: &Item<'d>,
        names: Option<&[Box<str>]>,
        locals: &[Local<'a>],
    ) -> Option<Vec<(Box<str>, Vec<Layer>)>> {
        let mut arms: Vec<(Box<str>, Vec<Layer>)> = Vec::new();
        // In an order of their own, since that of a mapping does not survive every format.
        let mut entries = item.entries()?;
        let rank = |name: &str| names.and_then(|names| names.iter().position(|n| **n == *name));
        entries.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
        for (name, layers) in entries {
            let name = names.and_then(|names| named(names, &name)).map_or(name, str::to_owned);
            if arms.iter().any(|(arm, _)| **arm == *name) {
                layers.fault(
                    format!("there are two entries for `{name}`"),
                    "choices that are numbers are one choice however they are written; leave one",
                );
                continue;
            }
            if let Some(names) = names
                && !names.iter().any(|known| **known == *name)
            {
                layers.fault(
                    format!("the gene is never `{name}`"),
                    format!("it is one of {}", names.join(", ")),
                );
                continue;
            }
            arms.push((name.into(), self.layers(&layers, locals)));
        }
        let has = |name: &str| arms.iter().any(|(arm, _)| **arm == *name);
        if let Some(name) = names.unwrap_or_default().iter().find(|name| !has(name)) {
            let help = format!("add `{name}: [..]`, or `{name}: []` if nothing is to be done");
            item.fault(format!("there are no layers for `{name}`"), help);
            return None;
        }
        Some(arms)
    }

    fn condition(&mut self, item: &Item<'d>, locals: &[Local<'a>]) -> Option<Kind> {
        const HELP: &str = "write `{when: stride == 2, then: [..], else: [..]}`";
        let parts = self.parts(item, &["when", "then", "else"], 2, HELP)?;
        let [Some(when), Some(then), otherwise] = parts.as_slice() else { return None };
        let when = self.typed(when, Type::Boolean, locals);
        let then = self.layers(then, locals);
        let otherwise =
            otherwise.as_ref().map(|layers| self.layers(layers, locals)).unwrap_or_default();
        Some(Kind::If { when: when?, then, otherwise })
    }

    fn cell(&mut self, item: &Item<'d>, locals: &[Local<'a>]) -> Option<Kind> {
        const HELP: &str = "write `{graph: gene, operations: {name: [..]}}`, with `output: concat` \
                            where what a `dag` puts out is stacked instead of summed";
        let parts = self.parts(item, &["graph", "operations", "output"], 2, HELP)?;
        let [Some(graph), Some(operations), output] = parts.as_slice() else { return None };
        let text = graph.text().unwrap_or_default();
        let gene: GraphGene = match self.schema.graph_gene(text, locals) {
            Ok(gene) => gene,
            Err(RuleError { at, reason, help, .. }) => {
                graph.fault_at_character(at, reason, help);
                return None;
            }
        };
        let stacked = match output.as_ref().map(|output| (output.text(), output)) {
            None | Some((Some("sum"), _)) => false,
            Some((Some("concat"), _)) if !gene.is_on_edges() => true,
            Some((_, output)) => {
                output.fault("the output of this graph cannot be put together so", HELP);
                return None;
            }
        };
        let labels = gene.labels().to_vec();
        let arms = self.arms(operations, Some(&labels), locals)?;
        let operations = arms.into_iter().map(|(_, layers)| layers).collect();
        Some(Kind::Cell { graph: gene, operations, stacked })
    }

    fn attention(&mut self, item: &Item<'d>, locals: &[Local<'a>]) -> Option<Kind> {
        const HELP: &str = "write `{query: [..], key: [..], value: [..]}`, lists of layers, with \
                            `heads: 4` for several heads";
        let parts = self.parts(item, &["query", "key", "value", "heads"], 3, HELP)?;
        let [Some(query), Some(key), Some(value), heads] = parts.as_slice() else { return None };
        let heads = match heads {
            Some(heads) => Some(self.typed(heads, Type::Number, locals)?),
            None => None,
        };
        let branches = [query, key, value].map(|layers| self.layers(layers, locals));
        Some(Kind::Attention { heads, branches })
    }

    fn typed(&self, item: &Item<'d>, wanted: Type, locals: &[Local<'a>]) -> Option<Expression> {
        let expression = self.expression(item, locals)?;
        if expression.kind() == wanted {
            return Some(expression);
        }
        let (wanted, found) = (wanted.words(), expression.kind().words());
        item.fault(format!("expected {wanted}, found {found}"), "change the expression");
        None
    }

    fn expression(&self, item: &Item<'d>, locals: &[Local<'a>]) -> Option<Expression> {
        let Some(text) = item.text().filter(|text| !text.trim().is_empty()) else {
            let help = "write a number, or an expression in quotes such as `\"2 * width\"`";
            item.fault("an expression is a text", help);
            return None;
        };
        match self.schema.expression(text, locals) {
            Ok(expression) => Some(expression),
            Err(RuleError { at, reason, help, .. }) => {
                item.fault_at_character(at, reason, help);
                None
            }
        }
    }
}

/// The one of `names` that `written` means: that very name, or the same number in another spelling.
fn named<'n>(names: &'n [Box<str>], written: &str) -> Option<&'n str> {
    let number = |text: &str| text.parse::<f64>().ok();
    let wanted = number(written);
    let exact = names.iter().find(|name| ***name == *written);
    let known =
        exact.or_else(|| names.iter().find(|name| wanted.is_some() && number(name) == wanted));
    known.map(|name| &**name)
}
