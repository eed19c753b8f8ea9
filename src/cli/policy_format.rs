//! `policy fmt`: a policy in its usual layout, comments kept.

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body, Structure};
use hcl_edit::{Decorate, Ident};

use crate::policy::Policy;

/// Lays a policy out anew. The error says why it is no policy.
pub fn format(text: &str) -> Result<String, String> {
    Policy::parse("policy", text).map_err(|error| error.to_string())?;
    let body: Body = braces_moved(text).parse().map_err(|error: hcl_edit::parser::Error| error.to_string())?;
    let mut out = String::new();
    write_body(&body, 0, &mut out);
    out.push_str(&comments(body.decor().suffix(), 0));
    Ok(out)
}

/// The text with the braces of its blocks where the later version of HCL, whose parser keeps comments, wants them: one that
/// opens ends the line of the block's head, one that closes has a line of its own. Policies may have them anywhere.
fn braces_moved(text: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut in_string, mut in_comment) = (0_usize, false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => in_comment = false,
            _ if in_comment => {}
            '\\' if in_string => {
                out.push(c);
                out.extend(chars.next());
                continue;
            }
            '"' => in_string = !in_string,
            _ if in_string => {}
            '#' => in_comment = true,
            '/' if chars.peek() == Some(&'/') => in_comment = true,
            '{' => {
                depth += 1;
                // Only a head goes before it: after a comment it stays where it is.
                let head = out.trim_end();
                if depth == 1 && head.ends_with('"') && !head.lines().next_back().unwrap_or_default().contains('#') {
                    out.truncate(head.len());
                    out.push_str(if chars.peek() == Some(&'}') { " {" } else { " {\n" });
                    continue;
                }
            }
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !out.ends_with('{') {
                    out.push_str("\n}\n");
                    continue;
                }
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

fn write_body(body: &Body, depth: usize, out: &mut String) {
    let structures: Vec<&Structure> = body.iter().collect();
    for (at, structure) in structures.iter().enumerate() {
        let prefix = match structure {
            Structure::Attribute(attribute) => attribute.decor().prefix(),
            Structure::Block(block) => block.decor().prefix(),
        };
        let comments = comments(prefix, depth);
        let apart = !is_short(structure, depth) || at > 0 && !is_short(structures[at - 1], depth);
        if at > 0 && (apart || !comments.is_empty()) {
            out.push('\n');
        }
        out.push_str(&comments);
        match structure {
            Structure::Block(block) => write_block(block, depth, out),
            Structure::Attribute(attribute) => {
                let width = key_width(&structures, at, depth);
                let value = expression(&attribute.value, depth);
                out.push_str(&format!("{}{:width$} = {value}", pad(depth), attribute.key.as_str()));
                out.push_str(&trailing(attribute.decor().suffix().or(attribute.value.decor().suffix())));
                out.push('\n');
            }
        }
    }
}

fn write_block(block: &Block, depth: usize, out: &mut String) {
    let labels: Vec<String> = block
        .labels
        .iter()
        .map(|label| match label {
            hcl_edit::structure::BlockLabel::Ident(ident) => format!(" {}", ident.as_str()),
            hcl_edit::structure::BlockLabel::String(text) => format!(" {:?}", text.as_str()),
        })
        .collect();
    out.push_str(&format!("{}{}{} {{", pad(depth), Ident::as_str(&block.ident), labels.concat()));
    let inner_end = comments(block.body.decor().suffix(), depth + 1);
    if block.body.is_empty() && inner_end.is_empty() {
        out.push_str("}\n");
        return;
    }
    out.push('\n');
    write_body(&block.body, depth + 1, out);
    out.push_str(&inner_end);
    out.push_str(&format!("{}}}\n", pad(depth)));
}

/// A list that was on one line stays there; else every element gets its own.
fn expression(value: &Expression, depth: usize) -> String {
    match value {
        Expression::Array(array) => {
            let source = value.to_string();
            let elements: Vec<String> = array.iter().map(|element| expression(element, depth + 1)).collect();
            if !source.contains('\n') {
                return format!("[{}]", elements.join(", "));
            }
            let pad_in = pad(depth + 1);
            let lines: Vec<String> = array
                .iter()
                .zip(elements)
                .map(|(element, text)| format!("{}{pad_in}{text},\n", comments(element.decor().prefix(), depth + 1)))
                .collect();
            format!("[\n{}{}]", lines.concat(), pad(depth))
        }
        Expression::Object(object) => {
            let entries: Vec<(String, String)> = object
                .iter()
                .map(|(key, value)| {
                    let key = match key {
                        hcl_edit::expr::ObjectKey::Ident(ident) => format!("{:?}", ident.as_str()),
                        hcl_edit::expr::ObjectKey::Expression(key) => expression(key, depth + 1),
                    };
                    (key, expression(value.expr(), depth + 1))
                })
                .collect();
            if entries.is_empty() {
                return "{}".to_string();
            }
            // Entries that had a line each are a column; others stand apart.
            let is_column = value.to_string().trim().contains('\n') && entries.iter().all(|(_, v)| !v.contains('\n'));
            let width = if is_column { entries.iter().map(|(key, _)| key.len()).max().unwrap_or(0) } else { 0 };
            let lines: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}{key:width$} = {value}\n", pad(depth + 1))).collect();
            format!("{{\n{}{}}}", lines.join(if is_column { "" } else { "\n" }), pad(depth))
        }
        other => other.to_string().trim().to_string(),
    }
}

