//! A root that kiln has composed of packages, in a microVM, by each kind of share.

use super::{composed_root, home_of_its_own, project, with_cache};

#[test]
fn linux_sees_what_the_package_has() {
    for virtiofs in [false, true] {
        let directory = project("root", &[&composed_root::look()]);
        composed_root::write(directory.path());
        let home = home_of_its_own();
        let mut command = with_cache(directory.path(), "cache");
        if virtiofs {
            command.env("QEMU_USE_VIRTIOFS", "1");
        }
        let command = command.args(composed_root::FLAGS).env("KILN_HOME", home.path());
        composed_root::check(&command.output().expect("kiln can be started"));
    }
}
