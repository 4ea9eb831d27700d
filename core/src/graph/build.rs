//! Building a [`Graph`]: shape inference and every check that makes a graph valid.
//!
//! Bad input (from a search space or from the wire) is refused here with a typed error, so that
//! no reader of a graph has to check again. It must not know what the graph is for.

use super::cost::{node_macs, node_params};
use super::{
    FILTERS, Graph, GraphBuilder, GraphError, MAX_DIMENSION, MAX_NODES, Node, NodeId, Op, Shape,
    Window,
};

/// The largest number of inputs that all nodes of a graph may have together.
pub const MAX_EDGES: usize = 1 << 20;
/// The largest total of parameters, multiply-accumulates or activation values of a graph: the
/// largest count up to which every whole number is exact as `f64`, the type of metric values.
pub const MAX_TOTAL: u64 = 1 << 53;

impl GraphBuilder {
    /// A graph that has only its input, one sample of shape `input`.
    #[must_use]
    pub fn new(input: Shape) -> Self {
        Self { nodes: vec![Node { op: Op::Input, inputs: Box::default(), shape: input }] }
    }

    /// The input node, which every graph has.
    #[must_use]
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// The inferred shape of one sample's output of the node at `id`, `None` if there is none.
    #[must_use]
    pub fn shape(&self, id: NodeId) -> Option<Shape> {
        self.nodes.get(id.0 as usize).map(|node| node.shape)
    }

    /// Appends a node that computes `op` from `inputs`, in that order.
    ///
    /// # Errors
    /// [`GraphError`] if the inputs do not exist, their number or shapes do not suit `op`, a
    /// setting of `op` is out of range, or the graph becomes too large. The builder is left as it
    /// was.
    pub fn add(&mut self, op: Op, inputs: &[NodeId]) -> Result<NodeId, GraphError> {
        let position = self.nodes.len();
        if op == Op::Input {
            return Err(GraphError::MisplacedInput { node: position });
        }
        if position == 1 {
            check_shape(
                &Site { node: 0, op: Op::Input, input: self.nodes[0].shape },
                self.nodes[0].shape,
            )?;
        }
        check_limit("number of nodes", position as u64 + 1, MAX_NODES as u64)?;
        check_limit("number of inputs of one node", inputs.len() as u64, MAX_NODES as u64)?;
        for input in inputs {
            if input.0 as usize >= position {
                return Err(GraphError::UnknownInput {
                    node: position,
                    op: op.name(),
                    input: input.0,
                });
            }
        }
        check_arity(position, op, inputs.len())?;
        let shape = self.infer(position, op, inputs)?;
        let input = self.shape_of(inputs[0]);
        check_total("multiply-accumulates of one node", node_macs(op, input, shape))?;
        check_total("parameters of one node", node_params(op, input))?;
        self.nodes.push(Node { op, inputs: inputs.into(), shape });
        Ok(NodeId(position as u32))
    }

    /// The graph whose value is that of `output`. Nodes that do not reach `output` are kept.
    ///
    /// # Errors
    /// [`GraphError`] if `output` does not exist, the input's shape is absurd or the totals exceed
    /// [`MAX_TOTAL`] or [`MAX_EDGES`].
    pub fn finish(self, output: NodeId) -> Result<Graph, GraphError> {
        let input = self.nodes[0].shape;
        check_shape(&Site { node: 0, op: Op::Input, input }, input)?;
        if output.0 as usize >= self.nodes.len() {
            return Err(GraphError::UnknownOutput { output: output.0, nodes: self.nodes.len() });
        }
        let edges: usize = self.nodes.iter().map(|node| node.inputs.len()).sum();
        check_limit("number of edges", edges as u64, MAX_EDGES as u64)?;
        let graph = Graph { nodes: self.nodes, output };
        let values = graph.nodes.iter().map(|node| u128::from(node.shape.elements())).sum();
        check_total("activation values", values)?;
        check_total("multiply-accumulates", graph.total_macs())?;
        check_total("parameters", graph.total_params())?;
        Ok(graph)
    }

    fn shape_of(&self, id: NodeId) -> Shape {
        self.nodes[id.0 as usize].shape
    }

