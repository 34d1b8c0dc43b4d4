//! melange's behaviour as tables: a build file in, steps or faults out.

mod faults;
mod places;

use std::{collections::HashMap, path::Path, sync::Arc};

use super::*;
use crate::manifest::{self, Source, Text};

/// Definitions by name, in place of files.
struct Definitions(HashMap<&'static str, &'static str>);

impl PipelineSource for Definitions {
    fn find(&self, name: &str) -> Result<Option<Arc<Definition>>, Diagnostics> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        let source = Source::new(Path::new(&format!("{name}.yaml")), text);
        let step = manifest::parse_definition(text, &source)?;
        Ok(Some(Arc::new(Definition::new(step, source, false))))
    }
}

fn definitions() -> Definitions {
    Definitions(HashMap::from([
        (
            "say",
            "name: Say\ninputs:\n  what: {default: nothing}\n  to: {required: true}\npipeline:\n- runs: say ${{inputs.what}} to ${{inputs.to}}\n",
        ),
        (
            "twice",
            "inputs:\n  what: {}\npipeline:\n- uses: say\n  with: {what: '${{inputs.what}}', to: a}\n- uses: say\n  with: {to: b}\n",
        ),
        (
            "needy",
            "needs:\n  packages: ['${{inputs.tool}}', fixed]\ninputs:\n  tool: {default: gcc}\npipeline:\n- runs: make\n- if: ${{inputs.tool}} == 'clang'\n  needs: {packages: [lld]}\n  runs: ld.lld\n",
        ),
        ("sums", "inputs: {expected-sha256: {}, expected-sha512: {}, expected-commit: {}}\nruns: 'true'\n"),
        ("here", "working-directory: /def\nruns: pwd\n"),
        ("env", "environment: {A: def, B: def}\nruns: env\n"),
        ("forever", "pipeline:\n- uses: forever\n"),
        (
            "sibling",
            "inputs:\n  a: {default: x}\n  b: {default: '${{inputs.a}}-y'}\n  c: {default: '${{inputs.b}}-z'}\nruns: echo ${{inputs.c}}\n",
        ),
        (
            "circle",
            "inputs:\n  a: {default: '${{inputs.b}}'}\n  b: {default: '${{inputs.a}}'}\nruns: echo ${{inputs.a}}\n",
        ),
        (
            "one-of",
            "inputs: {pick: {}}\nassertions: {required-steps: 1}\npipeline:\n- if: ${{inputs.pick}} == 'a'\n  runs: a\n- if: ${{inputs.pick}} == 'b'\n  runs: b\n",
        ),
        ("odd", "unknown-key: passed over\nruns: echo odd\n"),
        ("broken", "runs: [\n"),
        ("shell", "inputs: {x: {}}\nruns: |\n  if true; then\n    echo ${{inputs.x}}\n"),
        ("empty", ""),
    ]))
}

pub(super) fn try_compile(text: &str, options: &Options<'_>) -> Result<Recipe, Vec<String>> {
    let shown = |faults: Diagnostics| {
        faults.0.iter().map(|f| format!("{}: {}", f.line, f.message)).collect::<Vec<_>>()
    };
    let manifest = manifest::parse(text, Path::new("a.yaml")).map_err(shown)?;
    compile(&manifest, options, &definitions()).map_err(shown)
}

fn recipe(text: &str) -> Recipe {
    try_compile(text, &Options::new(Arch::X86_64)).unwrap_or_else(|faults| panic!("{text}\n{faults:?}"))
}

/// A build file of a package `p`, version 1.2.3, epoch 4, and more lines.
pub(super) fn file(more: &str) -> String {
    format!("package: {{name: p, version: 1.2.3, epoch: 4, description: d}}\n{more}")
}

/// The scripts of the main package, in order.
fn scripts(text: &str) -> Vec<String> {
    recipe(text)
        .package_steps()
        .swap_remove(0)
        .runs
        .into_iter()
        .map(|run| run.script.trim().to_owned())
        .collect()
}

