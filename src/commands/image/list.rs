//! `kiln image ls`.

use anyhow::Result;

use crate::{
    backend::qemu::template::{Listed, Templates},
    exit::Code,
    image::{Image, PackageUsage, Store},
    report,
};

/// Prints the images and templates, as a table or as JSON.
pub(super) fn run(store: &Store, templates: &Templates, json: bool) -> Result<Code> {
    let (images, templates, packages) = (store.list()?, templates.list()?, store.packages()?);
    if json {
        let rows = images.iter().map(row).chain(templates.iter().map(template_row));
        let rows: Vec<_> = rows.chain(packages_row(packages)).collect();
        return report::print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
    }
    if images.is_empty() && templates.is_empty() && packages == PackageUsage::default() {
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
    for Listed { key, description, bytes, is_current, .. } in &templates {
        let state = if *is_current { "" } else { ", of an earlier boot of this host" };
        text += &format!("{}  {:>8} MiB  template: {description}{state}\n", &key[..12], bytes >> 20);
    }
    if packages != PackageUsage::default() {
        let PackageUsage { packages, bytes } = packages;
        text += &format!("{:12}  {:>8} MiB  {packages} packages of apk's repositories\n", "", bytes >> 20);
    }
    report::print(&text)
}

fn packages_row(usage: PackageUsage) -> Option<serde_json::Value> {
    let PackageUsage { packages, bytes } = usage;
    (packages > 0).then(|| serde_json::json!({"kind": "packages", "packages": packages, "bytes": bytes}))
}

fn template_row(template: &Listed) -> serde_json::Value {
    let Listed { key, description, bytes, is_current, .. } = template;
    serde_json::json!({
        "kind": "template",
        "key": key,
        "template": description,
        "bytes": bytes,
        "current": is_current,
    })
}

fn row(image: &Image) -> serde_json::Value {
    serde_json::json!({
        "kind": "image",
        "key": image.key.as_str(),
        "image": image.record.recipe.to_string(),
        "bytes": image.bytes,
        "path": image.path,
        "made": image.record.made,
        "packages": image.record.packages,
    })
}
