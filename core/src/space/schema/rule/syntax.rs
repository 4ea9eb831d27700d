//! The text of an expression as a tree, every fault at its character. It must not know which names
//! exist or which types fit: `check` does.

use super::check::Reach;

/// The longest text of an expression, in characters.
const MAX_CHARACTERS: usize = 4096;
/// The deepest tree, so that walking it needs little stack.
const MAX_DEPTH: usize = 100;
const FORM_HELP: &str = "write an expression such as `depth * width <= 4096`";

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The character where it is wrong, from 0.
    pub(super) at: usize,
    pub(super) reason: String,
    pub(super) help: String,
}

impl Fault {
    pub(super) fn new(at: usize, reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, reason: reason.into(), help: help.into() }
    }
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
    NotIn,
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
}

/// A function of one or more values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Min,
    Max,
    Abs,
    Sum,
    Length,
    Count,
    Divisible,
}

/// A side of a layer's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Channels,
    Height,
    Width,
    Features,
}

/// A part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Syntax {
    Integer(i64),
    Real(f64),
    Text(Box<str>),
    Boolean(bool),
    /// A path that `check` has yet to resolve.
    Name(Vec<Box<str>>),
    /// The value of a gene.
    Gene(Reach),
    /// The derived value at this position.
    Derived(usize),
    /// The value of the local name at this position.
    Local(usize),
    /// A gene of the copy that the local name at this position stands for.
    LocalGene(usize, Reach),
    /// A side of the shape that a layer of a network reads.
    Shape(Side),
    /// A list and a position in it, from 0.
    Index(Box<[Term; 2]>),
    List(Vec<Term>),
    Not(Box<Term>),
    Negate(Box<Term>),
    Binary(Operator, Box<[Term; 2]>),
    /// Condition, value if true, value if false.
    Choose(Box<[Term; 3]>),
    Call(Function, Vec<Term>),
}

/// A part of an expression and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    pub(super) at: usize,
    pub(super) syntax: Syntax,
    depth: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Integer(i64),
    Real(f64),
    Text(Box<str>),
    Path(Vec<Box<str>>),
    Word(&'static str),
    Mark(&'static str),
    End,
}

const WORDS: [&str; 9] = ["and", "or", "not", "in", "if", "then", "else", "true", "false"];
/// Longer marks before their beginnings.
const MARKS: [&str; 18] =
    ["==", "!=", "<=", ">=", "//", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "."];

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Term, Fault> {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() > MAX_CHARACTERS {
        let reason = format!("the expression has {} characters", characters.len());
        return Err(Fault::new(0, reason, format!("keep it to {MAX_CHARACTERS}")));
    }
    let mut parser = Parser { tokens: tokens(&characters)?, next: 0, open: 0 };
    let term = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(term),
        token => Err(Fault::new(
            parser.at(),
            format!("{} does not continue the expression", shown(token)),
            "put an operator such as `and`, `+` or `<=` between two values",
        )),
    }
}

fn tokens(characters: &[char]) -> Result<Vec<(usize, Token)>, Fault> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let start = at;
        let token = match character {
            _ if character.is_whitespace() => {
                at += 1;
                continue;
            }
            '"' | '\'' => Token::Text(quoted(characters, &mut at, "the text")?),
            '`' => path(characters, &mut at)?,
            _ if character.is_ascii_digit() => number(characters, &mut at)?,
            _ if character.is_ascii_alphabetic() || character == '_' => path(characters, &mut at)?,
            _ => {
                let starts = |mark: &&str| {
                    mark.chars().zip(at..).all(|(c, at)| characters.get(at) == Some(&c))
                };
                let Some(mark) = MARKS.into_iter().find(starts) else {
                    let reason = format!("`{character}` has no meaning here");
                    return Err(Fault::new(at, reason, mark_help(character)));
                };
                at += mark.len();
                Token::Mark(mark)
            }
        };
        tokens.push((start, token));
    }
    tokens.push((characters.len(), Token::End));
    Ok(tokens)
}

fn mark_help(character: char) -> &'static str {
    match character {
        '=' => "compare by `==`",
        '!' => "write `not`, or `!=`",
        '&' => "write `and`",
        '|' => "write `or`",
        _ => "use + - * / // % == != < <= > >= and or not in, and names of genes",
    }
}

fn quoted(characters: &[char], at: &mut usize, what: &str) -> Result<Box<str>, Fault> {
    let (start, quote) = (*at, characters[*at]);
    let end = characters[start + 1..].iter().position(|c| *c == quote);
    let Some(length) = end else {
        return Err(Fault::new(start, format!("{what} does not end"), format!("add a {quote}")));
    };
    *at = start + length + 2;
    Ok(characters[start + 1..start + 1 + length].iter().collect::<String>().into())
}