#[test]
fn variables_in_scripts() {
    for (script, wanted) in [
        ("${{package.name}}", "p"),
        ("${{package.version}}-r${{package.epoch}}", "1.2.3-r4"),
        ("${{package.full-version}}", "1.2.3-r4"),
        ("${{package.description}}", "d"),
        ("${{ package.version }}", "1.2.3"),
        ("${{package.srcdir}}", "/home/build"),
        ("${{targets.outdir}}", "/home/build/melange-out"),
        ("${{targets.destdir}}", "/home/build/melange-out/p"),
        ("${{targets.contextdir}}", "/home/build/melange-out/p"),
        ("${{targets.package.p-dev}}", "/home/build/melange-out/p-dev"),
        ("${{context.name}}", "p"),
        ("${{build.arch}} ${{build.goarch}}", "x86_64 amd64"),
        ("${{host.triplet.gnu}}", "x86_64-pc-linux-gnu"),
        ("${{host.triplet.rust}}", "x86_64-unknown-linux-gnu"),
        ("${{cross.triplet.gnu.musl}}", "x86_64-pc-linux-musl"),
        ("${{cross.triplet.rust.musl}}", "x86_64-unknown-linux-musl"),
        ("${{options.fast.enabled}}", "false"),
        ("${{vars.a}}", "1.10"),
        ("${{vars.uses-a}}", "a is 1.10"),
        ("${{vars.none}}", ""),
        ("${{vars.major}}", "1"),
        ("${{vars.chained}}", "v1"),
        ("$x ${x} ${x:-y} $(x)", "$x ${x} ${x:-y} $(x)"),
    ] {
        let text = file(&format!(
            "vars: {{a: 1.10, uses-a: 'a is ${{{{vars.a}}}}', none: }}\n\
             var-transforms:\n\
             - {{from: '${{{{package.version}}}}', match: '^(\\d+)\\..*', replace: '$1', to: major}}\n\
             - {{from: '${{{{vars.major}}}}', match: '^', replace: v, to: chained}}\n\
             options: {{fast: {{}}}}\n\
             subpackages: [{{name: p-dev}}]\n\
             pipeline:\n- runs: |\n    echo {script}\n"
        ));
        assert_eq!(scripts(&text), [format!("echo {wanted}").trim()], "{script}");
    }
}

#[test]
fn inputs_of_definitions() {
    for (step, wanted) in [
        ("uses: say\n  with: {to: me}", "say nothing to me"),
        ("uses: say\n  with: {to: me, what: hi}", "say hi to me"),
        ("uses: say\n  with: {to: me, what: ''}", "say nothing to me"),
        ("uses: say\n  with: {to: '${{package.name}}'}", "say nothing to p"),
        ("uses: say\n  with: {to: '${{ build.arch }}'}", "say nothing to x86_64"),
        ("uses: twice\n  with: {what: x}", "say x to a|say nothing to b"),
        // An input that is handed on empty is given: no default.
        ("uses: twice", "say  to a|say nothing to b"),
        ("uses: sibling", "echo x-y-z"),
        ("uses: sibling\n  with: {b: q}", "echo q-z"),
        ("uses: sibling\n  with: {c: '${{inputs.a}}!'}", "echo x!"),
        ("uses: odd", "echo odd"),
        ("uses: empty", ""),
        ("uses: say\n  with: {to: 1.10}", "say nothing to 1.10"),
        ("uses: say\n  with: {to: true}", "say nothing to true"),
    ] {
        assert_eq!(scripts(&file(&format!("pipeline:\n- {step}\n"))).join("|"), wanted, "{step}");
    }
}

#[test]
fn inputs_are_printed_as_melange_prints_them() {
    for (step, wanted) in [
        ("uses: sibling", vec![]),
        ("uses: sibling\n  with: {a: x}", vec!["b=x-y", "c=x-y-z"]),
        ("uses: say\n  with: {to: me}", vec!["to=me"]),
        ("uses: say\n  with: {to: me, what: nothing}", vec!["to=me"]),
    ] {
        let recipe = recipe(&file(&format!("pipeline:\n- {step}\n")));
        let with: Vec<String> = recipe.steps[0].with.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(with, wanted, "{step}");
    }
}

