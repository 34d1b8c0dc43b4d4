//! `kiln image ls`.

use anyhow::Result;

use crate::{
    exit::Code,
    image::{Image, Store},
    report,
};

/// Prints the images, as a table or as JSON.
pub(super) fn run(store: &Store, json: bool) -> Result<Code> {
    let images = store.list()?;
    if json {
        let rows: Vec<_> = images.iter().map(row).collect();
        return report::print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
    }
    if images.is_empty() {
        return report::print("the store has no images\n");
    }
    let mut text = String::new();
    for image in &images {
        text += &format!(
            "{}  {:>8} MiB  {}\n",
            &image.key.as_str()[..12],
            image.bytes >> 20,
            image.record.recipe
        );
    }
    report::print(&text)
}

fn row(image: &Image) -> serde_json::Value {
    serde_json::json!({
        "key": image.key.as_str(),
        "image": image.record.recipe.to_string(),
        "bytes": image.bytes,
        "path": image.path,
        "made": image.record.made,
        "packages": image.record.packages,
    })
}
