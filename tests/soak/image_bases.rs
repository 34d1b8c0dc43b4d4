//! A root of Debian that is made from another one has what one from nothing has, and none is made from a damaged one. It takes
//! minutes and the network of a mirror, so that `cargo soak image_bases` alone does it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{place::Place, sampling::Sampler};

const BASE: &str = "debian:bookworm";
const MORE: &str = "debian:bookworm+less";

/// A place whose images are its own.
fn place() -> Place {
    let place = Place::new();
    let images = place.root().join("home/images");
    fs::remove_file(&images).unwrap();
    fs::create_dir(images).unwrap();
    place
}

/// Makes an image: its directory, and what was said.
fn made(place: &Place, image: &str) -> (PathBuf, String) {
    let output = place.kiln().args(["image", "build", "--progress", "plain", image]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let all = format!("{}{said}", String::from_utf8_lossy(&output.stdout));
    let path = all.split(&format!("{image} is /")).nth(1).expect("the path of the image");
    let path = format!("/{}", path.split(" (").next().unwrap_or_default());
    (Path::new(&path).parent().unwrap().into(), said)
}

fn record(image: &Path) -> Value {
    serde_json::from_reader(File::open(image.join("image.json")).unwrap()).unwrap()
}

#[test]
fn a_root_from_another_one_is_that_from_nothing() {
    let (sampler, cases) = Sampler::of("image_bases", vec![()], 0);
    for () in cases {
        let (extended, whole) = (place(), place());
        let (base, _) = made(&extended, BASE);
        let (one, said) = made(&extended, MORE);
        assert!(said.contains("it is made from debian:bookworm") && !said.contains("from nothing"), "{said}");
        let (other, said) = made(&whole, MORE);
        assert!(!said.contains("it is made from"), "{said}");
        let (one_record, other_record) = (record(&one), record(&other));
        for key in ["recipe", "packages", "in_release"] {
            assert_eq!(one_record[key], other_record[key], "{key}");
        }
        assert_eq!(one.file_name(), other.file_name(), "the key is the same");
        sampler.say("the same packages");

        fs::remove_dir_all(&one).unwrap();
        let file = base.join("root.erofs");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let mut image = OpenOptions::new().read(true).write(true).open(&file).unwrap();
        let mut byte = [0];
        image.seek(SeekFrom::Start(1 << 20)).and_then(|_| image.read_exact(&mut byte)).unwrap();
        image.seek(SeekFrom::Start(1 << 20)).and_then(|_| image.write_all(&[!byte[0]])).unwrap();
        let (again, said) = made(&extended, MORE);
        assert!(said.contains("is damaged") && said.contains("it is made from nothing"), "{said}");
        assert_eq!(record(&again)["packages"], other_record["packages"]);
        sampler.say("a damaged base was noticed");
    }
}
