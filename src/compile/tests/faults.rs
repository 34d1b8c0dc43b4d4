//! Faults of build files, and their places.

use super::*;

#[test]
fn faults_of_build_files() {
    let table: &[(&str, &[&str])] = &[
        ("pipeline: [{runs: 'echo ${{nope}}'}]", &["2: variable `nope` is not defined"]),
        (
            "pipeline: [{runs: 'echo ${{a} ${{}}'}]",
            &["2: the variable `a` has no `}}`", "2: a variable without a name"],
        ),
        ("pipeline: [{runs: 'echo ${{range.key}}'}]", &["2: variable `range.key` is not defined"]),
        ("pipeline: [{runs: 'echo ${{inputs.x}}'}]", &["2: variable `inputs.x` is not defined"]),
        ("pipeline: [{runs: 'echo ${{subpkg.name}}'}]", &["2: variable `subpkg.name` is not defined"]),
        ("pipeline: [{working-directory: '${{nope}}', runs: x}]", &["2: variable `nope` is not defined"]),
        ("pipeline: [{needs: {packages: ['${{nope}}']}, runs: x}]", &["2: variable `nope` is not defined"]),
        ("pipeline: [{if: \"${{nope}} == 'a'\", runs: x}]", &["2: variable `nope` is not defined"]),
        (
            "pipeline: [{if: nope, runs: x}]",
            &[
                "2: invalid condition `nope`: expected a string in quotes or a variable `${{…}}`, found `nope`",
            ],
        ),
        ("pipeline: [{with: {a: b}, runs: x}]", &["2: a step with `with` needs `uses`"]),
        ("pipeline: [{uses: odd, runs: x}]", &["2: a step has `uses: odd` or `runs`, not both"]),
        ("pipeline: [{uses: nope}]", &["2: no pipeline definition is called `nope`"]),
        (
            "pipeline: [{uses: ../say}]",
            &["2: invalid `uses: ../say`: the name of a definition is relative, without `..`"],
        ),
        (
            "pipeline: [{uses: /etc/passwd}]",
            &["2: invalid `uses: /etc/passwd`: the name of a definition is relative, without `..`"],
        ),
        (
            "pipeline: [{uses: a/../../b}]",
            &["2: invalid `uses: a/../../b`: the name of a definition is relative, without `..`"],
        ),
        ("pipeline: [{uses: say}]", &["2: the required input `to` is missing"]),
        ("pipeline: [{uses: say, with: {to: ''}}]", &["2: the required input `to` is missing"]),
        ("pipeline: [{uses: say, with: {to: a, wat: b}}]", &["2: the definition `say` has no input `wat`"]),
        ("pipeline: [{uses: say, with: {to: '${{nope}}'}}]", &["2: variable `nope` is not defined"]),
        (
            "pipeline: [{uses: sums, with: {expected-sha256: abc}}]",
            &["2: the input `expected-sha256` must be 64 hexadecimal digits, this is `abc`"],
        ),
        (
            "pipeline: [{uses: sums, with: {expected-commit: main}}]",
            &["2: the input `expected-commit` must be 40 hexadecimal digits, this is `main`"],
        ),
        ("pipeline: [{uses: circle}]", &["2: the input `a` is made of itself"]),
        ("pipeline: [{uses: forever}]", &["2: definitions use each other more than 32 deep"]),
        (
            "pipeline: [{runs: 'if true; then'}]",
            &["2: not a shell script: it ends in the middle of a command"],
        ),
        ("pipeline: [{runs: 'echo \"x'}]", &["2: not a shell script: unterminated double quote"]),
        (
            "pipeline: [{runs: \"cat <<E\\ntext\\n\"}]",
            &["2: not a shell script: unterminated here-document (E)"],
        ),
        (
            "pipeline: [{runs: \"true\\na\\0b\"}]",
            &["2: not a shell script: it holds a NUL character, which no shell reads"],
        ),
        ("subpackages: [{name: p}]", &["2: the subpackage `p` has the name of the main package"]),
        ("subpackages: [{name: q}, {name: q}]", &["2: two subpackages are called `q`, the first in line 2"]),
        ("subpackages: [{name: 'q!'}]", &["2: invalid subpackage name `q!`"]),
        ("subpackages: [{name: }]", &["2: a subpackage without a name"]),
        ("subpackages: [{name: q, range: nope}]", &["2: no table of `data` is called `nope`"]),
        (
            "subpackages: [{name: q, dependencies: {provider-priority: high}}]",
            &["2: a priority is a whole number, not below 0, this is `high`"],
        ),
        (
            "subpackages: [{name: q, dependencies: {replaces-priority: '-1'}}]",
            &["2: a priority is a whole number, not below 0, this is `-1`"],
        ),
        (
            "subpackages: [{name: q, dependencies: {runtime: ['${{build.arch}}']}}]",
            &["2: variable `build.arch` is not defined"],
        ),
        ("subpackages: [{name: q, if: \"${{nope}} == ''\"}]", &["2: variable `nope` is not defined"]),
        (
            "environment: {contents: {packages: ['${{build.arch}}']}}",
            &["2: variable `build.arch` is not defined"],
        ),
        (
            "test: {environment: {contents: {packages: ['${{nope}}']}}}",
            &["2: variable `nope` is not defined"],
        ),
        ("vars: {a: '${{package.version}}'}", &["2: variable `package.version` is not defined"]),
        (
            "vars: {a: '${{vars.b}}', b: '${{vars.a}}'}",
            &["2: this variable is made of itself, or of one that is"],
        ),
        // A text that uses a variable with a fault has none of its own.
        (
            "vars: {a: '${{build.arch}}', b: '${{vars.a}}'}\npipeline: [{runs: 'echo ${{vars.b}}'}]",
            &["2: variable `build.arch` is not defined"],
        ),
        (
            "var-transforms: [{from: '${{nope}}', match: a, replace: b, to: c}]",
            &["2: variable `nope` is not defined"],
        ),
        (
            "var-transforms: [{from: a, match: '(', replace: b, to: c}]",
            &["2: not a regular expression: unclosed group"],
        ),
        (
            "pipeline: [{runs: 'a ${{x}}'}, {runs: 'b ${{y}}'}]",
            &["2: variable `x` is not defined", "2: variable `y` is not defined"],
        ),
    ];
    for (more, wanted) in table {
        let got = try_compile(&file(more), &Options::new(Arch::X86_64)).map(|_| ());
        let mut got = got.expect_err(more);
        got.dedup();
        let mut wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
        wanted.dedup();
        assert_eq!(got, wanted, "{more}");
    }
}