fn number(characters: &[char], at: &mut usize) -> Result<Token, Fault> {
    let start = *at;
    let is = |at: usize, test: fn(&char) -> bool| characters.get(at).is_some_and(test);
    let digits = |at: &mut usize| {
        while is(*at, char::is_ascii_digit) {
            *at += 1;
        }
    };
    digits(at);
    let mut whole = true;
    if is(*at, |c| *c == '.') && is(*at + 1, char::is_ascii_digit) {
        whole = false;
        *at += 1;
        digits(at);
    }
    if is(*at, |c| matches!(c, 'e' | 'E')) {
        let signed = usize::from(is(*at + 1, |c| matches!(c, '+' | '-')));
        if is(*at + 1 + signed, char::is_ascii_digit) {
            whole = false;
            *at += 1 + signed;
            digits(at);
        }
    }
    let text: String = characters[start..*at].iter().collect();
    let read = if whole {
        text.parse().ok().map(Token::Integer)
    } else {
        text.parse().ok().filter(|number: &f64| number.is_finite()).map(Token::Real)
    };
    read.ok_or_else(|| {
        let help = "whole numbers go to 9223372036854775807, others to 1.7e308";
        Fault::new(start, format!("the number {text} is too large"), help)
    })
}

/// A name, or several joined by points; a keyword only where it stands alone.
fn path(characters: &[char], at: &mut usize) -> Result<Token, Fault> {
    let mut names = Vec::new();
    let start = *at;
    let mut plain = true;
    loop {
        match characters.get(*at) {
            Some('`') => {
                plain = false;
                names.push(quoted(characters, at, "the name")?);
            }
            Some(c) if c.is_ascii_alphanumeric() || *c == '_' => {
                let rest = characters[*at..].iter();
                let name: String =
                    rest.take_while(|c| c.is_ascii_alphanumeric() || **c == '_').collect();
                *at += name.len();
                names.push(name.into());
            }
            _ => {
                let help = "write `gene`, or `switch.arm.gene`, without a point at the end";
                return Err(Fault::new(*at, "a name is expected behind the point", help));
            }
        }
        if characters.get(*at) != Some(&'.') {
            break;
        }
        *at += 1;
    }
    let word = WORDS.into_iter().find(|word| plain && names.len() == 1 && **word == *names[0]);
    debug_assert!(*at > start, "a path has characters");
    Ok(word.map_or(Token::Path(names), Token::Word))
}

