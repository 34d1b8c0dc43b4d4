//! Files that would become too large: each is refused, or compiled, within a moment.

use super::{
    Arch, Options,
    tests::{file, try_compile},
};

/// The first fault; `None` where it compiles.
fn refused(text: &str) -> Option<String> {
    let options = Options { build_options: vec!["o".into()], ..Options::new(Arch::X86_64) };
    try_compile(text, &options).err().map(|faults| faults[0].clone())
}

const TOO_LARGE: &str = "0: becomes more than 64 MiB of text";

#[test]
fn the_regular_expressions_of_a_file_are_bounded_together() {
    let refused_as_a_whole = |transforms: &str, vars: &str| {
        let fault = refused(&file(&format!("vars: {{{vars}}}\nvar-transforms:\n{transforms}")));
        let what = "the regular expressions of the file are too much work";
        assert!(fault.as_deref().is_some_and(|fault| fault.contains(what)), "{fault:?}");
    };
    let each = |pattern: &str, count: u32| -> String {
        let one = |n: u32| {
            format!(
                "- {{from: '${{{{vars.a}}}}', match: '{}', replace: y, to: b{n}}}\n",
                pattern.replace('N', &n.to_string())
            )
        };
        (0..count).map(one).collect()
    };
    // Each pattern alone is within the budget, and no two are equal.
    refused_as_a_whole(&each(r"(\pL{1,20}){1,4}xN", 2000), "a: 1.2.3");
    refused_as_a_whole(&each(r"(?i)[\pL]{30}N", 2000), "a: 1.2.3");
    refused_as_a_whole(&each("((a{1,40}){1,40}){1,9}N", 2000), "a: 1.2.3");
    // A long text in which a pattern matches nowhere, or everywhere.
    refused_as_a_whole(&each("(a|b|ab)*cN", 2000), &format!("a: {}", "ab".repeat(50_000)));
    refused_as_a_whole(&each(".*?[^a]|a", 1), &format!("a: {}", "a".repeat(100_000)));
    // Patterns of the usual form, more than a file has.
    let usual = each(r"^(\d+)\.(\d+)\.(\d+)([_-]rc\d+)?$", 500);
    assert_eq!(refused(&file(&format!("vars: {{a: 1.2.3}}\nvar-transforms:\n{usual}"))), None);
}

#[test]
fn variables_that_double_each_other_do_not_fill_the_memory() {
    let tenfold = |n: usize| format!("  a{}: '{}'\n", n + 1, format!("${{{{vars.a{n}}}}}").repeat(10));
    let vars: String = (0..12).map(tenfold).collect();
    assert_eq!(refused(&file(&format!("vars:\n  a0: xxxxxxxxxx\n{vars}"))).as_deref(), Some(TOO_LARGE));

    let transform = |n: usize| {
        format!(
            "- {{from: '${{{{vars.a{n}}}}}', match: ^.*$, replace: '$0$0$0$0$0$0$0$0$0$0', to: a{}}}\n",
            n + 1
        )
    };
    let transforms: String = (0..12).map(transform).collect();
    let text = file(&format!("vars: {{a0: x}}\nvar-transforms:\n{transforms}"));
    assert_eq!(refused(&text).as_deref(), Some(TOO_LARGE));

    let text = file(&format!(
        "var-transforms: [{{from: {0}, match: '', replace: {0}, to: a}}]\n",
        "x".repeat(100_000)
    ));
    assert_eq!(refused(&text).as_deref(), Some(TOO_LARGE));
}

#[test]
fn a_large_variable_in_many_places_does_not_fill_the_memory() {
    let uses = format!("- runs: '{}'\n", "${{vars.a}}".repeat(100)).repeat(100);
    let text = file(&format!("vars: {{a: {}}}\npipeline:\n{uses}", "x".repeat(10_000)));
    assert_eq!(refused(&text).as_deref(), Some(TOO_LARGE));
}

#[test]
fn a_range_times_a_range_does_not_fill_the_memory() {
    let items: String = (0..2000).map(|n| format!("    k{n}: v\n")).collect();
    let subpackages: String =
        (0..2000).map(|n| format!("- {{range: t, name: 'p{n}-${{{{range.key}}}}'}}\n")).collect();
    let text = file(&format!("data:\n- name: t\n  items:\n{items}subpackages:\n{subpackages}"));
    assert_eq!(refused(&text).as_deref(), Some(TOO_LARGE));
}

#[test]
fn a_long_chain_of_variables_is_followed_once() {
    const LENGTH: usize = 20_000;
    let vars: String = (0..LENGTH).map(|n| format!("  a{n:05}: '${{{{vars.a{:05}}}}}'\n", n + 1)).collect();
    let text =
        file(&format!("vars:\n{vars}  a{LENGTH}: end\npipeline: [{{runs: 'echo ${{{{vars.a00000}}}}'}}]\n"));
    let recipe = try_compile(&text, &Options::new(Arch::X86_64)).expect("it is valid");
    assert_eq!(recipe.steps[0].script, "echo end");
}

#[test]
fn of_many_unknown_names_only_some_are_explained() {
    let vars: String = (0..5000).map(|n| format!("  a-long-name-of-a-variable-{n}: x\n")).collect();
    let uses: String =
        (0..5000).map(|n| format!("- runs: '${{{{vars.a-long-nmae-of-a-variable-{n}}}}}'\n")).collect();
    let faults = try_compile(&file(&format!("vars:\n{vars}pipeline:\n{uses}")), &Options::new(Arch::X86_64));
    assert_eq!(faults.map(|_| ()).map_err(|faults| faults.len()), Err(50));
}

#[test]
fn packages_are_taken_away_from_a_long_list_in_one_go() {
    let names = |prefix: &str| (0..20_000).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>().join(", ");
    let text = file(&format!(
        "environment: {{contents: {{packages: [{}, r1]}}}}\noptions: {{o: {{environment: {{contents: {{packages: {{remove: [{}]}}}}}}}}}}\n",
        names("p"),
        names("r"),
    ));
    assert_eq!(refused(&text), None);
}
