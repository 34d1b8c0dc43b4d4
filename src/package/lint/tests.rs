//! What the cases in `tests/apk/` do not have.

use super::*;
use crate::{
    exit::Code,
    package::facts::{
        Elf, FileFacts, Kind, Special,
        fixtures::{directory, elf, file, link, package, special},
    },
    plan::{OPTIONAL_LINTERS, REQUIRED_LINTERS, WARNING_LINTERS},
};

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn require(linter: &str) -> Settings {
    Settings::new(Some(&named(&[linter])), Some(&[])).expect("the linter is known")
}

/// What a linter says of a package: nothing, or the lines of the log.
fn lines_of(linter: &str, name: &str, files: impl IntoIterator<Item = FileFacts>) -> Vec<String> {
    let tests = Tests { is_known: true, ..Tests::default() };
    let findings = lint(&package(name, files), tests, &require(linter));
    findings.iter().flat_map(Finding::log_lines).filter(|line| !line.starts_with("  → ")).collect()
}

fn paths(linter: &str, name: &str, paths: &[&str]) -> Vec<String> {
    lines_of(linter, name, paths.iter().map(|path| file(path)))
}

fn mode(path: &str, mode: u32) -> FileFacts {
    FileFacts { mode, ..file(path) }
}

#[test]
fn the_defaults_are_those_of_melange() {
    let Settings { require, warn } = Settings::default();
    let names = |linters: &[&'static Linter]| linters.iter().map(|linter| linter.name).collect::<Vec<_>>();

    assert_eq!(
        names(&require),
        ["dev", "infodir", "libtool/la-files", "setuidgid", "tempdir", "usrmerge", "varempty", "worldwrite"]
    );
    assert_eq!(warn.len(), 20);
    assert!(LINTERS.is_sorted_by_key(|linter| linter.name));
    assert!(LINTERS.iter().all(|linter| find(linter.name) == Some(linter)));
    // The lists of the plan and the table have the same names.
    let mut listed = [REQUIRED_LINTERS.as_slice(), &WARNING_LINTERS, &OPTIONAL_LINTERS].concat();
    listed.sort_unstable();
    assert_eq!(listed, LINTERS.iter().map(|linter| linter.name).collect::<Vec<_>>());
}

#[test]
fn an_unknown_linter_is_an_error_with_the_nearest_name() {
    let failure = Settings::new(Some(&named(&["dev", "usrmerg"])), None).expect_err("it is unknown");

    assert_eq!(failure.code, Code::Usage);
    assert_eq!(failure.what, r#"--lint-require: unknown linter "usrmerg"; the nearest name is "usrmerge""#);
    assert!(failure.way_out.contains("python/docs"), "{}", failure.way_out);
}

#[test]
fn a_disabled_linter_warns() {
    let (settings, unknown) = Settings::default().without(&named(&["dev", "opt", "empty", "usrmerg"]));

    assert!(!settings.require.iter().any(|linter| linter.name == "dev"));
    assert_eq!(settings.warn.len(), 21, "a linter that does not run is not made to warn");
    let unknown: Vec<String> = unknown.iter().map(UnknownLinter::to_string).collect();
    assert_eq!(unknown, [r#"unknown linter "usrmerg"; the nearest name is "usrmerge""#]);
}

#[test]
fn a_required_finding_is_a_failure_and_a_warning_is_none() {
    let facts = package("a", [file("dev/x"), file("opt/y")]);
    let findings = lint(&facts, Tests::default(), &Settings::default());

    let failure = failure(&findings).expect("dev is required");
    assert_eq!(failure.code, Code::Package);
    assert_eq!(failure.what, r#"package a: linter "dev" failed: a writes to /dev"#);
    assert!(failure.way_out.starts_with("If this package is creating /dev nodes"), "{}", failure.way_out);
    let (settings, _) = Settings::default().without(&named(&["dev"]));
    assert_eq!(super::failure(&lint(&facts, Tests::default(), &settings)), None);
}

#[test]
fn places_have_their_linters() {
    for (linter, found, other) in [
        ("dev", "dev/x", "usr/dev/x"),
        ("opt", "opt/a/x", "optional"),
        ("srv", "srv/x", "srv"),
        ("usrlocal", "usr/local/x", "usr/locale/x"),
        ("varempty", "var/empty/x", "var/emptyx"),
        ("sbom", "var/lib/db/sbom/x", "var/lib/db/sbom/x.spdx.json"),
        ("infodir", "usr/share/info/dir/x", "usr/share/info/directory"),
        ("tempdir", "tmp/x", "usr/tmp/x"),
        ("tempdir", "var/tmp/x", "var/tmpx"),
        ("tempdir", "var/run/x", "var/running"),
        ("tempdir", "run/x", "runs/x"),
        ("usrmerge", "lib64/x", "lib32/x"),
        ("usrmerge", "usr/sbin/x", "usr/sbins/x"),
    ] {
        assert_eq!(paths(linter, "a", &[found]).last(), Some(&format!("    - {found}")), "{linter}");
        assert_eq!(paths(linter, "a", &[other]), [""; 0], "{linter}");
    }
    for linter in ["opt", "srv", "usrlocal"] {
        assert_eq!(paths(linter, "a-compat", &["opt/x", "srv/x", "usr/local/x"]), [""; 0], "{linter}");
    }
}

#[test]
fn names_have_their_linters() {
    for (linter, found, other) in [
        ("libtool/la-files", "usr/lib/x.la", "usr/lib/x.lab"),
        ("dll", "usr/lib/x.dll", "usr/lib/dll"),
        ("dylib", "usr/lib/x.dylib", "usr/lib/x.dylib.1"),
        ("object", "usr/lib/x.o", "usr/lib/x.so"),
        ("staticarchive", "usr/lib/x.a", "usr/lib/x.ar"),
        ("documentation", "usr/x/README", "usr/x/READING"),
        ("documentation", "usr/x/a.1x", "usr/x/a.11"),
        ("maninfo", "usr/local/share/man/man3/x.3.gz", "usr/share/mango/x.3"),
        ("maninfo", "usr/man/man1", "man/man1/x.1"),
        ("maninfo", "usr/share/info/dir", "usr/share/info/x.txt"),
        ("maninfo", "usr/share/info/x.info-2.xz", "usr/share/info/sub/x.info"),
        ("cudaruntimelib", "usr/lib/libnvidia-ml.so.1.2", "usr/lib/libcudart.so.1"),
        ("lddcheck", "opt/libx.so.1.2", "opt/libx.so.1a"),
        ("pkgconf", "usr/share/pkgconfig/x", "usr/lib64/pkgconfig/x.pc"),
    ] {
        assert_eq!(paths(linter, "a", &[found]).last(), Some(&format!("    - {found}")), "{linter}");
        assert_eq!(paths(linter, "a", &[other]), [""; 0], "{linter}");
    }
    for (linter, package) in [("dll", "a-dev"), ("staticarchive", "a-static"), ("maninfo", "a-doc")] {
        assert_eq!(paths(linter, package, &["x.dll", "x.a", "usr/share/info/dir"]), [""; 0], "{linter}");
    }
}

#[test]
fn messages_count() {
    assert_eq!(paths("dll", "a", &["x.dll", "y.dll"])[0], "[dll] a contains 2 DLL files");
    assert_eq!(
        paths("libtool/la-files", "a", &["x.la"])[0],
        "[libtool/la-files] a contains 1 libtool archive (.la) file. Remove them in the build pipeline; if this package \
         legitimately needs to ship .la files, disable this linter via checks.disabled"
    );
}

#[test]
fn configured_tests_silence_their_linters() {
    let facts = package("a", [file("usr/lib/x.so"), file("usr/lib/pkgconfig/x.pc")]);
    let settings = Settings::new(Some(&[]), Some(&named(&["lddcheck", "pkgconf"]))).expect("they are known");
    let messages = |tests: Tests| {
        let findings = lint(&facts, tests, &settings).into_iter();
        findings.map(|finding| finding.message).collect::<Vec<_>>()
    };

    assert_eq!(messages(Tests { is_known: true, has_ldd_check: true, has_pkgconf: true }), [""; 0]);
    assert_eq!(
        messages(Tests::default()),
        [
            "a contains shared objects but missing .melange.yaml",
            "a contains pkgconfig files but missing .melange.yaml"
        ]
    );
}

#[test]
fn directories_below_run_need_a_snippet() {
    let files = [directory("run/x"), file("usr/lib/tmpfiles.d/x.conf")];

    assert_eq!(lines_of("tempdir", "a", files[..1].to_vec()).last().map(String::as_str), Some("    - run/x"));
    assert_eq!(lines_of("tempdir", "a", files), [""; 0]);
}

#[test]
fn what_melange_misses_by_a_defect_only_warns() {
    for (linter, files) in [
        ("usrmerge", vec![file("aaa"), directory("bin"), file("bin/x")]),
        ("usrmerge", vec![directory("usr"), file("usr/aaa"), directory("usr/sbin")]),
        ("infodir", vec![file("usr/share/info/dir")]),
    ] {
        let findings = lint(&package("a", files), Tests::default(), &require(linter));
        assert_eq!(findings.len(), 1, "{linter}");
        assert!(!findings[0].is_required, "{linter}");
    }
}

#[test]
fn the_links_of_a_merged_layout_are_found() {
    let files = [directory("bin"), link("bin/sh", "busybox"), link("lib", "usr/lib")];

    let lines = lines_of("usrmerge", "a", files);

    assert_eq!(lines[1..], ["  bin", "  bin/sh", "  lib", "    - bin", "    - bin/sh", "    - lib"]);
}

#[test]
fn permissions_are_named() {
    let lines = lines_of("setuidgid", "a", [mode("a", 0o6755), mode("b", 0o755), directory("c")]);
    assert_eq!(
        lines,
        [
            "[setuidgid] a contains 1 file with special permissions (setuid/setgid)",
            "    - a (mode: 6755, setuid+setgid)"
        ]
    );
    let lines = lines_of("worldwrite", "a", [mode("a", 0o666), mode("b", 0o777), link("c", "d")]);
    assert_eq!(
        lines,
        [
            "[worldwrite] a contains 2 world-writeable files",
            "    - a (mode: 666) [world-writable]",
            "    - b (mode: 777) [world-writable+executable]"
        ]
    );
}

#[test]
fn other_systems_and_architectures_are_found_in_paths() {
    let found = |linter: &str, path: &str| paths(linter, "a", &[path]).pop();
    for (path, platform) in
        [("usr/MacOS/x", "macos"), ("usr/x-win64", "windows"), ("usr/Darwin-windows", "macos")]
    {
        assert_eq!(found("nonlinux", path), Some(format!("    - {path} ({platform})")));
    }
    assert_eq!(found("nonlinux", "usr/win/x"), None);
    for (path, architecture) in [
        ("usr/ppc64le/x", "ppc64"),
        ("usr/riscv-tools/x", "riscv"),
        ("usr/x.S390X", "s390x"),
        ("usr/a_mips_b", "mips"),
        ("usr/a-m68k.bin", "m68k"),
    ] {
        assert_eq!(found("unsupportedarch", path), Some(format!("    - {path} ({architecture})")));
    }
    for path in ["mips/x", "usr/a-mips_b", "usr/mipsel", "usr/x86_64-i386", "usr/amips"] {
        assert_eq!(found("unsupportedarch", path), None, "{path}");
    }
}

#[test]
fn binaries_are_looked_at_if_they_can_be_run_or_linked() {
    let of = |elf: Result<Elf, Box<str>>| Special { elf: Some(elf), ..Special::default() };
    let unstripped = Elf { is_unstripped: true, ..elf() };
    let program = |path: &str, mode: u32, elf| FileFacts { mode, ..special(path, of(elf)) };

    let strip = |name: &str, file: FileFacts| lines_of("strip", name, [file]).pop();
    assert_eq!(strip("a", program("x", 0o755, Ok(unstripped.clone()))).as_deref(), Some("    - x"));
    assert_eq!(strip("a", program("x.so", 0o644, Ok(unstripped.clone()))).as_deref(), Some("    - x.so"));
    assert_eq!(strip("a", program("x.so.1", 0o644, Ok(unstripped.clone()))), None);
    assert_eq!(strip("a-dbg", program("x", 0o755, Ok(unstripped.clone()))), None);
    assert_eq!(strip("a", program("usr/lib/debug/x", 0o755, Ok(unstripped))), None);
    assert_eq!(
        strip("a", program("x", 0o755, Err("unexpected EOF".into()))).as_deref(),
        Some(r#"[strip] could not open file "x" as executable: unexpected EOF"#)
    );
    let empty = lines_of("empty", "a", [directory("usr"), file("var/lib/db/sbom/a.spdx.json")]);
    assert_eq!(empty, ["[empty] package is empty but no-provides is not set"]);
}

#[test]
fn names_of_python_packages_have_no_extension() {
    let modules = ["a", "a.cpython-312-x86_64-linux-gnu.so", "b.py", "_c", "d.dist-info", "tests", ".e"];
    let files = modules.map(|name| file(&format!("usr/lib/python3.12/site-packages/{name}")));
    let lines = lines_of("python/multiple", "a", [directory("usr/lib/python3.12")].into_iter().chain(files));

    assert_eq!(lines[0], r#"[python/multiple] multiple Python packages detected: 2 found ("a", "b")"#);
    assert_eq!(lines[1..], [r#"    - "a""#, r#"    - "b""#]);
}

#[test]
fn duplicates_have_the_same_name_and_content() {
    let of = |path: &str, digest: u8, size: u64| FileFacts {
        kind: Kind::Regular { sha1: Some([digest; 20]) },
        size,
        ..file(path)
    };
    let linked = FileFacts { kind: Kind::HardLink { sha1: Some([1; 20]) }, size: 2048, ..file("e/x") };
    let files = vec![
        of("a/x", 1, 2048),
        of("b/x", 1, 2048),
        of("c/x", 2, 2048),
        of("d/y", 1, 2048),
        linked,
        of("a/small", 3, 1023),
        of("b/small", 3, 1023),
        of("a/LICENSE-MIT.txt", 4, 5000),
        of("b/LICENSE-MIT.txt", 4, 5000),
        of("a/big", 5, 12_345_678),
        of("b/big", 5, 12_345_678),
    ];

    assert_eq!(
        lines_of("duplicate", "a", files),
        [
            "[duplicate] a contains 2 duplicate file(s) with same name in different directories (wasting 12 MB total):",
            "    2 copies of 'big' (12 MB each, wasting 12 MB):",
            "      a/big",
            "      b/big",
            "    2 copies of 'x' (2.0 kB each, wasting 2.0 kB):",
            "      a/x",
            "      b/x",
            "    - big (2 copies, 12 MB wasted)",
            "    - x (2 copies, 2.0 kB wasted)"
        ]
    );
}

#[test]
fn long_lists_are_cut_and_counted() {
    let many: Vec<FileFacts> = (0..5000).map(|number| file(&format!("opt/{number}\n"))).collect();
    let findings = lint(&package("a", many), Tests::default(), &require("opt"));

    let lines = findings[0].log_lines();
    assert_eq!(lines.len(), 2 + 100 + 1);
    assert_eq!((lines[2].as_str(), lines[102].as_str()), (r"    - opt/0\n", "    … and 1900 more"));
    let document = results("a-1-r0", &findings).expect("it is JSON").expect("it has findings");
    let document: serde_json::Value = serde_json::from_str(&document).expect("it is JSON");
    let listed = document["findings"]["opt"][0]["details"]["paths"].as_array().expect("it is a list");
    assert_eq!(listed.len(), 2000);
}