fn shown(token: &Token) -> String {
    match token {
        Token::Integer(number) => format!("`{number}`"),
        Token::Real(number) => format!("`{number}`"),
        Token::Text(text) => format!("the text `{text}`"),
        Token::Path(names) => format!("`{}`", names.join(".")),
        Token::Word(text) | Token::Mark(text) => format!("`{text}`"),
        Token::End => "the end".to_owned(),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    open: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(_, token)| token)
    }

    fn at(&self) -> usize {
        let last = self.tokens.last().map_or(0, |(at, _)| *at);
        self.tokens.get(self.next).map_or(last, |(at, _)| *at)
    }

    /// Takes a keyword or a mark if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let found =
            matches!(self.peek(), Token::Word(found) | Token::Mark(found) if *found == text);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, text: &str, why: &str) -> Result<(), Fault> {
        if self.take(text) {
            return Ok(());
        }
        let reason = format!("`{text}` is expected, found {}", shown(self.peek()));
        Err(Fault::new(self.at(), reason, why))
    }

    fn term(at: usize, syntax: Syntax) -> Result<Term, Fault> {
        let below = match &syntax {
            Syntax::List(terms) | Syntax::Call(_, terms) => {
                terms.iter().map(|term| term.depth).max()
            }
            Syntax::Not(term) | Syntax::Negate(term) => Some(term.depth),
            Syntax::Binary(_, terms) | Syntax::Index(terms) => {
                terms.iter().map(|term| term.depth).max()
            }
            Syntax::Choose(terms) => terms.iter().map(|term| term.depth).max(),
            _ => None,
        };
        let depth = below.unwrap_or(0) + 1;
        if depth > MAX_DEPTH { Err(too_deep(at)) } else { Ok(Term { at, syntax, depth }) }
    }

    fn expression(&mut self) -> Result<Term, Fault> {
        self.open += 1;
        if self.open > MAX_DEPTH {
            return Err(too_deep(self.at()));
        }
        let at = self.at();
        let term = if self.take("if") {
            let condition = self.expression()?;
            self.expect("then", "write `if condition then value else value`")?;
            let chosen = self.expression()?;
            self.expect("else", "write `if condition then value else value`")?;
            let other = self.expression()?;
            Self::term(at, Syntax::Choose(Box::new([condition, chosen, other])))
        } else {
            self.disjunction()
        };
        self.open -= 1;
        term
    }

    fn binary(operator: Operator, left: Term, right: Term) -> Result<Term, Fault> {
        Self::term(left.at, Syntax::Binary(operator, Box::new([left, right])))
    }

    fn disjunction(&mut self) -> Result<Term, Fault> {
        let mut left = self.conjunction()?;
        while self.take("or") {
            left = Self::binary(Operator::Or, left, self.conjunction()?)?;
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Term, Fault> {
        let mut left = self.negation()?;
        while self.take("and") {
            left = Self::binary(Operator::And, left, self.negation()?)?;
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Term, Fault> {
        // A loop, since `not not not ...` must not use up the stack.
        let mut places = Vec::new();
        while matches!(self.peek(), Token::Word("not")) {
            places.push(self.at());
            self.next += 1;
        }
        let term = self.comparison()?;
        let negate = |term, at| Self::term(at, Syntax::Not(Box::new(term)));
        places.into_iter().rev().try_fold(term, negate)
    }

    fn comparison_operator(&mut self) -> Result<Option<Operator>, Fault> {
        let marks = [
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("in", Operator::In),
        ];
        for (mark, operator) in marks {
            if self.take(mark) {
                return Ok(Some(operator));
            }
        }
        if self.take("not") {
            self.expect("in", "write `value not in [a, b]`")?;
            return Ok(Some(Operator::NotIn));
        }
        Ok(None)
    }

    fn comparison(&mut self) -> Result<Term, Fault> {
        let left = self.sum()?;
        let Some(operator) = self.comparison_operator()? else { return Ok(left) };
        let term = Self::binary(operator, left, self.sum()?)?;
        let at = self.at();
        if self.comparison_operator()?.is_some() {
            let help = "write `a < b and b < c`";
            return Err(Fault::new(at, "comparisons do not follow one another", help));
        }
        Ok(term)
    }

    fn sum(&mut self) -> Result<Term, Fault> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Mark("+") => Operator::Add,
                Token::Mark("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.next += 1;
            left = Self::binary(operator, left, self.product()?)?;
        }
    }

    fn product(&mut self) -> Result<Term, Fault> {
        let mut left = self.signed()?;
        loop {
            let operator = match self.peek() {
                Token::Mark("*") => Operator::Multiply,
                Token::Mark("/") => Operator::Divide,
                Token::Mark("//") => Operator::FloorDivide,
                Token::Mark("%") => Operator::Remainder,
                _ => return Ok(left),
            };
            self.next += 1;
            left = Self::binary(operator, left, self.signed()?)?;
        }
    }

    fn signed(&mut self) -> Result<Term, Fault> {
        let mut places = Vec::new();
        while matches!(self.peek(), Token::Mark("-")) {
            places.push(self.at());
            self.next += 1;
        }
        let term = self.primary()?;
        let negate = |term, at| Self::term(at, Syntax::Negate(Box::new(term)));
        places.into_iter().rev().try_fold(term, negate)
    }

    fn primary(&mut self) -> Result<Term, Fault> {
        let (at, token) = (self.at(), self.peek().clone());
        self.next += usize::from(token != Token::End);
        let syntax = match token {
            Token::Integer(number) => Syntax::Integer(number),
            Token::Real(number) => Syntax::Real(number),
            Token::Text(text) => Syntax::Text(text),
            Token::Word("true") => Syntax::Boolean(true),
            Token::Word("false") => Syntax::Boolean(false),
            Token::Mark("(") => {
                let inner = self.expression()?;
                self.expect(")", "close the bracket")?;
                return Ok(inner);
            }
            Token::Mark("[") => Syntax::List(self.terms("]")?),
            Token::Path(names) if self.take("(") => {
                Syntax::Call(function(at, &names)?, self.terms(")")?)
            }
            Token::Path(names) => Syntax::Name(names),
            token => {
                let reason = format!("a value is expected, found {}", shown(&token));
                return Err(Fault::new(at, reason, FORM_HELP));
            }
        };
        let mut term = Self::term(at, syntax)?;
        while self.take("[") {
            let index = self.expression()?;
            self.expect("]", "close the bracket behind the position")?;
            term = Self::term(at, Syntax::Index(Box::new([term, index])))?;
        }
        Ok(term)
    }

    /// Terms with commas between them, up to the closing mark.
    fn terms(&mut self, close: &str) -> Result<Vec<Term>, Fault> {
        let mut terms = Vec::new();
        if self.take(close) {
            return Ok(terms);
        }
        loop {
            terms.push(self.expression()?);
            if self.take(close) {
                return Ok(terms);
            }
            self.expect(",", "put a comma between two values, and close the bracket at the end")?;
        }
    }
}

fn function(at: usize, names: &[Box<str>]) -> Result<Function, Fault> {
    match names.join(".").as_str() {
        "min" => Ok(Function::Min),
        "max" => Ok(Function::Max),
        "abs" => Ok(Function::Abs),
        "sum" => Ok(Function::Sum),
        "len" => Ok(Function::Length),
        "count" => Ok(Function::Count),
        "divisible" => Ok(Function::Divisible),
        other => {
            let help = "the functions are min, max, abs, sum, len, count and divisible";
            Err(Fault::new(at, format!("there is no function `{other}`"), help))
        }
    }
}

fn too_deep(at: usize) -> Fault {
    Fault::new(at, "the expression is nested too deeply here", "split it into derived values")
}