#[test]
fn conditions_switch_steps_and_their_needs() {
    let packages = |recipe: &Recipe| {
        recipe.environment.contents.packages.iter().map(|p| p.to_string()).collect::<Vec<_>>()
    };
    for (step, script, needs) in [
        ("if: ${{build.arch}} == 'x86_64'\n  runs: a", "a", ""),
        ("if: ${{build.arch}} != 'x86_64'\n  runs: a", "", ""),
        ("if: \"'${{package.name}}' == 'p'\"\n  runs: a", "a", ""),
        ("if: ${{options.fast.enabled}} == 'false'\n  runs: a", "a", ""),
        ("if: \"'a' == 'b'\"\n  needs: {packages: [x]}\n  runs: a", "", ""),
        ("needs: {packages: [x, '${{package.name}}-x']}\n  runs: a", "a", "x p-x"),
        ("uses: needy", "make", "gcc fixed"),
        ("uses: needy\n  with: {tool: clang}", "make|ld.lld", "clang fixed lld"),
        ("if: \"'a' == 'b'\"\n  uses: needy", "", ""),
        ("if: \"'a' == 'b'\"\n  pipeline: [{uses: needy}, {runs: b}]", "", ""),
        ("runs: a\n  pipeline: [{runs: b}, {if: \"'a' == 'b'\", runs: c}]", "a|b", ""),
    ] {
        let text = file(&format!("options: {{fast: {{}}}}\npipeline:\n- {step}\n"));
        assert_eq!(scripts(&text).join("|"), script, "{step}");
        assert_eq!(packages(&recipe(&text)).join(" "), needs, "{step}");
    }
}

#[test]
fn a_step_has_its_place_and_that_of_its_uses() {
    let text = "package: {name: p, version: 1}
pipeline:
  - name: own
    runs: a
  - pipeline:
      - {name: ü, runs: b}
      - name: nested
        uses: twice
subpackages:
  - name: q
    pipeline:
      - uses:\there
";
    let place = |origin: &Origin| format!("{}:{}:{}", origin.file.display(), origin.line, origin.column);
    let runs: Vec<_> = recipe(text).package_steps().into_iter().flat_map(|steps| steps.runs).collect();
    let places: Vec<_> =
        runs.iter().map(|run| (place(&run.origin), run.used_at.as_ref().map(place))).collect();
    let used = |origin: &str, at: &str| (origin.to_owned(), Some(at.to_owned()));
    assert_eq!(
        places,
        [
            ("a.yaml:3:5".into(), None),
            ("a.yaml:6:9".into(), None),
            used("say.yaml:6:3", "a.yaml:8:15"),
            used("say.yaml:6:3", "a.yaml:8:15"),
            used("a.yaml:12:9", "a.yaml:12:15"),
        ]
    );
}

#[test]
fn required_steps_are_counted_before_anything_runs() {
    let two = "pipeline: [{if: \"'a' == 'a'\", runs: b}, {if: \"'a' == 'b'\", runs: c}]";
    for (step, wanted) in [
        (format!("name: main\n  assertions: {{required-steps: 1}}\n  {two}"), None),
        (
            format!("name: main\n  assertions: {{required-steps: 2}}\n  {two}"),
            Some("`main` requires 2 of its steps to run (required-steps), and 1 would"),
        ),
        (
            format!("name: main\n  assertions: {{required-steps: 0}}\n  {two}"),
            Some("`main` requires 0 of its steps to run (required-steps), and 1 would"),
        ),
        (
            "assertions: {required-steps: 1}\n  runs: alone".into(),
            Some("`alone` requires 1 of its steps to run (required-steps), and 0 would"),
        ),
        // Only direct children count, and a step with children is one.
        (
            "name: a\n  assertions: {required-steps: 1}\n  pipeline: [{pipeline: [{runs: b}, {runs: c}]}]"
                .into(),
            None,
        ),
        ("uses: one-of\n  with: {pick: a}".into(), None),
        (
            "uses: one-of".into(),
            Some("`one-of` requires 1 of its steps to run (required-steps), and 0 would"),
        ),
        // A step that does not run has no assertions.
        ("if: \"'a' == 'b'\"\n  uses: one-of".into(), None),
        (format!("if: \"'a' == 'b'\"\n  pipeline: [{{assertions: {{required-steps: 2}}, {two}}}]"), None),
    ] {
        let recipe = recipe(&file(&format!("pipeline:\n- {step}\n")));
        let failure = recipe.check_assertions().err().map(|failure| failure.what);
        let wanted = wanted.map(|wanted| format!("a.yaml:3: the step {wanted}"));
        assert_eq!(failure, wanted, "{step}");
    }
}

