//! The semantics of shares, tested inside the guest: [`pjdfstest`] for names and attributes, [`fsx`] for content, [`probes`] for what
//! tools do, and [`many`] for what kiln's own device holds.
//!
//! Each runs on each share with each policy ([`share`]), and on what shares are compared with: the guest's own disk, and binds. What
//! fails stands in tables, with its cause ([`expected`]); `docs/filesystems.md` says the same to users.

mod expected;
mod fsx;
mod many;
mod pjdfstest;
mod probes;
mod run;
mod share;
mod tools;

#[test]
fn the_page_says_why_each_deviation_is_there() {
    let page = include_str!("../../../docs/filesystems.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let tables = pjdfstest::TABLE.iter().chain(probes::TABLE).map(|deviation| deviation.cause);
    for cause in tables.chain(fsx::causes()) {
        assert!(page.contains(cause.sentence()), "docs/filesystems.md does not say: {}", cause.sentence());
    }
}
