//! Typed reading of one block, which remembers what it was asked for: what is left over is unknown.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Cidr, HostPort, Url};
use super::error::ConfigError;
use crate::hcl::{Block, Body, Item, Value};

/// A parsed text and where it came from.
pub(super) struct Source {
    pub file: String,
    pub body: Body,
}

/// A block, or the top level of all files together: there a later file's key holds.
pub(super) struct Section<'a> {
    /// `listener "tcp"`; empty at the top level.
    name: String,
    parts: Vec<(&'a str, &'a Body)>,
    /// The block's own line.
    line: usize,
    known: RefCell<BTreeSet<&'static str>>,
    /// All keys count as known.
    open: Cell<bool>,
    later: RefCell<BTreeSet<String>>,
}

/// An item and its file.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    file: &'a str,
    item: &'a Item,
}

impl<'a> Found<'a> {
    pub fn item(self) -> &'a Item {
        self.item
    }
}

type Result<T> = std::result::Result<T, ConfigError>;

impl<'a> Section<'a> {
    pub fn top(sources: &'a [Source]) -> Section<'a> {
        let parts = sources.iter().map(|source| (source.file.as_str(), &source.body)).collect();
        Section::new(String::new(), parts, 1)
    }

    fn new(name: String, parts: Vec<(&'a str, &'a Body)>, line: usize) -> Section<'a> {
        Section { name, parts, line, known: RefCell::default(), open: Cell::new(false), later: RefCell::default() }
    }

    pub fn get(&self, key: &'static str) -> Option<Found<'a>> {
        self.known.borrow_mut().insert(key);
        self.parts.iter().rev().find_map(|(file, body)| Some(Found { file, item: body.get(key)? }))
    }

    /// All items, in a block whose keys are names that operators choose.
    pub fn all(&self) -> Vec<Found<'a>> {
        self.open.set(true);
        self.parts.iter().flat_map(|(file, body)| body.items.iter().map(move |item| Found { file, item })).collect()
    }