#[test]
fn a_dropped_subpackage_has_no_assertions() {
    for (condition, valid) in [("'a' == 'b'", true), ("'a' == 'a'", false)] {
        let text = file(&format!(
            "subpackages:\n- name: q\n  if: \"{condition}\"\n  pipeline: [{{uses: one-of}}]\n"
        ));
        assert_eq!(recipe(&text).check_assertions().is_ok(), valid, "{condition}");
    }
}

#[test]
fn directories_and_variables_are_inherited() {
    let text = file(
        "pipeline:\n\
         - working-directory: src\n  environment: {A: a, B: b}\n  pipeline:\n\
         \x20 - {runs: one}\n  - {runs: two, working-directory: /abs, environment: {B: c}}\n\
         \x20 - {uses: here}\n  - {uses: env}\n  - {uses: say, with: {to: x}}\n",
    );
    let runs = recipe(&text).package_steps().swap_remove(0).runs;
    let shown: Vec<String> = runs
        .iter()
        .map(|run| {
            let variables: Vec<_> = run.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{} {} {}", run.script, run.working_directory, variables.join(","))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "one /home/build/src A=a,B=b",
            "two /abs A=a,B=c",
            "pwd /def A=a,B=b",
            "env /home/build/src A=def,B=def",
            "say nothing to x /home/build/src A=a,B=b",
        ]
    );
}

#[test]
fn ranges_make_a_copy_an_item_sorted_by_key() {
    let text = file(
        "data:\n- name: langs\n  items: {de: German, '1.10': , aa: Afar}\n\
         subpackages:\n- range: langs\n  name: p-${{range.key}}\n  description: ${{range.value}} (${{package.version}})\n\
         \x20 dependencies: {provides: ['l-${{range.key}}=${{package.full-version}}'], provider-priority: 1}\n\
         \x20 pipeline: [{runs: 'mv ${{range.key}} ${{targets.subpkgdir}} ${{subpkg.name}} ${{context.name}}'}]\n\
         \x20 test: {pipeline: [{runs: 'test ${{range.key}}'}]}\n\
         - name: p-last\n  if: ${{build.arch}} == 'aarch64'\n  pipeline: [{runs: nothing}]\n",
    );
    let recipe = recipe(&text);
    let names: Vec<_> =
        recipe.subpackages.iter().map(|sub| (sub.name.to_string(), sub.description.to_string())).collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        names,
        [
            pair("p-1.10", " (1.2.3)"),
            pair("p-aa", "Afar (1.2.3)"),
            pair("p-de", "German (1.2.3)"),
            pair("p-last", "")
        ]
    );
    assert_eq!(recipe.subpackages[2].dependencies.provides, [Text::from("l-de=1.2.3-r4")]);
    let steps = recipe.package_steps();
    assert_eq!(steps.iter().map(|s| s.package.as_str()).collect::<Vec<_>>(), ["p", "p-1.10", "p-aa", "p-de"]);
    assert_eq!(steps[3].runs[0].script, "mv de /home/build/melange-out/p-de p-de p-de");
    let tests = recipe.test_steps();
    assert_eq!(tests.len(), 3);
    assert_eq!(tests[2].0.runs[0].script, "test de");
    assert_eq!(tests[2].1.environment.contents.packages, [Text::from("p-de")]);
}

