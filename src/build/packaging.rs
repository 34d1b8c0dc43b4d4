//! The form of a build's packages: what they say besides their files.

use crate::{
    apk::SigningKey,
    engine::Injected,
    package::{ApkForm, Form},
    plan::{PackageFormat, Plan},
};

/// The form of the packages of a plan.
pub(super) fn form(plan: &Plan, injected: &Injected, key: Option<SigningKey>) -> Form {
    match plan.metadata.format() {
        PackageFormat::TarZst => Form::TarZst,
        PackageFormat::Apk => {
            let hide = |text: &str| injected.hide(plan, text);
            let form = ApkForm::new(&plan.metadata, &plan.image.locked(), key, &hide);
            let is_versioned = plan.metadata.options.library_versions.is_yes();
            let library_versions = is_versioned.then(|| plan.image.library_versions());
            Form::Apk(ApkForm { library_versions, ..form }.into())
        }
    }
}