    fn infer(&self, node: usize, op: Op, inputs: &[NodeId]) -> Result<Shape, GraphError> {
        let site = Site { node, op, input: self.shape_of(inputs[0]) };
        let shape = match op {
            Op::Input => return Err(GraphError::MisplacedInput { node }),
            Op::Conv2d { out_channels, window, dilation, groups, .. } => {
                convolved(&site, out_channels, window, dilation, groups)?
            }
            Op::AvgPool(window) | Op::MaxPool(window) => pooled(&site, window)?,
            Op::BatchNorm
            | Op::Relu
            | Op::Sigmoid
            | Op::HardSigmoid
            | Op::Silu
            | Op::HardSwish
            | Op::Zero => site.input,
            Op::GlobalAvgPool => Shape::Vector { features: site.map()?.0 },
            Op::ChannelMean | Op::ChannelMax => {
                let (_, height, width) = site.map()?;
                Shape::Map { channels: 1, height, width }
            }
            Op::Crop { top, bottom, left, right } => cropped(&site, [top, bottom], [left, right])?,
            Op::FirstChannels { channels } => {
                let (found, height, width) = site.map()?;
                site.setting("channels", channels, 1)?;
                if channels > found {
                    return Err(site.misfit(format!("there are no {channels} channels")));
                }
                Shape::Map { channels, height, width }
            }
            Op::Upsample { factor } => {
                let (channels, height, width) = site.map()?;
                site.setting("factor", factor, 1)?;
                let side = |side: u32| product("dimension", side, factor);
                Shape::Map { channels, height: side(height)?, width: side(width)? }
            }
            Op::FilterBank => {
                let (channels, height, width) = site.map()?;
                let channels = product("dimension", channels, FILTERS.len() as u32)?;
                Shape::Map { channels, height, width }
            }
            Op::Flatten => flattened(&site)?,
            Op::Linear { out_features, .. } => match site.input {
                Shape::Vector { .. } => Shape::Vector { features: out_features },
                Shape::Map { .. } => {
                    return Err(site.misfit("it needs a vector; flatten or pool the map first"));
                }
            },
            Op::Add => self.summed(&site, inputs)?,
            Op::Multiply => self.multiplied(&site, inputs)?,
            Op::Attention { heads } => self.attended(&site, heads, inputs)?,
            Op::Concat => self.stacked(&site, inputs)?,
        };
        check_shape(&site, shape)?;
        Ok(shape)
    }

    fn summed(&self, site: &Site, inputs: &[NodeId]) -> Result<Shape, GraphError> {
        for &other in &inputs[1..] {
            let shape = self.shape_of(other);
            if shape != site.input {
                return Err(
                    site.misfit(format!("it is added to shape {shape} of node {}", other.0))
                );
            }
        }
        Ok(site.input)
    }

    fn multiplied(&self, site: &Site, inputs: &[NodeId]) -> Result<Shape, GraphError> {
        let channels_of = |id: &NodeId| match self.shape_of(*id) {
            Shape::Map { channels, .. } => Some(channels),
            Shape::Vector { .. } => None,
        };
        // The factor that has the shape of the product: a map of the most channels, or a vector.
        let widest = inputs
            .iter()
            .max_by_key(|id| channels_of(id))
            .map_or(site.input, |id| self.shape_of(*id));
        for &other in inputs {
            let shape = self.shape_of(other);
            let fits = match (shape, widest) {
                (
                    Shape::Map { channels: 1, height, width },
                    Shape::Map { height: h, width: w, .. },
                ) => (height, width) == (h, w),
                (Shape::Vector { features }, Shape::Map { channels, .. }) => features == channels,
                (shape, widest) => shape == widest,
            };
            if !fits {
                let other = other.0;
                return Err(site.misfit(format!(
                    "shape {shape} of node {other} does not multiply shape {widest}"
                )));
            }
        }
        Ok(widest)
    }