#[test]
fn variables_in_a_range() {
    // The subpackage, and names and scripts of all copies, or the fault.
    for (items, subpackage, wanted) in [
        (
            "{b: 2, a: 1}",
            "name: p-${{range.key}}\n  pipeline: [{runs: 'x ${{range.value}}'}]",
            "p-a[x 1] p-b[x 2]",
        ),
        // By bytes, as Go sorts.
        ("{9: '', 10: '', B: '', a: ''}", "name: p-${{range.key}}", "p-10[] p-9[] p-B[] p-a[]"),
        ("{a: }", "name: p-${{range.key}}${{range.value}}", "p-a[]"),
        ("{a: '1.10'}", "name: p-${{range.value}}", "p-1.10[]"),
        ("{}", "name: p-${{range.key}}", ""),
        ("{a: 1}", "name: p-a\n  if: \"'${{range.key}}' == 'a'\"", "p-a[]"),
        ("{a: 1, b: 2}", "name: p-${{range.key}}\n  if: \"'${{range.value}}' == '2'\"", "p-b[]"),
        (
            "{a: 1}",
            "name: p-a\n  pipeline: [{if: \"'${{range.key}}' == 'b'\", runs: x}, {runs: y}]",
            "p-a[y]",
        ),
        (
            "{a: src}",
            "name: p-a\n  pipeline: [{working-directory: '${{range.value}}', runs: pwd}]",
            "p-a[pwd]",
        ),
        (
            "{a: 1}",
            "name: p-a\n  pipeline: [{uses: say, with: {what: '${{range.key}}', to: '${{range.value}}'}}]",
            "p-a[say a to 1]",
        ),
        ("{a: 1}", "name: p-a\n  pipeline: [{pipeline: [{runs: 'deep ${{range.key}}'}]}]", "p-a[deep a]"),
        // A value is not looked into again by the first pass, and is by the second.
        (
            "{a: '${{build.arch}}'}",
            "name: p-a\n  pipeline: [{runs: 'on ${{range.value}}'}]",
            "p-a[on x86_64]",
        ),
        ("{a: 1}", "name: p-${{ range.key }}", "5: invalid subpackage name `p-${{ range.key }}`"),
        ("{a: 1, b: 2}", "name: p-x", "5: two subpackages are called `p-x`, the first in line 5"),
        ("{a: 1}", "name: p", "5: the subpackage `p` has the name of the main package"),
        ("{a/b: 1}", "name: p-${{range.key}}", "5: invalid subpackage name `p-a/b`"),
        (
            "{a: 1}",
            "name: p-a\n  pipeline: [{runs: '${{range.valu}}'}]",
            "6: variable `range.valu` is not defined",
        ),
    ] {
        let text =
            file(&format!("data: [{{name: t, items: {items}}}]\nsubpackages:\n- range: t\n  {subpackage}\n"));
        let shown = |recipe: Recipe| {
            let copies = recipe.package_steps().into_iter().skip(1).map(|steps| {
                let scripts: Vec<String> = steps.runs.into_iter().map(|run| run.script).collect();
                format!("{}[{}]", steps.package, scripts.join("|"))
            });
            copies.collect::<Vec<_>>().join(" ")
        };
        let got = match try_compile(&text, &Options::new(Arch::X86_64)) {
            Ok(recipe) => shown(recipe),
            Err(faults) => faults.join("; "),
        };
        assert_eq!(got, wanted, "{items} {subpackage}");
    }
}

#[test]
fn options_files_and_flags_change_what_is_compiled() {
    let text = file(
        "vars: {a: file, b: file, c: file}\nenvironment: {contents: {packages: [x, y, '${{vars.c}}-z']}}\n\
         options:\n  fast: {vars: {c: option}, environment: {contents: {packages: {add: [w], remove: [x]}}}}\n\
         pipeline: [{runs: 'echo ${{vars.a}} ${{vars.b}} ${{vars.c}} ${{options.fast.enabled}} ${{host.triplet.gnu}}'}]\n",
    );
    let mut options = Options::new(Arch::Aarch64);
    options.libc = Libc::Musl;
    options.vars = [("b", "flag")].map(|(k, v)| (k.into(), v.into())).into();
    options.build_options = vec!["fast".into()];
    options.packages = vec!["extra".into()];
    let recipe = try_compile(&text, &options).expect("a valid file");
    assert_eq!(recipe.steps[0].script, "echo file flag option true aarch64-unknown-linux-musl");
    let packages: Vec<_> = recipe.environment.contents.packages.iter().map(|p| p.as_str()).collect();
    assert_eq!(packages, ["y", "option-z", "w"]);
    assert_eq!(recipe.appended_packages, ["extra"]);
}

