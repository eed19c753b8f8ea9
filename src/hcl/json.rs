//! JSON (RFC 8259) into the same tree.

use super::scan::Scanner;
use super::{Body, Item, MAX_DEPTH, Node, SyntaxError, Value};

pub(super) fn parse(text: &str) -> Result<Body, SyntaxError> {
    let mut scanner = Scanner::new(text);
    space(&mut scanner);
    let Value::Object(body) = value(&mut scanner, 0)?.value else {
        return Err(scanner.error("expected an object"));
    };
    space(&mut scanner);
    match scanner.peek() {
        None => Ok(body),
        Some(_) => Err(scanner.error(format!("expected the end of the text, got {}", scanner.found()))),
    }
}

fn value(scanner: &mut Scanner<'_>, depth: usize) -> Result<Node, SyntaxError> {
    if depth > MAX_DEPTH {
        return Err(scanner.error(format!("nested deeper than {MAX_DEPTH}")));
    }
    let line = scanner.line();
    let value = match scanner.peek() {
        Some('{') => Value::Object(object(scanner, depth)?),
        Some('[') => Value::List(list(scanner, depth)?),
        Some('"') => {
            scanner.next();
            Value::Text(scanner.string()?)
        }
        Some(c) if c.is_ascii_digit() || c == '-' => scanner.number()?,
        _ => {
            let at = scanner.clone();
            match scanner.take_while(|c| c.is_ascii_alphabetic()) {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => return Err(at.error(format!("expected a value, got {}", at.found()))),
            }
        }
    };
    Ok(Node { value, line })
}

fn object(scanner: &mut Scanner<'_>, depth: usize) -> Result<Body, SyntaxError> {
    scanner.next();
    let mut body = Body::default();
    space(scanner);
    if scanner.take('}') {
        return Ok(body);
    }
    loop {
        space(scanner);
        let line = scanner.line();
        expect(scanner, '"')?;
        let key = scanner.string()?;
        space(scanner);
        expect(scanner, ':')?;
        space(scanner);
        let value = value(scanner, depth + 1)?;
        body.items.push(Item { keys: vec![key], value, line });
        space(scanner);
        if scanner.take('}') {
            return Ok(body);
        }
        expect(scanner, ',')?;
    }
}

fn list(scanner: &mut Scanner<'_>, depth: usize) -> Result<Vec<Node>, SyntaxError> {
    scanner.next();
    let mut nodes = Vec::new();
    space(scanner);
    if scanner.take(']') {
        return Ok(nodes);
    }
    loop {
        space(scanner);
        nodes.push(value(scanner, depth + 1)?);
        space(scanner);
        if scanner.take(']') {
            return Ok(nodes);
        }
        expect(scanner, ',')?;
    }
}

fn expect(scanner: &mut Scanner<'_>, c: char) -> Result<(), SyntaxError> {
    if scanner.take(c) { Ok(()) } else { Err(scanner.error(format!("expected {c:?}, got {}", scanner.found()))) }
}

fn space(scanner: &mut Scanner<'_>) {
    scanner.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
}
