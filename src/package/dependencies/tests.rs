//! What the cases in `tests/apk/` do not have.

use super::*;
use crate::package::facts::{
    Elf, FileFacts, PackageFacts, PkgConfig, Special,
    fixtures::{directory, elf, file, library, link, package, special},
};

fn generate(packages: &[PackageFacts], declared: &Declared) -> Generated {
    Analysis::new(packages, "1-r0", None).generate(0, declared)
}

fn of_files(files: impl IntoIterator<Item = FileFacts>) -> Generated {
    generate(&[package("a", files)], &Declared::default())
}

fn runtime(names: &[&str]) -> Declared {
    Declared { runtime: names.iter().map(|&name| name.to_owned()).collect(), ..Declared::default() }
}

fn of_elf(path: &str, elf: Elf) -> FileFacts {
    special(path, Special { elf: Some(Ok(elf)), ..Special::default() })
}

#[test]
fn a_link_in_a_directory_of_libraries_makes_a_private_library_public() {
    let private = library("usr/lib/private/libp.so.2", "libp.so.2");

    let alone = of_files([private.clone()]);
    assert_eq!((alone.provides, alone.vendored.len()), (Vec::new(), 2));
    let linked = of_files([private.clone(), link("usr/lib/libp.so.2", "private/libp.so.2")]);
    assert_eq!(linked.provides, ["so-ver:libp.so.2=1-r0", "so:libp.so.2=2"]);
    let absolute = of_files([private, link("usr/lib/libp.so.2", "/usr/lib/private/libp.so.2")]);
    assert_eq!(absolute.provides, [""; 0]);
}

#[test]
fn a_link_needs_the_library_of_another_package_through_links() {
    let development = package("a-dev", [link("usr/lib/liba.so", "liba.so.1")]);
    let files = [link("usr/lib/liba.so.1", "liba.so.1.2"), library("usr/lib/liba.so.1.2", "liba.so.1")];
    let main = package("a", files);

    assert_eq!(generate(&[development, main], &Declared::default()).depends, ["so:liba.so.1"]);
}

#[test]
fn links_in_a_circle_and_out_of_the_package_lead_nowhere() {
    let circle = [link("usr/lib/liba.so", "libb.so"), link("usr/lib/libb.so", "liba.so")];
    let out = [link("usr/lib/libc.so", "../../../etc/libc.so"), link("usr/lib/libd.so", "")];

    assert_eq!(of_files(circle.into_iter().chain(out)), Generated::default());
}

#[test]
fn musl_and_the_host_are_exceptions() {
    let needed = ["libc.musl-x86_64.so.1", "libcuda.so.1", "libCNS.so", "libz.so.1"];
    let elf = Elf {
        interpreter: Some(b"/lib/ld-musl-x86_64.so.1".as_slice().into()),
        needed: needed.iter().map(|name| name.as_bytes().into()).collect(),
        ..elf()
    };
    let found =
        of_files([of_elf("usr/bin/x", elf), library("usr/lib/libnvidia-ml.so.1", "libnvidia-ml.so.1")]);

    assert_eq!(found.depends, ["so:libc.musl-x86_64.so.1", "so:libz.so.1"]);
    assert_eq!(found.provides, [""; 0]);
}

#[test]
fn a_program_of_go_with_openssl_needs_its_configuration() {
    let found = of_files([of_elf("usr/bin/x", Elf { loads_openssl: true, ..elf() })]);

    assert_eq!(found.depends, ["openssl-config-fipshardened", "so:libcrypto.so.3"]);
}

