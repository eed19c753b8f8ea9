//! `policy fmt`: a policy in its usual layout, comments kept.

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body, Structure};
use hcl_edit::{Decorate, Ident};

/// Lays a policy out anew. The error says why it is no policy.
pub fn format(text: &str) -> Result<String, String> {
    let body: Body = text.parse().map_err(|error: hcl_edit::parser::Error| error.to_string())?;
    let mut out = String::new();
    write_body(&body, 0, &mut out);
    out.push_str(&comments(body.decor().suffix(), 0));
    Ok(out)
}

fn write_body(body: &Body, depth: usize, out: &mut String) {
    let structures: Vec<&Structure> = body.iter().collect();
    for (at, structure) in structures.iter().enumerate() {
        let prefix = match structure {
            Structure::Attribute(attribute) => attribute.decor().prefix(),
            Structure::Block(block) => block.decor().prefix(),
        };
        let comments = comments(prefix, depth);
        let apart =
            matches!(structure, Structure::Block(_)) || at > 0 && matches!(structures[at - 1], Structure::Block(_));
        if at > 0 && (apart || !comments.is_empty()) {
            out.push('\n');
        }
        out.push_str(&comments);
        match structure {
            Structure::Block(block) => write_block(block, depth, out),
            Structure::Attribute(attribute) => {
                let width = key_width(&structures);
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
            let lines: Vec<String> = object
                .iter()
                .map(|(key, value)| {
                    let key = match key {
                        hcl_edit::expr::ObjectKey::Ident(ident) => format!("{:?}", ident.as_str()),
                        hcl_edit::expr::ObjectKey::Expression(key) => expression(key, depth + 1),
                    };
                    format!("{}{key} = {}\n", pad(depth + 1), expression(value.expr(), depth + 1))
                })
                .collect();
            if lines.is_empty() { "{}".to_string() } else { format!("{{\n{}{}}}", lines.concat(), pad(depth)) }
        }
        other => other.to_string().trim().to_string(),
    }
}

fn key_width(structures: &[&Structure]) -> usize {
    let keys = structures.iter().filter_map(|structure| match structure {
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
    }
}
