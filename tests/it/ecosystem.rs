//! The pages of `examples/` and the README agree with the table of package managers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory;
use kiln::{
    cli::Cli,
    ecosystem::{CACHE, ECOSYSTEMS, Ecosystem, Kind, always, on_request},
};

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names of files, in code, of the paragraph that begins with this.
fn names<'p>(page: &'p str, begin: &str) -> Vec<&'p str> {
    let paragraph = page.split("\n\n").find(|paragraph| paragraph.starts_with(begin));
    let code = paragraph.unwrap_or_else(|| panic!("no {begin}\n{page}")).split('`').skip(1).step_by(2);
    // Options are no files.
    code.filter(|word| !word.starts_with("--")).collect()
}

/// A pattern as a page writes it.
fn shown(pattern: &str) -> &str {
    pattern.strip_prefix("**/").unwrap_or(pattern)
}

fn check(ecosystem: &Ecosystem, page: &str) {
    let Ecosystem { name, variables, directory, keeps, junk, rewritten, .. } = ecosystem;
    for (variable, value) in *variables {
        assert!(page.contains(&format!("`{variable}={value}`")), "{name}: {variable}");
    }
    assert!(page.contains(&format!("{CACHE}/{directory}`")), "{name}: {directory}");
    let (kept, not_kept) = (names(page, "**Kept**"), names(page, "**Not kept**"));
    let is_junk = |word: &&&str| ecosystem.kind(Path::new(word)) == Kind::Junk;
    assert_eq!(kept.iter().filter(is_junk).count(), 0, "{name} is said to keep some of {kept:?}");
    let said = not_kept.iter().filter(is_junk).count();
    assert_eq!(said, not_kept.len(), "{name} is said not to keep some of {not_kept:?}");
    for pattern in keeps.iter().chain(*rewritten) {
        assert!(kept.contains(&shown(pattern)), "{name}: {pattern} is not among {kept:?}");
    }
    for pattern in *junk {
        assert!(not_kept.contains(&shown(pattern)), "{name}: {pattern} is not among {not_kept:?}");
    }
}

#[test]
fn the_pages_of_examples_say_what_the_table_says() {
    for ecosystem in always() {
        check(ecosystem, &text(&format!("examples/{}/README.md", ecosystem.name)));
    }
}

#[test]
fn the_readme_and_the_page_of_the_cache_name_all_of_the_table() {
    let readme = text("README.md");
    for ecosystem in always() {
        assert!(readme.contains(&format!("](examples/{})", ecosystem.name)), "{}", ecosystem.name);
    }
    let page = text("docs/cache.md");
    let list = page.split_once("`--cache-also LIST` leads more tools to it:").unwrap().1;
    let list = list.split_once(". ").unwrap().0.replace(" (with the package `ccache`)", "");
    let mut command = Cli::command();
    let build = command.find_subcommand_mut("build").unwrap();
    let flag = build.get_arguments().find(|argument| argument.get_id() == "cache_also").unwrap();
    let help = flag.get_help().unwrap().to_string();
    let help = help.split_once(": ").unwrap().1;
    let known: Vec<&str> = on_request().map(|ecosystem| ecosystem.name).collect();
    for (place, list) in [("docs/cache.md", &*list), ("--help", help)] {
        let said: Vec<&str> = list.split(',').map(str::trim).collect();
        assert_eq!(said, known, "{place}");
    }
}

#[test]
fn a_page_that_differs_is_found() {
    let npm = ECOSYSTEMS.iter().find(|ecosystem| ecosystem.name == "npm").unwrap();
    let page = text("examples/npm/README.md");
    for (from, to) in [
        ("=/var/cache/melange/npm", "=/var/cache/melange/other"),
        ("(`_cacache`)", "(`_cacache`, `_logs`)"),
        ("(`_cacache`)", ""),
        ("(`_npx`)", "(`_npx`, `_cacache/content-v2`)"),
        ("(`_npx`)", ""),
    ] {
        let other = page.replace(from, to);
        assert!(std::panic::catch_unwind(|| check(npm, &other)).is_err(), "{from} {to}");
    }
}

/// Where a link of a page leads: a file, and a heading in it.
fn links(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .map(|target| target.split_once('#').unwrap_or((target, "")))
}

/// A heading as a forge names it in links.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || " -".contains(*char));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> =
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "images/README.md"].map(PathBuf::from).into();
    pages.extend(below(root, "docs"));
    pages.extend(always().map(|tool| format!("examples/{}/README.md", tool.name).into()));
    assert!(pages.len() > 15, "{pages:?}");
    for page in &pages {
        let text = text(&page.display().to_string());
        for (file, heading) in links(&text) {
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(root.join(&target).exists(), "{}: {file}", page.display());
            if !heading.is_empty() {
                let there = fs::read_to_string(root.join(&target)).unwrap();
                let known = there
                    .lines()
                    .any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading);
                assert!(known, "{}: {file}#{heading}", page.display());
            }
        }
    }
}

/// The pages in a directory.
fn below(root: &Path, directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().file_name());
    let pages = entries.map(|name| Path::new(directory).join(name));
    pages.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

#[test]
fn a_link_that_leads_nowhere_is_seen() {
    let page = "see [a](b.md), [c](d/e.md#f-g) and [h](https://x/y#z) or [i](#j)";
    assert_eq!(links(page).collect::<Vec<_>>(), [("b.md", ""), ("d/e.md", "f-g"), ("", "j")]);
    assert_eq!(anchor(" When something goes wrong, `x`"), "when-something-goes-wrong-x");
}