#[test]
fn versions_of_libraries_are_those_of_the_guest() {
    let needed = ["libz.so.1", "libc.so.6", "ld-linux-x86-64.so.2"].map(|name| name.as_bytes().into());
    let packages = [package("a", [of_elf("usr/bin/x", Elf { needed: needed.into(), ..elf() })])];
    let versions: LibraryVersions = [("libz.so.1", "1.3-r4"), ("ld-linux-x86-64.so.2", "2.40-r0")]
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .into();
    let analysis = Analysis::new(&packages, "1-r0", Some(&versions));
    let options = Options { no_versioned_shlib_deps: true, ..Options::default() };
    let plain = ["so:ld-linux-x86-64.so.2", "so:libc.so.6", "so:libz.so.1"];

    let found = analysis.generate(0, &Declared::default());
    assert_eq!(found.depends, [&["so-ver:libz.so.1>=1.3-r4"][..], &plain].concat());
    assert!(
        found.log_line().expect("it is JSON").starts_with(r#"{"runtime":["so-ver:libz.so.1\u003e=1.3-r4","#)
    );
    let declared = Declared { provides: vec!["so-ver:libz.so.1=1".to_owned()], ..Declared::default() };
    assert_eq!(found.merge(&declared).depends, plain);
    assert_eq!(analysis.generate(0, &Declared { options, ..Declared::default() }).depends, plain);
}

#[test]
fn a_library_of_the_build_is_needed_in_its_version() {
    let development = package("a-dev", [link("usr/lib/liba.so", "liba.so.1")]);
    let private = library("opt/libp.so.1", "libp.so.1");
    let packages = [development, package("a", [library("usr/lib/liba.so.1", "liba.so.1"), private])];
    let versions: LibraryVersions = [("liba.so.1".to_owned(), "0.9-r0".to_owned())].into();

    let analysis = Analysis::new(&packages, "1-r0", Some(&versions));

    let found = analysis.generate(0, &Declared::default());
    assert_eq!(found.depends, ["so-ver:liba.so.1>=1-r0", "so:liba.so.1"]);
    assert!(!analysis.own_libraries.contains(&b"libp.so.1"[..]), "a private library");
}

#[test]
fn modules_of_languages_need_their_interpreter() {
    for (path, depends) in [
        ("usr/lib/perl5/core_perl", "perl~5"),
        ("lib/perl5/vendor_perl", "perl~5"),
        ("usr/lib/python3.12/site-packages", "python-3.12-base"),
        ("opt/x/python3/site-packages", "python-3-base"),
        ("usr/lib/ruby/gems/3.2.0/gems", "ruby-3.2"),
        ("lib/ruby/gems/3.4.91/gems", "ruby-3.4"),
    ] {
        assert_eq!(of_files([directory(path)]).depends, [depends], "{path}");
    }
    for path in [
        "usr/lib/perl/core_perl",
        "opt/lib/perl5/core_perl",
        "usr/lib/python/site-packages",
        "usr/lib/ruby/gems/3.4.1/gems",
        "usr/lib/ruby/gems/x.4.0/gems",
        "usr/lib/ruby/3.2.0/gems",
    ] {
        assert_eq!(of_files([directory(path)]).depends, [""; 0], "{path}");
    }
}

#[test]
fn the_last_python_of_the_walk_counts() {
    let modules = |version: &str| directory(&format!("usr/lib/{version}/site-packages"));

    assert_eq!(of_files([modules("python3.9"), modules("python3.12")]).depends, ["python-3.9-base"]);
    assert_eq!(
        of_files([modules("python3.9"), directory("usr/lib64/python/site-packages")]).depends,
        [""; 0]
    );
}

#[test]
fn a_declared_interpreter_stands_in_place_of_a_generated_one() {
    for (path, declared) in [
        ("usr/lib/perl5/core_perl", "perl"),
        ("usr/lib/python3.12/site-packages", "python3"),
        ("usr/lib/ruby/gems/3.2.0/gems", "ruby-3.4"),
    ] {
        let found = generate(&[package("a", [directory(path)])], &runtime(&[declared]));
        assert_eq!(found.depends, [""; 0]);
        assert_eq!(found.notes.list, [Note::AlreadyDeclared { dependency: declared.to_owned() }]);
    }
}

#[test]
fn documentation_needs_its_readers() {
    let files = [directory("usr/share/man/man1"), file("usr/share/info/x.info")];

    let found = |name: &str| generate(&[package(name, files.clone())], &Declared::default()).depends;
    assert_eq!(found("a-doc"), ["man-db", "texinfo"]);
    assert_eq!(found("a"), [""; 0]);
}

#[test]
fn texts_that_break_lines_are_no_dependencies() {
    let evil = Elf { needed: [b"liba.so.1\nprovides = x".as_slice().into()].into(), ..elf() };
    let found = of_files([
        of_elf("usr/bin/a", evil),
        library("usr/lib/b", "libb.so.1 libc"),
        library("usr/lib/c", "libc.so.1=2"),
        FileFacts { mode: 0o755, ..file("usr/bin/d\u{7}") },
        special("usr/bin/e", Special { shebang: Some(b"/bin/\x80".as_slice().into()), ..Special::default() }),
        library("usr/lib/f", &"x".repeat(2000)),
    ]);

    assert_eq!((found.depends, found.provides, found.vendored), (Vec::new(), Vec::new(), Vec::new()));
    assert_eq!(found.notes.list.len(), 6);
    let note = found.notes.list.iter().map(Note::to_string).next();
    assert_eq!(note.as_deref(), Some(r#"usr/bin/a: "liba.so.1\nprovides = x" cannot be a dependency"#));
}

#[test]
fn blanks_beyond_ascii_part_the_words_of_a_first_line() {
    let script = |line: &str| Special { shebang: Some(line.as_bytes().into()), ..Special::default() };
    let found = of_files([
        special("usr/bin/a", script("/bin/one\u{a0}two")),
        special("usr/bin/b", script("/usr/bin/env\u{85}three\u{2003}")),
    ]);
    assert_eq!(found.depends, ["cmd:one", "cmd:three"]);
}

#[test]
fn notes_are_counted_after_the_first() {
    let broken = Special { pkg_config: Some(Err("no".into())), ..Special::default() };
    let found = of_files((0..100).map(|number| special(&format!("usr/lib/{number}.pc"), broken.clone())));

    assert_eq!((found.notes.list.len(), found.notes.omitted), (64, 36));
}

#[test]
fn a_module_of_pkg_config_elsewhere_is_vendored() {
    let module = PkgConfig { requires: ["b".into()].into() };
    let of =
        |path: &str| special(path, Special { pkg_config: Some(Ok(module.clone())), ..Special::default() });

    let found = of_files([of("usr/lib64/pkgconfig/a.pc"), of("opt/lib/pkgconfig/c.pc")]);
    assert_eq!(
        (found.depends, found.provides, found.vendored),
        (vec!["pc:b".to_owned()], vec!["pc:a=1-r0".to_owned()], vec!["pc:c=1-r0".to_owned()],)
    );
}

#[test]
fn a_million_links_to_one_name_take_one_look() {
    // Each link was compared with each candidate once.
    let links = (0..2000).map(|number| link(&format!("usr/lib/x{number}.so"), "libmissing.so.1"));
    let dangling = (0..2000).map(|number| link(&format!("usr/lib/d{number}/libmissing.so.1"), "nothing"));
    let lines = (0..2000).map(|number| format!("usr/lib/d{number}").into_bytes().into_boxed_slice());
    let configuration = Special { library_directories: lines.collect(), ..Special::default() };
    let files = links.chain(dangling).chain([special("etc/ld.so.conf.d/a.conf", configuration)]);

    assert_eq!(of_files(files), Generated::default());
}