#[test]
fn a_script_that_bash_accepts_is_a_warning() {
    struct Always(bool);
    impl SecondOpinion for Always {
        fn accepts(&self, _: &str) -> Option<bool> {
            Some(self.0)
        }
    }
    let text = file("pipeline: [{runs: 'if true; then'}]\n");
    for (opinion, warnings) in [(Always(true), Some(1)), (Always(false), None)] {
        let options = Options { opinion: &opinion, ..Options::new(Arch::X86_64) };
        assert_eq!(try_compile(&text, &options).ok().map(|recipe| recipe.warnings.len()), warnings);
    }
}

#[test]
fn a_key_without_effect_is_a_warning() {
    for (more, wanted) in [
        ("test: {pipeline: [{with: {a: b}, runs: x}]}", "2: `with` has no effect: the step has no `uses`"),
        (
            "subpackages: [{name: q, test: {pipeline: [{pipeline: [{with: {a: b}}]}]}}]",
            "2: `with` has no effect: the step has no `uses`",
        ),
        ("test: {pipeline: [{uses: odd, runs: x}]}", "2: `runs` is written beside `uses: odd`: both run"),
        (
            "pipeline: [{environment: {A: '${{build.arch}}'}, runs: x}]",
            "2: `A` keeps `build.arch` as text, it does not get its value",
        ),
        ("pipeline: [{environment: {A: '${{package.name}} $x'}, runs: x}]", ""),
        ("options: {fast: {}}", "0: --build-option fats changes nothing: the file has no such option"),
        ("options: {fats: {}}", ""),
    ] {
        let options = Options { build_options: vec!["fats".into()], ..Options::new(Arch::X86_64) };
        let warnings = try_compile(&file(more), &options).expect(more).warnings;
        let warnings: Vec<String> =
            warnings.iter().map(|it| format!("{}: {}", it.line, it.message)).collect();
        let known = more.contains("options");
        let warnings = warnings.into_iter().filter(|it| known || !it.contains("--build-option"));
        assert_eq!(warnings.collect::<Vec<_>>().join("|"), wanted, "{more}");
    }
}

#[test]
fn a_subpackage_without_a_commit_has_that_of_its_package() {
    let text = "package: {name: p, version: 1, epoch: 0, commit: own}\nsubpackages: [{name: a}, {name: b, commit: c}]\n";
    let options = Options { commit: "asked".into(), ..Options::new(Arch::X86_64) };
    let recipe = try_compile(text, &options).expect("it compiles");
    let commits: Vec<&str> = recipe.subpackages.iter().map(|subpackage| subpackage.commit.as_str()).collect();
    assert_eq!((recipe.package.commit.as_str(), commits), ("own", vec!["own", "c"]));
}

#[test]
fn definitions_that_double_are_refused() {
    struct Doubling;
    impl PipelineSource for Doubling {
        fn find(&self, name: &str) -> Result<Option<Arc<Definition>>, Diagnostics> {
            let text = format!("pipeline: [{{uses: {name}x}}, {{uses: {name}x}}]");
            let source = Source::new(Path::new("d.yaml"), &text);
            let step = manifest::parse_definition(&text, &source)?;
            Ok(Some(Arc::new(Definition::new(step, source, false))))
        }
    }
    let manifest = manifest::parse(&file("pipeline: [{uses: a}]\n"), Path::new("a.yaml")).expect("valid");
    assert!(compile(&manifest, &Options::new(Arch::X86_64), &Doubling).is_err());
}
