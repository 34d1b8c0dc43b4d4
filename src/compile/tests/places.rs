//! The place of a fault: its first character, after any text.

use super::*;

/// Marks the fault in a text.
const HERE: char = '▶';

/// A text without its mark, and the line and column, in characters, of the text after it.
fn marked(text: &str) -> (String, (u32, u32)) {
    let (before, after) = text.split_once(HERE).expect("the text has a mark");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (format!("{before}{after}"), (line as u32, column as u32))
}

fn check(text: &str) {
    let (text, place) = marked(text);
    let found = match manifest::parse(&text, Path::new("a.yaml")) {
        Ok(manifest) => compile(&manifest, &Options::new(Arch::X86_64), &definitions()).expect_err(&text),
        Err(faults) => faults,
    };
    let found: Vec<(u32, u32)> = found.0.iter().map(|fault| (fault.line, fault.column)).collect();
    assert_eq!(found, [place], "{text}");
}

#[test]
fn a_place_is_right_behind_tabs_and_characters_of_several_bytes() {
    for text in [
        "package:\n  name:\t▶p!\n  version: 1\n",
        "package:\n  name:\t\t ▶'p!'\n  version: 1\n",
        "package:\n  ▶nmae:\tp\n  name: p\n  version: 1\n",
        "package: {name:\t▶p!,\tversion: 1}\n",
        "package: {name: ▶'ü\t!', version: 1}\n",
        "package:\n  name: p\n  version: 1\n  description: \"é\t€\t😀\" # ü\tx\n  epoch:\t▶none\n",
        "package: {description: '€\t😀', name: p, version: 1, ▶nope:\t1}\n",
        "package: {name: p, version: 1}\npipeline:\n  - name: ü\n    uses:\t▶nope\n",
        "package: {name: p, version: 1}\npipeline:\n  - {name: 'ü\t', uses: say, with: {to: a, ▶wat:\tb}}\n",
    ] {
        check(text);
    }
}

#[test]
fn a_place_in_a_script_is_right_behind_tabs_and_characters_of_several_bytes() {
    for script in [
        // References.
        " |\n      \techo ▶${{nope}}\n",
        " |\n      echo 'ü\t€\t😀' ▶${{nope}}\n",
        " >\n      echo\n      'ü\t€\t😀' ▶${{nope}}\n",
        "\techo\t'ü'\t▶${{nope}}\n",
        " 'echo ü\t▶${{nope}}'\n",
        // Scripts with a syntax error.
        " |\n      true\n      \t\ttrue | ▶| true\n",
        " |\n      echo 'ü\t€\t😀' | ▶| true\n",
        " |\n\n      true\n      \t: ; ▶;\n",
        " |\n      true;\n      true\n      true;\n      true; ▶;\n",
        " |\n      : ;\n      : ; ▶;\n      : ;\n      : ; ;\n",
        " |-\n      : ;\n\n      \ttrue\n      : ; ▶;\n",
        "\techo 'ü\t€' ; ▶; true\n",
        " 'echo ü\t; ▶; true'\n",
        " \"echo ü\t; ▶; true\"\n",
        " |\n      true\n      echo \t▶\"ü\n",
        " |\n      true\n      \t▶if true; then\n\n",
        // As far as a variable has changed nothing; behind that where the line begins.
        " |\n      true ${{package.name}}\n      \techo 'ü\t€' ; ▶; ${{package.name}}\n",
        " |\n      true ${{package.name}}\n      \t▶echo 'ü\t€'\t${{package.version}} ; ;\n",
        // An escape makes another text of the line.
        " ▶\"echo \\t; ; true\"\n",
    ] {
        check(&format!("package: {{name: p, version: 1}}\npipeline:\n  - runs:{script}"));
    }
}
