//! A recipe as melange prints it: the names and the order of its keys, empty values left out as Go leaves them out.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{
    printed,
    recipe::{Condition, Recipe, Step, Subpackage, Test},
};
use crate::manifest::{Assertions, Map, Needs, Text};

impl Recipe {
    /// The compiled configuration in one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers, lists and maps with text keys are all JSON")
    }
}

impl Serialize for Recipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object::new(serializer, "Configuration")?;
        object.always("package", &self.package)?;
        object.always("environment", &self.environment)?;
        object.always("capabilities", &self.capabilities)?;
        object.list("pipeline", &self.steps)?;
        object.list("subpackages", &self.subpackages)?;
        object.always("update", &self.update)?;
        object.map("vars", &self.vars)?;
        object.list("var-transforms", &self.var_transforms)?;
        if !self.options.0.is_empty() {
            object.always("options", &self.options)?;
        }
        object.some("test", self.test.as_ref())?;
        object.end()
    }
}

impl Serialize for Subpackage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object::new(serializer, "Subpackage")?;
        object.condition(&self.condition)?;
        object.always("name", &self.name)?;
        object.list("pipeline", &self.steps)?;
        object.always("dependencies", &self.dependencies)?;
        object.some("options", self.options.as_ref())?;
        object.some("scriptlets", self.scriptlets.as_ref())?;
        object.text("description", &self.description)?;
        object.map("annotations", &self.annotations)?;
        object.text("url", &self.url)?;
        object.text("commit", &self.commit)?;
        object.always("checks", &self.checks)?;
        object.some("test", self.test.as_ref())?;
        object.end()
    }
}

impl Serialize for Test {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object::new(serializer, "Test")?;
        object.always("environment", &self.environment)?;
        object.always("pipeline", &self.steps)?;
        object.end()
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Object::new(serializer, "Pipeline")?;
        object.condition(&self.condition)?;
        object.text("name", &self.name)?;
        object.text("uses", &self.uses)?;
        object.map("with", &self.with)?;
        let script = printed::script(&self.script);
        object.some("runs", Some(&script).filter(|script| !script.is_empty()))?;
        object.list("pipeline", &self.steps)?;
        object.some("needs", self.needs.as_ref())?;
        object.text("label", &self.label)?;
        object.some("assertions", self.assertions.as_ref())?;
        object.text("working-directory", &self.working_directory)?;
        object.map("environment", &self.environment)?;
        object.end()
    }
}

impl Serialize for Needs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Go's field has no name of its own in JSON.
        BTreeMap::from([("Packages", &self.packages)]).serialize(serializer)
    }
}

impl Serialize for Assertions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BTreeMap::from([("required-steps", self.required_steps)]).serialize(serializer)
    }
}

/// A JSON object whose empty members are left out.
struct Object<S: Serializer>(S::SerializeStruct);

impl<S: Serializer> Object<S> {
    fn new(serializer: S, name: &'static str) -> Result<Self, S::Error> {
        // serde_json closes a struct of no members at once; how many there are it does not ask otherwise.
        serializer.serialize_struct(name, 1).map(Self)
    }

    fn always<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
        self.0.serialize_field(key, value)
    }

    fn some<T: Serialize>(&mut self, key: &'static str, value: Option<&T>) -> Result<(), S::Error> {
        value.map_or(Ok(()), |value| self.always(key, value))
    }

    fn text(&mut self, key: &'static str, value: &Text) -> Result<(), S::Error> {
        self.some(key, Some(value).filter(|value| !value.is_empty()))
    }

    fn list<T: Serialize>(&mut self, key: &'static str, value: &Vec<T>) -> Result<(), S::Error> {
        self.some(key, Some(value).filter(|value| !value.is_empty()))
    }

    fn map(&mut self, key: &'static str, value: &Map) -> Result<(), S::Error> {
        self.some(key, Some(value).filter(|value| !value.is_empty()))
    }

    fn condition(&mut self, condition: &Condition) -> Result<(), S::Error> {
        let text = Some(condition.text()).filter(|text| !text.is_empty());
        self.some("if", text.as_ref())
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}