/// Whether it is an attribute on one line.
fn is_short(structure: &Structure, depth: usize) -> bool {
    matches!(structure, Structure::Attribute(attribute) if !expression(&attribute.value, depth).contains('\n'))
}

/// The width of the keys of the attribute at a place and of the short ones before and after it.
fn key_width(structures: &[&Structure], at: usize, depth: usize) -> usize {
    if !is_short(structures[at], depth) {
        return 0;
    }
    let short = |structure: &&&Structure| is_short(structure, depth);
    let before = structures[..at].iter().rev().take_while(short);
    let keys = structures[at..].iter().take_while(short).chain(before).filter_map(|structure| match structure {
        Structure::Attribute(attribute) => Some(attribute.key.as_str().len()),
        Structure::Block(_) => None,
    });
    keys.max().unwrap_or(0)
}

/// The comments in the white space before a structure, one a line, indented.
fn comments(raw: Option<&hcl_edit::RawString>, depth: usize) -> String {
    let text = raw.map(|raw| raw.to_string()).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("{}{line}\n", pad(depth))).collect()
}

/// A comment at the end of a line.
fn trailing(raw: Option<&hcl_edit::RawString>) -> String {
    let text = raw.map(|raw| raw.to_string()).unwrap_or_default();
    match text.trim() {
        "" => String::new(),
        comment => format!(" {comment}"),
    }
}

fn pad(depth: usize) -> String {
    "  ".repeat(depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_out_a_policy() {
        let text = "# top\npath \"a/*\" {\n capabilities=[\"read\",\"list\"]\n # why\n max_wrapping_ttl = \"1h\" # end\n}\n\
                    path \"b\" { capabilities = [] }\npath \"c\" {}\n# last\n";
        let expected = "# top\npath \"a/*\" {\n  capabilities     = [\"read\", \"list\"]\n\n  # why\n  \
                        max_wrapping_ttl = \"1h\" # end\n}\n\npath \"b\" {\n  capabilities = []\n}\n\npath \"c\" {}\n# last\n";
        assert_eq!(format(text).as_deref(), Ok(expected));
        assert_eq!(format(expected).as_deref(), Ok(expected));
        assert!(format("path \"a\" {").is_err());
        assert!(format("path \"a\" { fly = 1 }").is_err());
    }

    #[test]
    fn takes_braces_on_lines_of_their_own_and_sets_what_is_long_apart() {
        let text = "path \"a\"\n{ capabilities = [\"create\"]\n  allowed_parameters = {\n    \"b\" = [\"red\"]\n    \
                    \"long\" = []\n  }\n  min_wrapping_ttl = \"1h\"\n}\npath \"c\" { denied_parameters = { \"a\" = [], \"b\" = [] } }";
        let expected = "path \"a\" {\n  capabilities = [\"create\"]\n\n  allowed_parameters = {\n    \"b\"    = [\"red\"]\n    \
                        \"long\" = []\n  }\n\n  min_wrapping_ttl = \"1h\"\n}\n\npath \"c\" {\n  denied_parameters = {\n    \"a\" = \
                        []\n\n    \"b\" = []\n  }\n}\n";
        assert_eq!(format(text).as_deref(), Ok(expected));
        assert_eq!(
            format(expected).map(|again| again.replace("\n\n    \"b\" = []", "\n    \"b\" = []")).as_deref(),
            Ok(expected.replace("\n\n    \"b\" = []", "\n    \"b\" = []").as_str())
        );
    }
}
