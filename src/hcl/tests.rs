use proptest::prelude::*;

use super::*;

fn text(body: &Body, key: &str) -> String {
    body.get(key).and_then(|item| item.value.value.text()).unwrap_or_default()
}

#[test]
fn reads_what_existing_files_hold() {
    let body = parse(
        "# a comment\nlistener \"tcp\" { address = \"[::]:8200\" tls_disable = 1 }\n// another\n\"api_addr\" = \"http://a\",\nx = [1, -2.5, true, \"${y}\",] /* c */ z = 0x1f\n",
    )
    .unwrap();
    let blocks = body.labelled_blocks("listener").unwrap();
    assert_eq!((blocks.len(), blocks[0].label, blocks[0].line), (1, "tcp", 2));
    assert_eq!(text(blocks[0].body, "address"), "[::]:8200");
    assert_eq!(text(blocks[0].body, "tls_disable"), "1");
    assert_eq!(text(&body, "api_addr"), "http://a");
    assert_eq!(text(&body, "z"), "31");
    assert_eq!(body.get("x").unwrap().line, 5);
    assert_eq!(body.get("x").unwrap().value.value.to_json(), serde_json::json!([1, -2.5, true, "${y}"]));
}

#[test]
fn json_and_hcl_make_the_same_blocks() {
    for source in [
        "listener \"tcp\" { a = 1 }\nlistener \"unix\" { b = 2 }",
        r#"{"listener": {"tcp": {"a": 1}, "unix": {"b": 2}}}"#,
        r#"{"listener": [{"tcp": {"a": 1}}, {"unix": {"b": 2}}]}"#,
        r#"{"listener": [{"tcp": [{"a": 1}]}, {"unix": {"b": 2}}]}"#,
    ] {
        let body = parse(source).unwrap();
        let blocks = body.labelled_blocks("listener").unwrap();
        assert_eq!(blocks.iter().map(|block| block.label).collect::<Vec<_>>(), ["tcp", "unix"], "{source}");
        assert_eq!(text(blocks[1].body, "b"), "2");
    }
}

#[test]
fn escapes_and_here_documents() {
    let body = parse(
        "a = \"x\\n\\\"\\u00e9\\U0001f600\"\nb = <<EOT\n  one\ntwo\nEOT\nc = <<-EOT\n    one\n      two\n    EOT\n",
    )
    .unwrap();
    assert_eq!(text(&body, "a"), "x\n\"é😀");
    assert_eq!(text(&body, "b"), "  one\ntwo\n");
    assert_eq!(text(&body, "c"), "one\n  two\n");
    assert_eq!(text(&parse(r#"{"a": "\ud83d\ude00"}"#).unwrap(), "a"), "😀");
}

#[test]
fn names_the_place_of_an_error() {
    for (source, error) in [
        ("path \"a\" {", "At 1:11: object expected closing brace, got the end of the text"),
        ("path 'a' {}", "At 1:6: expected a key, an equals sign or a brace, got '\\''"),
        ("a = [\"x\" \"y\"]", "At 1:10: error parsing list, expected comma or list end, got '\"'"),
        ("path \"a\" = {}", "At 1:10: a block with a label is opened by a brace, not by an equals sign"),
        ("a = \"x\nb\"", "At 2:1: literal not terminated"),
        ("\na = yes", "At 2:5: expected a value, got the bare word \"yes\" (quotes missing?)"),
        ("a = 1x", "At 1:5: \"1x\" is not a number"),
        ("a = 1e999", "At 1:5: \"1e999\" is not a number"),
        ("a = <<EOT\nx", "At 1:5: heredoc not terminated"),
        ("/* a", "At 1:1: comment not terminated"),
        ("a = 1 }", "At 1:7: expected a key, an equals sign or a brace, got '}'"),
        ("{\"a\": 1} x", "At 1:10: expected the end of the text, got 'x'"),
        ("{\"a\" 1}", "At 1:6: expected ':', got '1'"),
        ("{\"a\": \"\\ud83d\"}", "At 1:14: no Unicode character has this code"),
    ] {
        assert_eq!(parse(source).unwrap_err().to_string(), error, "{source}");
    }
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("{\"a\":", "}"), ("{\"a\":[", "]}")] {
        assert!(parse(&(open.repeat(10_000) + "1" + &close.repeat(10_000))).is_err());
    }
    for open in ["a {", "a = {", "a = ["] {
        assert!(parse(&open.repeat(10_000)).is_err(), "{open}");
    }
    assert!(parse(&("a = ".to_string() + &"[".repeat(10_000))).is_err());
}

#[test]
fn finds_an_attribute_given_twice() {
    assert_eq!(parse("a = 1\nb = 2\na = 3").unwrap().repeated().unwrap().line, 3);
    assert!(parse("a {}\na {}\nb = 1").unwrap().repeated().is_none());
}

proptest! {
    #[test]
    fn never_panics(source in "\\PC*") {
        let _ = parse(&source);
    }

    #[test]
    fn never_panics_on_likely_pieces(pieces in proptest::collection::vec("[a{}\\[\\]=,\"\\\\\n<#/*1x-]{1,4}", 0..30)) {
        let source = pieces.concat();
        let _ = parse(&source);
        let _ = parse(&format!("{{{source}"));
    }

    #[test]
    fn strings_come_back(value in any::<String>()) {
        let source = serde_json::json!({ "a": value }).to_string();
        prop_assert_eq!(text(&parse(&source).unwrap(), "a"), value);
    }
}
