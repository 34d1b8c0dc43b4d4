//! A list of those that break a rule today. It only becomes shorter.

use std::collections::BTreeSet;

/// Fails if one breaks the rule that is not in the list, or if one of the list no longer breaks it.
pub(crate) fn check(rule: &str, found: &BTreeSet<String>, exceptions: &[&str]) {
    assert!(exceptions.is_sorted(), "{rule}: the list of exceptions is not sorted");
    let listed: BTreeSet<String> = exceptions.iter().map(|&name| name.to_owned()).collect();
    let lines = |names: Vec<&String>| names.iter().map(|name| format!("\n  {name}")).collect::<String>();
    let new = lines(found.difference(&listed).collect());
    let done = lines(listed.difference(found).collect());
    assert!(new.is_empty(), "{rule}: these break it:{new}");
    assert!(done.is_empty(), "{rule}: these no longer break it, so take them from the list:{done}");
}