    fn attended(&self, site: &Site, heads: u32, inputs: &[NodeId]) -> Result<Shape, GraphError> {
        let (channels, height, width) = site.map()?;
        site.setting("heads", heads, 1)?;
        let &[_, keys, values] = inputs else { return Err(site.misfit("it needs three inputs")) };
        let keys = self.shape_of(keys);
        if keys != site.input {
            return Err(site.misfit(format!("its keys have shape {keys}")));
        }
        let values = self.shape_of(values);
        match values {
            Shape::Map { channels: depth, height: h, width: w } if (h, w) == (height, width) => {
                if channels.is_multiple_of(heads) && depth.is_multiple_of(heads) {
                    return Ok(values);
                }
                Err(site.misfit(format!(
                    "heads {heads} must divide its {channels} channels of queries and {depth} of values"
                )))
            }
            _ => Err(site.misfit(format!("its values have shape {values}"))),
        }
    }

    fn stacked(&self, site: &Site, inputs: &[NodeId]) -> Result<Shape, GraphError> {
        let (_, height, width) = site.map()?;
        let mut channels = 0u64;
        for &other in inputs {
            match self.shape_of(other) {
                Shape::Map { channels: more, height: h, width: w } if (h, w) == (height, width) => {
                    channels += u64::from(more);
                }
                shape => {
                    return Err(site
                        .misfit(format!("it is stacked with shape {shape} of node {}", other.0)));
                }
            }
        }
        check_limit("dimension", channels, u64::from(MAX_DIMENSION))?;
        Ok(Shape::Map { channels: channels as u32, height, width })
    }
}

impl Graph {
    /// The graph with these operations and the inputs of each, in order; every shape is inferred
    /// and every check made anew. The first must be [`Op::Input`] without inputs.
    ///
    /// # Errors
    /// [`GraphError`], naming the first node that is not valid.
    pub fn from_parts(
        nodes: Vec<(Op, Vec<NodeId>)>,
        input: Shape,
        output: NodeId,
    ) -> Result<Self, GraphError> {
        match nodes.first() {
            Some((Op::Input, inputs)) if inputs.is_empty() => {}
            Some((Op::Input, inputs)) => {
                let (op, found) = (Op::Input.name(), inputs.len());
                return Err(GraphError::Arity { node: 0, op, found, expected: "none" });
            }
            _ => return Err(GraphError::MisplacedInput { node: 0 }),
        }
        let mut builder = GraphBuilder::new(input);
        for (op, inputs) in nodes.into_iter().skip(1) {
            builder.add(op, &inputs)?;
        }
        builder.finish(output)
    }
}

/// Where an operation meets its (first) input's shape; for messages.
struct Site {
    node: usize,
    op: Op,
    input: Shape,
}

impl Site {
    fn misfit(&self, reason: impl Into<String>) -> GraphError {
        let Site { node, op, input } = *self;
        GraphError::Shape { node, op: op.name(), input, reason: reason.into() }
    }

    fn map(&self) -> Result<(u32, u32, u32), GraphError> {
        match self.input {
            Shape::Map { channels, height, width } => Ok((channels, height, width)),
            Shape::Vector { .. } => Err(self.misfit("it needs a map of channels x height x width")),
        }
    }

    /// Refuses a setting outside `least..=MAX_DIMENSION`.
    fn setting(&self, name: &str, value: u32, least: u32) -> Result<(), GraphError> {
        if (least..=MAX_DIMENSION).contains(&value) {
            return Ok(());
        }
        Err(self.misfit(format!("{name} is {value}, expected {least} to {MAX_DIMENSION}")))
    }

    fn window(&self, window: Window) -> Result<(), GraphError> {
        self.setting("kernel", window.kernel, 1)?;
        self.setting("stride", window.stride, 1)?;
        self.setting("padding", window.padding, 0)
    }

    /// The number of positions of a window with `extent` taps along a side of `size`.
    fn positions(&self, size: u32, extent: u64, window: Window) -> Result<u32, GraphError> {
        let padded = u64::from(size) + 2 * u64::from(window.padding);
        let Some(room) = padded.checked_sub(extent) else {
            return Err(self.misfit(format!(
                "a window of {extent} does not fit into {size} with padding {}",
                window.padding
            )));
        };
        let positions = room / u64::from(window.stride) + 1;
        check_limit("dimension", positions, u64::from(MAX_DIMENSION))?;
        Ok(positions as u32)
    }
}

