//! The packages of all repositories, found by the names that they have and provide.

use std::{cell::OnceCell, collections::HashMap};

use super::super::{
    constraint::Constraint,
    index::{Index, Record},
    version::Version,
};

/// A repository, as the resolver sees it.
#[derive(Debug, Clone, Copy)]
pub struct Repository<'a> {
    /// Its URL or path: two with the same have the same packages.
    pub url: &'a str,
    /// The tag in front of its URL, without the `@`. Its packages are candidates only of requests with the same tag.
    pub tag: Option<&'a str>,
    /// Its packages.
    pub index: &'a Index<'a>,
}

/// A package of one of the repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(usize);

/// A package with its repository.
pub(super) struct Package<'a> {
    pub(super) record: &'a Record<'a>,
    /// The place of its repository in the list.
    pub(super) repository: usize,
    /// The tag of its repository; empty if it has none.
    pub(super) tag: &'a str,
    url: &'a str,
    version: OnceCell<Option<Version>>,
}

impl Package<'_> {
    /// The version, taken apart when it is first asked for; `None` if it is invalid.
    pub(super) fn version(&self) -> Option<&Version> {
        self.version.get_or_init(|| Version::parse(self.record.version)).as_ref()
    }

    /// Whether both are fetched from the same place.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        let key = |package: &Self| (package.record.name.len(), package.record.version.len());
        self.url == other.url
            && key(self) == key(other)
            && self.record.name == other.record.name
            && self.record.version == other.record.version
    }
}

/// All packages.
pub(super) struct Packages<'a> {
    packages: Vec<Package<'a>>,
    by_name: HashMap<&'a str, List>,
    /// The elements of all lists: a package, and the place of the next element of the same list. A vector for each of a million
    /// names would take longer than a whole run.
    elements: Vec<(Id, usize)>,
    /// The packages that are installed when others are, by the texts of their conditions.
    install_if: HashMap<&'a str, Vec<Id>>,
}

/// The places of the first and the last element.
#[derive(Clone, Copy)]
struct List {
    first: usize,
    last: usize,
}

/// The end of a list.
const END: usize = usize::MAX;

impl<'a> Packages<'a> {
    /// Reads the names of all packages: those named so come before those that provide a name, packages of one name
    /// together.
    pub(super) fn new(repositories: &'a [Repository<'a>]) -> Self {
        let count = repositories.iter().map(|repository| repository.index.records.len()).sum();
        let mut this = Self {
            packages: Vec::with_capacity(count),
            by_name: HashMap::with_capacity(count.saturating_mul(2)),
            elements: Vec::with_capacity(count.saturating_mul(4)),
            install_if: HashMap::new(),
        };
        for (repository, Repository { url, tag, index }) in repositories.iter().enumerate() {
            for record in &index.records {
                let id = Id(this.packages.len());
                let tag = tag.unwrap_or_default();
                this.packages.push(Package { record, repository, tag, url, version: OnceCell::new() });
                this.add(record.name, id);
                for condition in record.install_if.iter() {
                    this.install_if.entry(condition).or_default().push(id);
                }
            }
        }
        for id in this.grouped() {
            let provides = this.get(id).record.provides;
            for provide in provides.iter() {
                this.add(Constraint::name_of(provide), id);
            }
        }
        this
    }

    /// All packages, those of one name together, while only their own names are known. The order of names is that of the indexes;
    /// apko has none.
    fn grouped(&self) -> Vec<Id> {
        let mut order = Vec::with_capacity(self.packages.len());
        for (at, package) in self.packages.iter().enumerate() {
            let name = package.record.name;
            if self.providers(name).next() == Some(Id(at)) {
                order.extend(self.providers(name));
            }
        }
        order
    }

    fn add(&mut self, name: &'a str, id: Id) {
        let at = self.elements.len();
        self.elements.push((id, END));
        let list = self.by_name.entry(name).or_insert(List { first: at, last: at });
        if list.last != at {
            if let Some((_, next)) = self.elements.get_mut(list.last) {
                *next = at;
            }
            list.last = at;
        }
    }

    /// All packages.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = Id> + use<> {
        (0..self.packages.len()).map(Id)
    }

    /// The number of packages.
    pub(super) fn len(&self) -> usize {
        self.packages.len()
    }

    /// A package.
    pub(super) fn get(&self, id: Id) -> &Package<'a> {
        self.packages.get(id.0).expect("only this module makes ids, one for each package")
    }

    /// The place of a package in a list with an element for each.
    pub(super) fn place(id: Id) -> usize {
        id.0
    }

    /// The packages that have or provide a name: one that does both is there twice.
    pub(super) fn providers(&self, name: &str) -> impl Iterator<Item = Id> {
        let mut at = self.by_name.get(name).map_or(END, |list| list.first);
        std::iter::from_fn(move || {
            let &(id, next) = self.elements.get(at)?;
            at = next;
            Some(id)
        })
    }

    /// Whether a package has or provides a name.
    pub(super) fn is_known(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The packages that have this text, `name` or `name=version`, among their conditions.
    pub(super) fn installed_if(&self, condition: &str) -> Option<&[Id]> {
        self.install_if.get(condition).map(Vec::as_slice)
    }

    /// All names that packages have or provide, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().copied()
    }
}
