//! A root that kiln has composed of packages, in a container.

use std::path::Path;

use super::{apk_repository::BUSYBOX, composed_root, skip, world};

#[test]
fn linux_sees_what_the_package_has() {
    let Some(_) = world::daemon() else { return };
    if !Path::new(BUSYBOX).exists() {
        return skip::skip("there is no busybox for a root");
    }
    let place = world::Place::new();
    composed_root::write(&place.project());
    let output = place.build("root", &[&composed_root::look()], &composed_root::FLAGS);
    composed_root::check(&output);
    assert_eq!(place.left(), Vec::<String>::new());
}