#[test]
fn faults_of_the_package_itself() {
    for (text, wanted) in [
        ("pipeline: []\n", "0: a package without a name"),
        ("package: {name: p, epoch: 0}\n", "1: the package has no version"),
        ("package: {name: '-p', version: 1}\n", "1: invalid package name `-p`"),
        ("package: {name: 'a b', version: 1}\n", "1: invalid package name `a b`"),
        ("package: {name: '../p', version: 1}\n", "1: invalid package name `../p`"),
        (
            "package: {name: p, version: 1, cpe: {vendor: v}}\n",
            "1: a CPE has both a vendor and a product, or neither",
        ),
        ("package: {name: p, version: 1, cpe: {vendor: '*', product: x}}\n", "1: invalid CPE value `*`"),
        (
            "package: {name: p, version: 1, cpe: {part: h, vendor: v, product: x}}\n",
            "1: the part of a CPE is `a` or `o`, this is `h`",
        ),
        (
            "package: {name: p, version: 1, setcap: [{path: /x, add: {cap_chown: +ep}, reason: r}]}\n",
            "1: invalid capability `cap_chown` for `/x`",
        ),
        (
            "package: {name: p, version: 1, setcap: [{path: /x, add: {cap_net_raw: +x}, reason: r}]}\n",
            "1: invalid flags `+x` for the capabilities of `/x`",
        ),
        (
            "package: {name: p, version: 1, setcap: [{path: /x, add: {cap_net_raw: +ep}}]}\n",
            "1: the capabilities of `/x` need a `reason`",
        ),
        (
            "package: {name: p, version: 1, copyright: [{license-path: a/../../b}]}\n",
            "1: the license-path `a/../../b` leads out of the workspace",
        ),
        (
            "package: {name: p, version: 1, description: \"two\\nlines\\n\"}\n",
            "1: this becomes one line of the package's metadata, and has a line break in it",
        ),
        (
            "package: {name: p, version: 1, copyright: [{license: \"MIT\\nmaintainer = x\"}]}\n",
            "1: this becomes one line of the package's metadata, and has a line break in it",
        ),
        (
            "package: {name: p, version: 1, dependencies: {provides: ['a b']}}\n",
            "1: invalid dependency `a b`",
        ),
        (
            "package: {name: p, version: 1, scriptlets: {trigger: {script: x, paths: ['/a b']}}}\n",
            "1: invalid path of a trigger: `/a b`",
        ),
        (
            "package: {name: p, version: 1, target-architecture: [aarch64]}\n",
            "1: target-architecture does not name x86_64: nothing to build",
        ),
    ] {
        let faults = try_compile(text, &Options::new(Arch::X86_64)).expect_err(text);
        assert!(faults.contains(&wanted.to_owned()), "{text}: {faults:?}");
    }
}

