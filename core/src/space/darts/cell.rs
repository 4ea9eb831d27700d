//! The two cells of an architecture: their notation, and which ones are the same. It must not know what
//! is built of them.

use std::fmt;

/// The inputs of a cell, the nodes 0 and 1: what the two cells before it put out.
pub(super) const INPUTS: usize = 2;
/// The nodes of a cell besides its inputs; its output is all of them, stacked.
pub(super) const NODES: usize = 4;

/// The operations on offer, in the order of the publication's code.
pub(super) const OPERATIONS: [&str; 7] = [
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
];

/// A node: what it reads, ascending, and with which operation, an index into [`OPERATIONS`].
pub(super) type Node = [(usize, usize); 2];
/// The nodes 2 to 5.
pub(super) type Cell = [Node; NODES];

/// The two cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Architecture {
    pub(super) normal: Cell,
    pub(super) reduce: Cell,
}

impl Architecture {
    /// The architecture with the nodes of each cell in an order that all cells share which differ in
    /// nothing else.
    pub(super) fn simplified(&self) -> Self {
        Self { normal: least_order(&self.normal), reduce: least_order(&self.reduce) }
    }
}

/// The least cell, in the order of its inputs and operations, of all that are this one with its nodes
/// numbered otherwise.
fn least_order(cell: &Cell) -> Cell {
    let mut least = *cell;
    let mut place = [usize::MAX; INPUTS + NODES];
    (place[0], place[1]) = (0, 1);
    renumber(cell, &mut place, &mut Vec::with_capacity(NODES), &mut least);
    least
}

/// Tries every node whose inputs have a place as the next one after those that are `done`; `place` holds
/// the new number of each node that has one.
fn renumber(cell: &Cell, place: &mut [usize], done: &mut Vec<Node>, least: &mut Cell) {
    if let Ok(cell) = Cell::try_from(done.as_slice()) {
        *least = cell.min(*least);
        return;
    }
    for (nth, node) in cell.iter().enumerate() {
        let is_ready = node.iter().all(|(input, _)| place[*input] != usize::MAX);
        if place[INPUTS + nth] == usize::MAX && is_ready {
            let mut renumbered = node.map(|(input, operation)| (place[input], operation));
            renumbered.sort_unstable();
            place[INPUTS + nth] = INPUTS + done.len();
            done.push(renumbered);
            renumber(cell, place, done, least);
            done.pop();
            place[INPUTS + nth] = usize::MAX;
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |f: &mut fmt::Formatter<'_>, name: &str, cell: &Cell| {
            write!(f, "{name}=[")?;
            for (nth, (input, operation)) in cell.iter().flatten().enumerate() {
                let comma = if nth > 0 { ", " } else { "" };
                write!(f, "{comma}('{}', {input})", OPERATIONS[*operation])?;
            }
            write!(f, "], {name}_concat=[2, 3, 4, 5]")
        };
        f.write_str("Genotype(")?;
        write(f, "normal", &self.normal)?;
        f.write_str(", ")?;
        write(f, "reduce", &self.reduce)?;
        f.write_str(")")
    }
}

/// Reads what [`Architecture`] writes: also with other spaces and quotes, with `range(2, 6)` for what is
/// stacked, and with the operations of a node in either order.
pub(super) fn parse(text: &str) -> Result<Architecture, String> {
    let text: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| if c == '"' { '\'' } else { c })
        .collect();
    let text = text.replace("range(2,6)", "[2,3,4,5]");
    let mut reader = Reader { rest: &text };
    reader.expect("Genotype(")?;
    let normal = reader.cell("normal")?;
    reader.expect(",")?;
    let reduce = reader.cell("reduce")?;
    reader.expect(")")?;
    if !reader.rest.is_empty() {
        return Err(format!("expected its end, found `{}`", reader.shown()));
    }
    Ok(Architecture { normal, reduce })
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn shown(&self) -> String {
        self.rest.chars().take(20).collect()
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        self.rest = self
            .rest
            .strip_prefix(word)
            .ok_or_else(|| format!("expected `{word}`, found `{}`", self.shown()))?;
        Ok(())
    }

    fn until(&mut self, end: char) -> Result<&'a str, String> {
        let (word, rest) = self
            .rest
            .split_once(end)
            .ok_or_else(|| format!("expected `{end}` after `{}`", self.shown()))?;
        self.rest = rest;
        Ok(word)
    }

    fn cell(&mut self, name: &str) -> Result<Cell, String> {
        self.expect(&format!("{name}=["))?;
        let mut cell: Cell = [Node::default(); NODES];
        for (nth, node) in cell.iter_mut().enumerate() {
            for (place, edge) in node.iter_mut().enumerate() {
                if nth + place > 0 {
                    self.expect(",")?;
                }
                *edge = self.edge(INPUTS + nth)?;
            }
            node.sort_unstable();
            if node[0].0 == node[1].0 {
                let input = node[0].0;
                return Err(format!("node {} of {name} reads node {input} twice", INPUTS + nth));
            }
        }
        self.expect(&format!("],{name}_concat=[2,3,4,5]"))?;
        Ok(cell)
    }

    /// `('operation',input)` of this node.
    fn edge(&mut self, node: usize) -> Result<(usize, usize), String> {
        self.expect("('")?;
        let name = self.until('\'')?;
        let operation = OPERATIONS.iter().position(|known| *known == name).ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            format!("there is no operation `{name}`, only {}", OPERATIONS.join(", "))
        })?;
        self.expect(",")?;
        let input = self.until(')')?;
        let known = (0..node).find(|known| known.to_string() == input);
        let known = known.ok_or_else(|| {
            let input: String = input.chars().take(20).collect();
            format!("node {node} cannot read `{input}`, only 0 to {}", node - 1)
        })?;
        Ok((known, operation))
    }
}
