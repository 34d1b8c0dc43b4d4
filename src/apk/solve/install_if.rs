//! Packages that are installed because others are: `install_if`.

use std::collections::HashMap;

use super::{
    super::constraint::Constraint,
    packages::{Id, Packages},
};

/// Adds the packages whose conditions are all among the dependencies of one request. `names` has the packages of `list` by name.
///
/// The dependencies of an added package are not looked for, as in apko. An added package may be the condition of a further one.
///
/// # Errors
/// That of `charge`, which counts the work: an index may have so many conditions that looking at them takes too long. `accepts` is
/// asked last, and may refuse a package.
pub(super) fn extend<'a, E>(
    packages: &Packages<'a>,
    list: &mut Vec<Id>,
    mut names: HashMap<&'a str, Id>,
    charge: &mut dyn FnMut(usize) -> Result<(), E>,
    accepts: &mut dyn FnMut(Id) -> bool,
) -> Result<(), E> {
    let mut at = 0;
    while let Some(trigger) = list.get(at).map(|id| packages.get(*id).record) {
        at += 1;
        let with_version = || packages.installed_if(&format!("{}={}", trigger.name, trigger.version));
        let Some(conditional) = packages.installed_if(trigger.name).or_else(with_version) else { continue };
        for id in conditional {
            let record = packages.get(*id).record;
            // Each condition is looked up: that takes longer than reading a list.
            charge(1 + record.install_if.0.len())?;
            let holds = |condition: &str| {
                let constraint = Constraint::parse(condition);
                let has_version = |id: &Id| packages.get(*id).record.version == constraint.version.as_ref();
                names.contains_key(condition) || names.get(constraint.name).is_some_and(has_version)
            };
            if !names.contains_key(record.name) && record.install_if.iter().all(holds) && accepts(*id) {
                names.insert(record.name, *id);
                list.push(*id);
            }
        }
    }
    Ok(())
}