fn convolved(
    site: &Site,
    out_channels: u32,
    window: Window,
    dilation: u32,
    groups: u32,
) -> Result<Shape, GraphError> {
    let (channels, height, width) = site.map()?;
    site.window(window)?;
    site.setting("dilation", dilation, 1)?;
    site.setting("groups", groups, 1)?;
    if !channels.is_multiple_of(groups) || !out_channels.is_multiple_of(groups) {
        return Err(site.misfit(format!(
            "groups {groups} must divide its {channels} input and {out_channels} output channels"
        )));
    }
    let extent = u64::from(dilation) * u64::from(window.kernel - 1) + 1;
    Ok(Shape::Map {
        channels: out_channels,
        height: site.positions(height, extent, window)?,
        width: site.positions(width, extent, window)?,
    })
}

fn pooled(site: &Site, window: Window) -> Result<Shape, GraphError> {
    let (channels, height, width) = site.map()?;
    site.window(window)?;
    // A wider margin would let windows lie in the padding alone, where there is nothing to pool.
    if window.padding > window.kernel / 2 {
        return Err(site.misfit(format!(
            "padding {} exceeds half of the kernel {}",
            window.padding, window.kernel
        )));
    }
    let extent = u64::from(window.kernel);
    Ok(Shape::Map {
        channels,
        height: site.positions(height, extent, window)?,
        width: site.positions(width, extent, window)?,
    })
}

fn cropped(site: &Site, rows: [u32; 2], columns: [u32; 2]) -> Result<Shape, GraphError> {
    let (channels, height, width) = site.map()?;
    let rest = |side: u32, [first, last]: [u32; 2]| {
        let rest = side.checked_sub(first).and_then(|rest| rest.checked_sub(last));
        rest.filter(|rest| *rest > 0).ok_or_else(|| {
            site.misfit(format!("of a side of {side}, {first} and {last} leave nothing"))
        })
    };
    Ok(Shape::Map { channels, height: rest(height, rows)?, width: rest(width, columns)? })
}

fn product(what: &'static str, a: u32, b: u32) -> Result<u32, GraphError> {
    let product = u64::from(a) * u64::from(b);
    check_limit(what, product, u64::from(MAX_DIMENSION))?;
    Ok(product as u32)
}

fn flattened(site: &Site) -> Result<Shape, GraphError> {
    site.map()?;
    let features = site.input.elements();
    check_limit("dimension", features, u64::from(MAX_DIMENSION))?;
    Ok(Shape::Vector { features: features as u32 })
}

fn check_arity(node: usize, op: Op, found: usize) -> Result<(), GraphError> {
    let (fits, expected) = match op {
        Op::Add | Op::Multiply | Op::Concat => (found >= 1, "at least one"),
        Op::Attention { .. } => (found == 3, "exactly three: queries, keys and values"),
        Op::Input => (found == 0, "none"),
        _ => (found == 1, "exactly one"),
    };
    if fits { Ok(()) } else { Err(GraphError::Arity { node, op: op.name(), found, expected }) }
}

fn check_shape(site: &Site, shape: Shape) -> Result<(), GraphError> {
    let dimensions = match shape {
        Shape::Map { channels, height, width } => [channels, height, width],
        Shape::Vector { features } => [features, 1, 1],
    };
    if dimensions.contains(&0) {
        return Err(site.misfit(format!("its output {shape} would be empty")));
    }
    for dimension in dimensions {
        check_limit("dimension", u64::from(dimension), u64::from(MAX_DIMENSION))?;
    }
    check_limit("activation values of one node", shape.elements(), MAX_TOTAL)
}

fn check_limit(what: &'static str, found: u64, limit: u64) -> Result<(), GraphError> {
    if found <= limit { Ok(()) } else { Err(GraphError::TooLarge { what, found, limit }) }
}

fn check_total(what: &'static str, found: u128) -> Result<(), GraphError> {
    check_limit(what, u64::try_from(found).unwrap_or(u64::MAX), MAX_TOTAL)
}

#[cfg(test)]
mod tests;
