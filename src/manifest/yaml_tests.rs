use std::path::Path;

use super::*;

fn tree(text: &str) -> Result<Option<Node<'_>>, Diagnostic> {
    let Document { root, repeated } = read(text, &Source::new(Path::new("a.yaml"), text))?;
    repeated.into_iter().next().map_or(Ok(root), Err)
}

fn fault(text: &str) -> (u32, u32, String) {
    let fault = tree(text).expect_err("this must be refused");
    (fault.line, fault.column, fault.message)
}

/// A short form: scalars bare, `[…]`, `{k:v,…}`.
fn shown(node: &Node<'_>) -> String {
    match &node.value {
        Value::Scalar(scalar) => scalar.text.to_string(),
        Value::Sequence(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Mapping(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}:{}", shown(key), shown(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
    }
}

#[test]
fn scalars_keep_their_text() {
    for (text, wanted) in [
        ("a: 1.10", "{a:1.10}"),
        ("a: 0x1F", "{a:0x1F}"),
        ("a: true", "{a:true}"),
        ("a: 2024-01-01", "{a:2024-01-01}"),
        ("a: '1.10'", "{a:1.10}"),
        ("a: |\n  x\n  y\n", "{a:x\ny\n}"),
        ("a: |-\n  x\n", "{a:x}"),
        ("a: >\n  x\n  y\n", "{a:x y\n}"),
        ("a: \"\\u00e9\\n\"", "{a:é\n}"),
        ("a: ${{vars.x}}", "{a:${{vars.x}}}"),
    ] {
        assert_eq!(tree(text).map(|node| node.as_ref().map(shown)), Ok(Some(wanted.to_owned())), "{text}");
    }
}

#[test]
fn a_tab_separates_as_a_blank_does() {
    let same = [
        ("a:\tb", "{a:b}"),
        ("a:\t\tb\nc: d", "{a:b,c:d}"),
        ("a: \tb", "{a:b}"),
        ("a:\t-1", "{a:-1}"),
        ("a:\t'b\tc'\t# d", "{a:b\tc}"),
        ("a:\t&x b\nc:\t*x", "{a:b,c:b}"),
        ("a:\t!!str 1", "{a:1}"),
        ("a:\t{b:\tc,\td: e}", "{a:{b:c,d:e}}"),
        ("a:\t[b,\tc]", "{a:[b,c]}"),
        ("a:\t\n  b:\tc", "{a:{b:c}}"),
        ("-\ta\n-\tb", "[a,b]"),
        ("a:\t|\n  b:\tc\n", "{a:b:\tc\n}"),
        ("a: b\tc", "{a:b\tc}"),
        ("a: b\t# c", "{a:b}"),
        ("a: \"b:\tc\"", "{a:b:\tc}"),
    ];
    for (text, wanted) in same {
        assert_eq!(tree(text).map(|node| node.as_ref().map(shown)), Ok(Some(wanted.to_owned())), "{text:?}");
    }
    // A tab is not indentation, and does not make a list or map of a line.
    for text in ["a:\n\tb: c", "a:\n  b: c\n\td: e", "a:\t- b", "a:\tb:\tc"] {
        assert!(fault(text).2.starts_with("not valid YAML"), "{text:?}");
    }
}

#[test]
fn anchors_and_merge_keys_are_read_as_go_reads_them() {
    for (text, wanted) in [
        ("a: &x [1, 2]\nb: *x", "{a:[1,2],b:[1,2]}"),
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}", "{a:{k:1,l:2},b:{k:3,l:2}}"),
        ("a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc: {<<: [*x, *y]}", "{a:{k:1},b:{k:2,m:3},c:{k:1,m:3}}"),
        ("a: {'<<': 1}", "{a:{<<:1}}"),
    ] {
        assert_eq!(tree(text).map(|node| node.as_ref().map(shown)), Ok(Some(wanted.to_owned())), "{text}");
    }
}

#[test]
fn refused_texts_have_the_place_of_the_fault() {
    for (text, line, column, message) in [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "the key `a` is here again, first in line 1"),
        ("[x]: 1\n", 1, 1, "a key must be a single value, this is a list"),
        ("a: {<<: 1}", 1, 9, "`<<` takes a map or a list of maps"),
        ("a: &x [*x]", 1, 8, "this alias is inside of its own anchor"),
        ("a: !!binary aGk=", 1, 4, "binary scalars are not supported"),
    ] {
        let (at_line, at_column, said) = fault(text);
        assert_eq!((at_line, said.as_str()), (line, message), "{text}");
        assert!(at_column.abs_diff(column) <= 10, "{text}: column {at_column}");
    }
    assert!(fault("a: [1").2.starts_with("not valid YAML"));
    assert!(fault("a: *nope").2.starts_with("not valid YAML"));
}

#[test]
fn a_billion_laughs_are_refused_before_they_are_expanded() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let inner = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![inner; 10].join(", "));
    }
    assert!(fault(&text).2.starts_with("aliases expand to more than"));
    let long = format!("a: &a '{}'\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 20].join(", "));
    assert!(fault(&long).2.starts_with("aliases expand to more than"));
}

#[test]
fn deep_nesting_is_refused() {
    // The scanner looks ahead: in flow style its own limit may come first.
    let refused = |text: &str| {
        let message = fault(text).2;
        message == "nests deeper than 64 levels" || message.starts_with("not valid YAML: recursion limit")
    };
    for open in ["[", "{a: ", "- "] {
        assert!(refused(&open.repeat(100_000)), "{open}");
        assert!(refused(&open.repeat(70)), "{open}");
    }
    let chain =
        (1..70).fold("a0: &a0 [x]\n".to_owned(), |text, n| text + &format!("a{n}: &a{n} [*a{}]\n", n - 1));
    assert_eq!(fault(&chain).2, "nests deeper than 64 levels");
}

#[test]
fn a_file_beyond_the_limit_is_not_even_parsed() {
    assert!(fault(&" ".repeat(MAX_BYTES + 1)).2.contains("the limit is"));
}

#[test]
fn only_the_first_document_counts() {
    assert_eq!(tree("a: 1\n---\nb: [").map(|node| node.as_ref().map(shown)), Ok(Some("{a:1}".into())));
    assert_eq!(tree("# nothing\n").map(|node| node.map(|node| node.is_null())), Ok(None));
}

#[test]
fn all_repeated_keys_are_found_and_the_first_value_counts() {
    let text = "a: {k: 1, k: 2}\nb: 1\na: 3\nb: 4\nb: 5\n";
    let Document { root, repeated } = read(text, &Source::new(Path::new("a.yaml"), text)).unwrap();
    assert_eq!(root.as_ref().map(shown), Some("{a:{k:1},b:1}".into()));
    let places: Vec<(u32, &str)> = repeated.iter().map(|it| (it.line, it.line_text.as_str())).collect();
    assert_eq!(places, [(1, "a: {k: 1, k: 2}"), (3, "a: 3"), (4, "b: 4"), (5, "b: 5")]);
}