    /// The value by a parser of text; an empty string and null count as absent.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> std::result::Result<T, String>,
    ) -> Result<Option<T>> {
        let Some(found) = self.get(key) else { return Ok(None) };
        match &found.item.value.value {
            Value::Null => Ok(None),
            value => match value.text() {
                None => Err(self.wrong(found, &format!("expected a string, got {}", value.kind()))),
                Some(text) if text.is_empty() => Ok(None),
                Some(text) => parse(&text).map(Some).map_err(|message| self.wrong(found, &message)),
            },
        }
    }

    pub fn text(&self, key: &'static str) -> Result<Option<String>> {
        self.parsed(key, |text| Ok(text.to_string()))
    }

    pub fn path(&self, key: &'static str) -> Result<Option<PathBuf>> {
        self.parsed(key, |text| Ok(PathBuf::from(text)))
    }

    /// As Go's `ParseBool`, also as number or string.
    pub fn flag(&self, key: &'static str) -> Result<Option<bool>> {
        self.parsed(key, |text| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(format!("expected true or false, got {text:?}")),
        })
    }

    pub fn number(&self, key: &'static str, least: i64, most: i64) -> Result<Option<i64>> {
        self.parsed(key, |text| match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ if most == i64::MAX => Err(format!("expected a whole number of at least {least}, got {text:?}")),
            _ => Err(format!("expected a whole number from {least} to {most}, got {text:?}")),
        })
    }

    pub fn duration(&self, key: &'static str) -> Result<Option<Duration>> {
        self.parsed(key, |text| {
            crate::duration::parse(text)
                .ok_or_else(|| format!("expected a duration such as \"90s\" or \"1h30m\", got {text:?}"))
        })
    }

    pub fn address(&self, key: &'static str, default_port: Option<u16>) -> Result<Option<HostPort>> {
        self.parsed(key, |text| HostPort::parse(text, default_port))
    }

    pub fn url(&self, key: &'static str) -> Result<Option<Url>> {
        self.parsed(key, Url::parse)
    }

    /// A list of strings, or one string with commas.
    pub fn list(&self, key: &'static str) -> Result<Vec<String>> {
        let Some(found) = self.get(key) else { return Ok(Vec::new()) };
        let mut list = Vec::new();
        for node in found.item.value.each() {
            let text = node
                .value
                .text()
                .ok_or_else(|| self.wrong(found, &format!("expected a list of strings, got {}", node.value.kind())))?;
            list.extend(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(String::from));
        }
        Ok(list)
    }

    pub fn networks(&self, key: &'static str) -> Result<Vec<Cidr>> {
        let expected = |text: &str| format!("expected addresses or networks such as 10.0.0.0/8, got {text:?}");
        let parse = |text: &String| Cidr::parse(text).ok_or_else(|| self.fault(key, &expected(text)));
        self.list(key)?.iter().map(parse).collect()
    }

    /// Blocks without a label.
    pub fn blocks(&self, key: &'static str) -> Result<Vec<Section<'a>>> {
        self.sections(key, Body::blocks, "a block")
            .map(|sections| sections.into_iter().map(|(_, section)| section).collect())
    }

    /// Blocks with a label, and the label.
    pub fn labelled(&self, key: &'static str) -> Result<Vec<(&'a str, Section<'a>)>> {
        self.sections(key, Body::labelled_blocks, &format!("{key} \"TYPE\" {{ ... }}"))
    }

    fn sections(
        &self,
        key: &'static str,
        read: impl Fn(&'a Body, &str) -> std::result::Result<Vec<Block<'a>>, &'a Item>,
        expected: &str,
    ) -> Result<Vec<(&'a str, Section<'a>)>> {
        self.known.borrow_mut().insert(key);
        let mut sections = Vec::new();
        for (file, body) in &self.parts {
            let blocks = read(body, key).map_err(|item| {
                self.wrong(Found { file, item }, &format!("expected {expected}, got {}", item.value.value.kind()))
            })?;
            for block in blocks {
                let own = if block.label.is_empty() { key.to_string() } else { format!("{key} {:?}", block.label) };
                let name = if self.name.is_empty() { own } else { format!("{}: {own}", self.name) };
                sections.push((block.label, Section::new(name, vec![(file, block.body)], block.line)));
            }
        }
        Ok(sections)
    }

    /// Keys that are known and have no effect yet: those present are listed.
    pub fn later(&self, keys: &[&'static str]) {
        for key in keys {
            if self.get(key).is_some() {
                self.later.borrow_mut().insert(if self.name.is_empty() {
                    (*key).to_string()
                } else {
                    format!("{}: {key}", self.name)
                });
            }
        }
    }

    /// Ends the reading and gives the keys that have no effect yet.
    ///
    /// # Errors
    /// If a key was never asked for, or is given twice in one place.
    pub fn finish(self, later: &mut Vec<String>) -> Result<()> {
        for (file, body) in &self.parts {
            if let Some(item) =
                body.items.iter().find(|item| !self.open.get() && !self.known.borrow().contains(item.key()))
            {
                return Err(self.unknown(Found { file, item }));
            }
            if let Some(item) = body.repeated() {
                return Err(self.wrong(Found { file, item }, "is given twice"));
            }
        }
        later.extend(self.later.into_inner());
        Ok(())
    }

    fn unknown(&self, found: Found<'_>) -> ConfigError {
        let key = found.item.key();
        let known = self.known.borrow();
        let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(key, name), name)).min();
        let hint = match nearest {
            Some((distance, name)) if distance <= key.len().div_ceil(3) => format!(" (did you mean {name:?}?)"),
            _ => String::new(),
        };
        self.at(found.file, found.item.line, format!("unknown key {key:?}{hint}"))
    }

    /// An error at a key.
    pub fn wrong(&self, found: Found<'_>, message: &str) -> ConfigError {
        self.at(found.file, found.item.line, format!("{:?}: {message}", found.item.key()))
    }

    /// An error of the key, or of the whole block if the key is absent.
    pub fn fault(&self, key: &'static str, message: &str) -> ConfigError {
        match self.get(key) {
            Some(found) => self.wrong(found, message),
            None => self.missing(&format!("{key:?}: {message}")),
        }
    }

    /// An error of the whole block.
    pub fn missing(&self, message: &str) -> ConfigError {
        let file = self.parts.first().map_or("", |(file, _)| file);
        self.at(file, self.line, message.to_string())
    }

    fn at(&self, file: &str, line: usize, message: String) -> ConfigError {
        let message = if self.name.is_empty() { message } else { format!("{}: {message}", self.name) };
        ConfigError::At { file: file.to_string(), line, message }
    }
}

/// Environment variables by their name without prefix.
pub(super) struct Environment<'a>(pub &'a BTreeMap<String, String>);

impl Environment<'_> {
    /// The variable's full name and value, if it is set and not empty; our own prefix first.
    pub fn get(&self, name: &str) -> Option<(String, &str)> {
        ["HOLDFAST_", "BAO_", "VAULT_"].iter().find_map(|prefix| {
            let variable = format!("{prefix}{name}");
            let value = self.0.get(&variable).filter(|value| !value.is_empty())?;
            Some((variable, value.as_str()))
        })
    }

    /// Overrides `value` if the variable is set.
    pub fn set<T>(
        &self,
        name: &str,
        value: &mut T,
        parse: impl Fn(&str) -> std::result::Result<T, String>,
    ) -> Result<()> {
        if let Some((variable, text)) = self.get(name) {
            *value = parse(text).map_err(|message| ConfigError::Environment { variable, message })?;
        }
        Ok(())
    }
}