#[test]
fn what_no_file_or_index_has_room_for_is_a_fault() {
    let name = |length| "n".repeat(length);
    let too_long = "the name and version are too long for the name of a package's file";
    // The name, -1-r0, and .attest.tar.gz have 255 bytes.
    for (package, subpackage, wanted) in [
        (name(236), name(10), None),
        (name(237), name(10), Some(format!("1: {too_long}"))),
        (name(10), name(236), None),
        (name(10), name(237), Some(format!("2: {too_long}"))),
    ] {
        let text = format!(
            "package: {{name: {package}, version: 1, epoch: 0}}\nsubpackages: [{{name: {subpackage}}}]\npipeline: [{{runs: x}}]\n"
        );
        let faults = try_compile(&text, &Options::new(Arch::X86_64)).err().unwrap_or_default();
        assert_eq!(faults, wanted.into_iter().collect::<Vec<_>>());
    }
    for (length, count) in [((1 << 20) - 3, 0), ((1 << 20) - 2, 1)] {
        let text = format!(
            "package: {{name: p, version: 1, epoch: 0, description: {}}}\npipeline: [{{runs: x}}]\n",
            "x".repeat(length)
        );
        let faults = try_compile(&text, &Options::new(Arch::X86_64)).err().unwrap_or_default();
        assert_eq!(faults.len(), count, "{faults:?}");
    }
}

#[test]
fn a_fault_in_a_definition_points_into_it() {
    let manifest = manifest::parse(&file("pipeline: [{uses: shell, with: {x: a}}]\n"), Path::new("a.yaml"))
        .expect("valid");
    let faults =
        compile(&manifest, &Options::new(Arch::X86_64), &definitions()).expect_err("the script has a fault");
    assert_eq!(faults.0[0].file.as_ref(), Path::new("shell.yaml"));
    assert_eq!(faults.0[0].line, 4);
    assert_eq!(faults.0[0].line_text, "    echo ${{inputs.x}}");
}

#[test]
fn the_caret_stands_under_the_fault() {
    let text = "package:\n  name: p\n  version: 1\npipeline:\n  - runs: |\n      echo one\n      echo ${{ vars.tow }}\n";
    let manifest = manifest::parse(text, Path::new("a.yaml")).expect("valid");
    let faults = compile(&manifest, &Options::new(Arch::X86_64), &definitions()).expect_err("undefined");
    let shown = faults.to_string();
    let wanted = "a.yaml:7:12: variable `vars.tow` is not defined\n  |\n7 |       echo ${{ vars.tow }}\n  |            ^";
    assert!(shown.starts_with(wanted), "{shown}");
}
