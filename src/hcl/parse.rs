//! HCL into the tree.

use super::scan::Scanner;
use super::{Body, Item, MAX_DEPTH, Node, SyntaxError, Value};

pub(super) fn parse(text: &str) -> Result<Body, SyntaxError> {
    let mut scanner = Scanner::new(text);
    body(&mut scanner, 0)
}

/// Items up to the end of the text, or at `depth` > 0 up to and with the closing brace.
fn body(scanner: &mut Scanner<'_>, depth: usize) -> Result<Body, SyntaxError> {
    if depth > MAX_DEPTH {
        return Err(scanner.error(format!("nested deeper than {MAX_DEPTH}")));
    }
    let mut body = Body::default();
    loop {
        space(scanner)?;
        match scanner.peek() {
            None if depth == 0 => return Ok(body),
            None => return Err(scanner.error("object expected closing brace, got the end of the text")),
            Some('}') if depth > 0 => {
                scanner.next();
                return Ok(body);
            }
            Some(_) => {}
        }
        body.items.push(item(scanner, depth)?);
        space(scanner)?;
        scanner.take(',');
    }
}

fn item(scanner: &mut Scanner<'_>, depth: usize) -> Result<Item, SyntaxError> {
    let line = scanner.line();
    let mut keys = vec![key(scanner)?];
    loop {
        space(scanner)?;
        let at = scanner.clone();
        match scanner.peek() {
            Some('=') if keys.len() > 1 => {
                return Err(at.error("a block with a label is opened by a brace, not by an equals sign"));
            }
            Some('=') => {
                scanner.next();
                space(scanner)?;
                return Ok(Item { keys, value: value(scanner, depth + 1)?, line });
            }
            Some('{') => {
                let start = scanner.line();
                scanner.next();
                let value = Node { value: Value::Object(body(scanner, depth + 1)?), line: start };
                return Ok(Item { keys, value, line });
            }
            _ => keys.push(key(scanner)?),
        }
    }
}

fn key(scanner: &mut Scanner<'_>) -> Result<String, SyntaxError> {
    match scanner.peek() {
        Some('"') => {
            scanner.next();
            scanner.string()
        }
        Some(c) if c.is_alphabetic() || c == '_' => Ok(scanner.take_while(in_identifier).to_string()),
        _ => Err(scanner.error(format!("expected a key, an equals sign or a brace, got {}", scanner.found()))),
    }
}

fn value(scanner: &mut Scanner<'_>, depth: usize) -> Result<Node, SyntaxError> {
    let line = scanner.line();
    let value = match scanner.peek() {
        Some('"') => {
            scanner.next();
            Value::Text(scanner.string()?)
        }
        Some('{') => {
            scanner.next();
            Value::Object(body(scanner, depth)?)
        }
        Some('[') => {
            scanner.next();
            Value::List(list(scanner, depth)?)
        }
        Some('<') => here_document(scanner)?,
        Some(c) if c.is_ascii_digit() || c == '-' => scanner.number()?,
        Some(c) if c.is_alphabetic() || c == '_' => {
            let at = scanner.clone();
            match scanner.take_while(in_identifier) {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                word => return Err(at.error(format!("expected a value, got the bare word {word:?} (quotes missing?)"))),
            }
        }
        _ => return Err(scanner.error(format!("expected a value, got {}", scanner.found()))),
    };
    Ok(Node { value, line })
}

/// Elements up to and with the closing bracket.
fn list(scanner: &mut Scanner<'_>, depth: usize) -> Result<Vec<Node>, SyntaxError> {
    if depth > MAX_DEPTH {
        return Err(scanner.error(format!("nested deeper than {MAX_DEPTH}")));
    }
    let mut nodes = Vec::new();
    loop {
        space(scanner)?;
        if scanner.take(']') {
            return Ok(nodes);
        }
        nodes.push(value(scanner, depth + 1)?);
        space(scanner)?;
        if !scanner.take(',') && scanner.peek() != Some(']') {
            return Err(
                scanner.error(format!("error parsing list, expected comma or list end, got {}", scanner.found()))
            );
        }
    }
}

/// `<<WORD`, lines, `WORD`; with `<<-` the closing line's indentation is taken off each line.
fn here_document(scanner: &mut Scanner<'_>) -> Result<Value, SyntaxError> {
    let start = scanner.clone();
    if !scanner.rest().starts_with("<<") {
        return Err(start.error(format!("expected a value, got {}", start.found())));
    }
    scanner.take_while(|c| c == '<');
    let indented = scanner.take('-');
    let word = scanner.take_while(|c| c != '\n').trim_end_matches('\r');
    if word.is_empty() || !scanner.take('\n') {
        return Err(start.error("heredoc anchor not found"));
    }
    let mut lines = Vec::new();
    loop {
        let line = scanner.take_while(|c| c != '\n');
        if line.trim() == word && (indented || line.starts_with(word)) {
            let margin = &line[..line.len() - line.trim_start().len()];
            let cut = |line: &&str| line.strip_prefix(margin).unwrap_or(line).to_string();
            let text = lines.iter().map(cut).map(|line| line + "\n").collect();
            return Ok(Value::Text(text));
        }
        lines.push(line);
        if !scanner.take('\n') {
            return Err(start.error("heredoc not terminated"));
        }
    }
}

fn space(scanner: &mut Scanner<'_>) -> Result<(), SyntaxError> {
    loop {
        scanner.take_while(char::is_whitespace);
        let rest = scanner.rest();
        if rest.starts_with('#') || rest.starts_with("//") {
            scanner.take_while(|c| c != '\n');
        } else if rest.starts_with("/*") {
            let start = scanner.clone();
            scanner.next();
            scanner.next();
            while !scanner.rest().starts_with("*/") {
                scanner.next().ok_or_else(|| start.error("comment not terminated"))?;
            }
            scanner.next();
            scanner.next();
        } else {
            return Ok(());
        }
    }
}

fn in_identifier(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}
