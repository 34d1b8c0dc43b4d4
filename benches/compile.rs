//! The time to read and compile one build file: an ordinary one, and one with a wide range.

use std::{hint::black_box, path::Path};

use criterion::{Criterion, criterion_group, criterion_main};
use kiln::{
    compile::{self, Arch, Options},
    manifest,
    pipelines::Library,
};

/// An ordinary file: a checkout, a build, three subpackages, a test.
const ORDINARY: &str = include_str!("ordinary.yaml");

/// A build file with a subpackage for each of 200 items.
fn wide() -> String {
    let items: String = (0..200).map(|n| format!("      item-{n}: value {n}\n")).collect();
    format!("{ORDINARY}\ndata:\n  - name: many\n    items:\n{items}").replace(
        "subpackages:\n",
        "subpackages:\n  - range: many\n    name: hello-${{range.key}}\n    pipeline:\n      - runs: mv ${{range.key}} ${{targets.subpkgdir}}\n",
    )
}

fn compiling(criterion: &mut Criterion) {
    let library = Library::new([]);
    let options = Options::new(Arch::X86_64);
    for (name, text) in [("ordinary", ORDINARY.to_owned()), ("wide", wide())] {
        let manifest =
            manifest::parse(&text, Path::new("bench.yaml")).expect("the file of the bench is valid");
        let recipe = compile::compile(&manifest, &options, &library).expect("the file of the bench compiles");
        criterion.bench_function(&format!("parse/{name}"), |bencher| {
            bencher.iter(|| manifest::parse(black_box(&text), Path::new("bench.yaml")));
        });
        criterion.bench_function(&format!("compile/{name}"), |bencher| {
            bencher.iter(|| compile::compile(black_box(&manifest), &options, &library));
        });
        criterion.bench_function(&format!("print/{name}"), |bencher| {
            bencher.iter(|| black_box(&recipe).to_json())
        });
    }
}

criterion_group!(benches, compiling);
criterion_main!(benches);
