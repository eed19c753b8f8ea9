//! The configuration language of Vault's files and policies (HCL's first version, and JSON), as one tree with lines.
//!
//! Own code because the language is the one that existing files are written in: several attributes on one line, quoted
//! keys, `${...}` as plain text. HCL's second version, which the crates read, refuses those; and a JSON library forgets
//! the lines that our errors name. Grammar: <https://github.com/hashicorp/hcl/tree/hcl1#syntax>.

mod json;
mod parse;
mod scan;

/// An object: items in the order of the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// The items.
    pub items: Vec<Item>,
}

/// `key = value`, or `key "label" { ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key, then the labels of a block.
    pub keys: Vec<String>,
    /// The value; an object for a block.
    pub value: Node,
    /// The line of the key, from 1.
    pub line: usize,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its line, from 1.
    pub line: usize,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A string or here-document, unescaped.
    Text(String),
    /// `[ ... ]`.
    List(Vec<Node>),
    /// `{ ... }`.
    Object(Body),
}

/// A block as it was meant, whether written in HCL or JSON.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// `tcp` in `listener "tcp" { ... }`; empty for a block without one.
    pub label: &'a str,
    /// What is in it.
    pub body: &'a Body,
    /// The line it begins at.
    pub line: usize,
}

/// Why a text is not HCL or JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("At {line}:{column}: {message}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// Parses a text: JSON if its first character is `{`, else HCL.
///
/// # Errors
/// If it is neither, or nested deeper than [`MAX_DEPTH`]. Nothing in a text makes it panic or recurse further.
pub fn parse(text: &str) -> Result<Body, SyntaxError> {
    if text.trim_start().starts_with('{') { json::parse(text) } else { parse::parse(text) }
}

impl Body {
    /// The item of this key; the last if there are several.
    pub fn get(&self, key: &str) -> Option<&Item> {
        self.items.iter().rev().find(|item| item.key() == key)
    }

    /// The first item whose key is one of an earlier item that also holds no block: an attribute given twice.
    pub fn repeated(&self) -> Option<&Item> {
        self.items.iter().enumerate().find_map(|(i, item)| {
            let again = !item.is_block() && self.items[..i].iter().any(|earlier| earlier.keys == item.keys);
            again.then_some(item)
        })
    }

    /// All blocks `key { ... }`, in order.
    ///
    /// # Errors
    /// The item that has this key but is no such block.
    pub fn blocks<'a>(&'a self, key: &str) -> Result<Vec<Block<'a>>, &'a Item> {
        let mut blocks = Vec::new();
        for item in self.items.iter().filter(|item| item.key() == key) {
            if item.keys.len() != 1 {
                return Err(item);
            }
            for node in item.value.each() {
                let Value::Object(body) = &node.value else { return Err(item) };
                blocks.push(Block { label: "", body, line: item.line });
            }
        }
        Ok(blocks)
    }

    /// All blocks `key "label" { ... }`, in order; in JSON `"key": {"label": {...}}`, with a list at either level.
    ///
    /// # Errors
    /// The item that has this key but is no such block.
    pub fn labelled_blocks<'a>(&'a self, key: &str) -> Result<Vec<Block<'a>>, &'a Item> {
        let mut blocks = Vec::new();
        for item in self.items.iter().filter(|item| item.key() == key) {
            match item.keys.as_slice() {
                [_, label] => push_bodies(&mut blocks, label, &item.value, item.line).ok_or(item)?,
                [_] => {
                    for node in item.value.each() {
                        let Value::Object(outer) = &node.value else { return Err(item) };
                        for inner in &outer.items {
                            let [label] = inner.keys.as_slice() else { return Err(item) };
                            push_bodies(&mut blocks, label, &inner.value, inner.line).ok_or(item)?;
                        }
                    }
                }
                _ => return Err(item),
            }
        }
        Ok(blocks)
    }
}

fn push_bodies<'a>(blocks: &mut Vec<Block<'a>>, label: &'a str, node: &'a Node, line: usize) -> Option<()> {
    for node in node.each() {
        let Value::Object(body) = &node.value else { return None };
        blocks.push(Block { label, body, line });
    }
    Some(())
}

impl Item {
    /// The key, without labels.
    pub fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    fn is_block(&self) -> bool {
        matches!(self.value.value, Value::Object(_))
    }
}

impl Node {
    /// The elements of a list, or the one value that is no list.
    pub fn each(&self) -> &[Node] {
        match &self.value {
            Value::List(nodes) => nodes,
            _ => std::slice::from_ref(self),
        }
    }
}

impl Value {
    /// What it is, for errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "a block",
        }
    }

    /// A scalar as text: the string itself, a number or boolean as written in decimal.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::List(_) | Value::Object(_) => None,
        }
    }

    /// The same as JSON; of a key that comes twice the last holds.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Int(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(nodes) => nodes.iter().map(|node| node.value.to_json()).collect(),
            Value::Object(body) => serde_json::Value::Object(
                body.items.iter().map(|item| (item.keys.join("."), item.value.value.to_json())).collect(),
            ),
        }
    }
}

/// How deep objects and lists may be nested.
pub const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests;
