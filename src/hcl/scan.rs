//! Characters with their place, and what HCL and JSON share: space, strings, numbers.

use super::{SyntaxError, Value};

/// A place in a text.
#[derive(Clone)]
pub(super) struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner { rest: text, line: 1, column: 1 }
    }

    pub fn line(&self) -> usize {
        self.line
    }

    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub fn rest(&self) -> &'a str {
        self.rest
    }

    pub fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    /// Steps over `c` if it comes next.
    pub fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.next();
        }
        found
    }

    /// Steps over all that satisfy the test and gives them.
    pub fn take_while(&mut self, test: impl Fn(char) -> bool) -> &'a str {
        let start = self.rest;
        while self.peek().is_some_and(&test) {
            self.next();
        }
        &start[..start.len() - self.rest.len()]
    }

    pub fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line, column: self.column, message: message.into() }
    }

    /// What comes next, for an error.
    pub fn found(&self) -> String {
        match self.peek() {
            None => "the end of the text".to_string(),
            Some(c) => format!("{c:?}"),
        }
    }

    /// A string behind its opening quote. HCL and JSON differ only in escapes that the other does not know.
    pub fn string(&mut self) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return Err(self.error("literal not terminated")),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        Ok(match self.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('u') => self.unicode(4)?,
            Some('U') => self.unicode(8)?,
            _ => return Err(self.error("unknown escape sequence in a string")),
        })
    }

    /// `\u` with 4 or `\U` with 8 digits; two `\u` in a row may be a surrogate pair.
    fn unicode(&mut self, digits: usize) -> Result<char, SyntaxError> {
        let first = self.hex(digits)?;
        let code = if (0xd800..0xdc00).contains(&first) && self.take('\\') && self.take('u') {
            let second = self.hex(4)?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.error("half of a surrogate pair in a string"));
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.error("no Unicode character has this code"))
    }

    fn hex(&mut self, digits: usize) -> Result<u32, SyntaxError> {
        let mut code = 0_u32;
        for _ in 0..digits {
            let digit =
                self.peek().and_then(|c| c.to_digit(16)).ok_or_else(|| self.error("expected a hexadecimal digit"))?;
            self.next();
            code = code.wrapping_mul(16).wrapping_add(digit);
        }
        Ok(code)
    }

    /// A number: decimal, `0x` hexadecimal, with fraction and exponent.
    pub fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.clone();
        let text = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'));
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16).ok().map(|number| Value::Int(sign * number)),
            None if !digits.starts_with(|c: char| c.is_ascii_digit()) => None,
            None => text
                .parse()
                .map(Value::Int)
                .ok()
                .or_else(|| text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)),
        };
        value.ok_or_else(|| start.error(format!("{text:?} is not a number")))
    }
}
