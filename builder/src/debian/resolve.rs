//! From the packages that are asked for to all that they need.
//!
//! No backtracking, so that the outcome can be read off the rules: what is asked for is chosen first; then every
//! need with only one answer; then, one by one, the needs with several. Of several answers one that is chosen
//! already wins, then the first in the order of the relation (providers: by priority, then name) that does not
//! clash with what is chosen. Recommends are not looked at. A need whose answer would be an excluded package
//! counts as met: the image does without it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use ashlar_config::nearest::nearest;

use super::index::{Candidate, Index};
use super::relation::{self, Relation};
use super::version::Version;

/// What is asked for.
pub struct Wish<'a> {
    /// Packages by name.
    pub names: BTreeSet<&'a str>,
    /// Packages to do without.
    pub exclude: BTreeSet<&'a str>,
    /// Debian's name of the architecture.
    pub arch: &'a str,
}

/// A package that is needed, and which ones it needs itself.
pub struct Selected<'a> {
    /// The package.
    pub candidate: &'a Candidate<'a>,
    /// Names of packages in the same selection.
    pub depends: BTreeSet<&'a str>,
}

/// The packages do not go together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has such a package.
    #[error("find package {name}: the suite has none of that name{}", suggestion(.nearest.as_deref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// Several packages could be meant.
    #[error("find package {name}: it is a virtual one; name one of {providers} instead")]
    Virtual {
        /// What was asked for.
        name: String,
        /// Who provides it.
        providers: String,
    },
    /// Asked for and excluded.
    #[error("select package {0}: it is both asked for and excluded")]
    Contradiction(String),
    /// A need that nothing meets.
    #[error("resolve {chain}: needs {need}, but {offer}")]
    Unsatisfiable {
        /// From what was asked for to what has the need.
        chain: String,
        /// The need.
        need: String,
        /// What there is instead.
        offer: String,
    },
    /// Two packages that do not go together.
    #[error("combine {} with {}: {}", .0.one.0, .0.other.0, .0)]
    Conflict(Box<Conflict>),
    /// A relation does not read.
    #[error("read the relations of package {package}")]
    Relation {
        /// Whose.
        package: String,
        /// What is wrong.
        source: relation::Error,
    },
}

/// One package refuses another; each with the chain by which it came in.
#[derive(Debug)]
pub struct Conflict {
    one: (String, String),
    other: (String, String),
    verb: &'static str,
    relation: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { one: (one, one_chain), other: (other, other_chain), verb, relation } = self;
        write!(f, "{one} {verb} {relation} ({one} is there for {one_chain}, {other} for {other_chain})")
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default()
}

/// Selects what a wish needs, sorted by name.
///
/// # Errors
/// An unknown package, a need that nothing meets, or two packages that do not go together.
pub fn select<'a>(index: &'a Index<'a>, wish: &Wish<'a>) -> Result<Vec<Selected<'a>>, Error> {
    let mut solver = Solver::new(index, wish);
    for name in &wish.names {
        let candidate = solver.asked_for(name)?;
        solver.choose(candidate, None)?;
    }
    while let Some(need) = solver.clear.pop_front().or_else(|| solver.open.pop_front()) {
        solver.settle(&need)?;
    }
    solver.check_refusals()?;
    let chosen = solver.chosen.into_values();
    Ok(chosen.map(|chosen| Selected { candidate: chosen.candidate, depends: chosen.depends }).collect())
}

struct Solver<'a, 'w> {
    index: &'a Index<'a>,
    wish: &'w Wish<'a>,
    chosen: BTreeMap<&'a str, Chosen<'a>>,
    /// Needs with one answer.
    clear: VecDeque<Need<'a>>,
    /// Needs with several; later choices may answer them.
    open: VecDeque<Need<'a>>,
}

struct Chosen<'a> {
    candidate: &'a Candidate<'a>,
    because: Option<&'a str>,
    depends: BTreeSet<&'a str>,
    refuses: Vec<(&'static str, Relation<'a>)>,
}

struct Need<'a> {
    by: &'a str,
    alternatives: Vec<Relation<'a>>,
}

impl<'a, 'w> Solver<'a, 'w> {
    fn new(index: &'a Index<'a>, wish: &'w Wish<'a>) -> Self {
        Self { index, wish, chosen: BTreeMap::new(), clear: VecDeque::new(), open: VecDeque::new() }
    }

    fn asked_for(&self, name: &str) -> Result<&'a Candidate<'a>, Error> {
        if self.wish.exclude.contains(name) {
            return Err(Error::Contradiction(name.to_owned()));
        }
        if let Some(candidate) = self.index.get(name) {
            return Ok(candidate);
        }
        let providers: Vec<_> = self.index.providers(name).iter().map(|provider| provider.package).collect();
        if providers.is_empty() {
            let nearest = nearest(name, self.index.names()).map(str::to_owned);
            return Err(Error::Unknown { name: name.to_owned(), nearest });
        }
        Err(Error::Virtual { name: name.to_owned(), providers: providers.join(", ") })
    }

    fn choose(&mut self, candidate: &'a Candidate<'a>, because: Option<&'a str>) -> Result<(), Error> {
        for alternatives in groups_of(candidate.name, candidate.needs)? {
            let alternatives: Vec<_> = alternatives.into_iter().filter(|need| need.is_for(self.wish.arch)).collect();
            let is_clear = matches!(&alternatives[..], [only] if self.index.get(only.name).is_some());
            let queue = if is_clear { &mut self.clear } else { &mut self.open };
            queue.push_back(Need { by: candidate.name, alternatives });
        }
        let [conflicts, breaks] = candidate.refuses;
        let mut refuses = Vec::new();
        for (verb, field) in [("conflicts with", conflicts), ("breaks", breaks)] {
            let relations = groups_of(candidate.name, [field, ""])?.into_iter().flatten();
            refuses.extend(relations.filter(|other| other.is_for(self.wish.arch)).map(|other| (verb, other)));
        }
        self.chosen.insert(candidate.name, Chosen { candidate, because, depends: BTreeSet::new(), refuses });
        Ok(())
    }

    fn settle(&mut self, need: &Need<'a>) -> Result<(), Error> {
        let chosen = |name: &&str| self.chosen.contains_key(name);
        let already = need.alternatives.iter().find_map(|relation| self.answers(relation).into_iter().find(chosen));
        let answer = match already {
            Some(name) => name,
            None => match self.pick(need)? {
                Some(candidate) => {
                    self.choose(candidate, Some(need.by))?;
                    candidate.name
                }
                None => return Ok(()),
            },
        };
        if let Some(by) = self.chosen.get_mut(need.by).filter(|_| answer != need.by) {
            by.depends.insert(answer);
        }
        Ok(())
    }

    /// The package that answers a need; None where the image does without it.
    fn pick(&self, need: &Need<'a>) -> Result<Option<&'a Candidate<'a>>, Error> {
        let mut first = None;
        for relation in &need.alternatives {
            if self.wish.exclude.contains(relation.name) {
                return Ok(None);
            }
            for name in self.answers(relation) {
                if self.wish.exclude.contains(name) {
                    return Ok(None);
                }
                let candidate = self.index.get(name);
                if candidate.is_some_and(|candidate| !self.clashes(candidate)) {
                    return Ok(candidate);
                }
                first = first.or(candidate);
            }
        }
        // All clash: take the first, so that the error names the two.
        match first {
            None if !need.alternatives.is_empty() => Err(self.unsatisfiable(need)),
            first => Ok(first),
        }
    }

    /// Names of packages that answer a relation, the real one first.
    fn answers(&self, relation: &Relation<'a>) -> Vec<&'a str> {
        let real = self.index.get(relation.name).filter(|real| relation.admits(&real.version)).map(|real| real.name);
        let providers = self.index.providers(relation.name).iter();
        let stands_in = providers.filter(|provider| stands_in(relation, provider.version.as_ref()));
        real.into_iter().chain(stands_in.map(|provider| provider.package)).collect()
    }

    fn clashes(&self, candidate: &'a Candidate<'a>) -> bool {
        let refused = |chosen: &Chosen<'a>| chosen.refuses.iter().any(|(_, other)| self.hits(other, candidate.name));
        let [conflicts, breaks] = candidate.refuses.map(|field| relation::groups(field).unwrap_or_default());
        let mut refuses = conflicts.iter().chain(&breaks).flatten();
        let refuses_chosen = |other: &Relation<'a>| {
            self.answers(other).iter().any(|name| *name != candidate.name && self.chosen.contains_key(name))
        };
        self.chosen.values().any(refused) || refuses.any(refuses_chosen)
    }

    fn hits(&self, relation: &Relation<'a>, name: &str) -> bool {
        self.answers(relation).contains(&name)
    }

    fn check_refusals(&self) -> Result<(), Error> {
        for (one, chosen) in &self.chosen {
            for (verb, relation) in &chosen.refuses {
                let answers = self.answers(relation);
                let mut refused = answers.iter().filter(|name| *name != one && self.chosen.contains_key(*name));
                if let Some(other) = refused.next() {
                    let came = |name: &str| (name.to_owned(), self.chain(name));
                    let (one, other, relation) = (came(one), came(other), relation.to_string());
                    return Err(Error::Conflict(Box::new(Conflict { one, other, verb, relation })));
                }
            }
        }
        Ok(())
    }

    fn unsatisfiable(&self, need: &Need<'a>) -> Error {
        let wanted: Vec<_> = need.alternatives.iter().map(Relation::to_string).collect();
        let offers: Vec<_> = need.alternatives.iter().map(|relation| self.offer(relation.name)).collect();
        Error::Unsatisfiable { chain: self.chain(need.by), need: wanted.join(" or "), offer: offers.join(" and ") }
    }

    fn offer(&self, name: &str) -> String {
        let providers: Vec<_> = self.index.providers(name).iter().map(|provider| provider.package).collect();
        match (self.index.get(name), &providers[..]) {
            (Some(real), _) => format!("{name} {} is there", real.version),
            (None, []) => format!("there is no {name}"),
            (None, some) => format!("{name} is provided by {} in no such version", some.join(", ")),
        }
    }

    /// How a package came in: `a → b → c`.
    fn chain(&self, name: &str) -> String {
        let mut chain = vec![name];
        let mut at = self.chosen.get(name);
        while let Some(because) = at.and_then(|chosen| chosen.because) {
            chain.push(because);
            at = self.chosen.get(because);
        }
        chain.reverse();
        chain.join(" → ")
    }
}

/// Policy 7.5: what is provided without a version answers no relation that has one.
fn stands_in(relation: &Relation<'_>, provided: Option<&Version<'_>>) -> bool {
    relation.version.is_none() || provided.is_some_and(|version| relation.admits(version))
}

fn groups_of<'a>(package: &str, fields: [&'a str; 2]) -> Result<Vec<Vec<Relation<'a>>>, Error> {
    let mut groups = Vec::new();
    for field in fields {
        let read = relation::groups(field);
        groups.extend(read.map_err(|source| Error::Relation { package: package.to_owned(), source })?);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::super::index::Source;
    use super::super::mirror::Archive;
    use super::*;

    /// Packages as `NAME VERSION; Field: value; …`.
    fn source(packages: &[&str]) -> [Source; 1] {
        let digest = "0".repeat(64);
        let paragraph = |line: &&str| {
            let (head, fields) = line.split_once(';').unwrap_or((line, ""));
            let (name, version) = head.trim().split_once(' ').unwrap_or((head.trim(), "1"));
            format!(
                "Package: {name}\nVersion: {version}\nArchitecture: all\nFilename: pool/{name}\nSize: 1\nSHA256: {digest}\n{}\n",
                fields.split(';').map(str::trim).collect::<Vec<_>>().join("\n")
            )
        };
        let text = packages.iter().map(paragraph).collect::<Vec<_>>().join("\n");
        [Source { archive: Archive::Debian, name: "test".to_owned(), text }]
    }

    /// `names` is what is asked for, and after a `-` what is excluded. Expects `a:b,c d` (d needs nothing).
    #[track_caller]
    fn check(packages: &[&str], names: &str, expect: Result<&str, &str>) {
        let sources = source(packages);
        let index = Index::read(&sources).unwrap();
        let words = || names.split_whitespace();
        let wish = Wish {
            names: words().filter(|word| !word.starts_with('-')).collect(),
            exclude: words().filter_map(|word| word.strip_prefix('-')).collect(),
            arch: "amd64",
        };
        let show = |selected: &Selected| {
            let depends: Vec<_> = selected.depends.iter().copied().collect();
            let colon = if depends.is_empty() { "" } else { ":" };
            format!("{}{colon}{}", selected.candidate.name, depends.join(","))
        };
        let outcome = select(&index, &wish).map(|all| all.iter().map(show).collect::<Vec<_>>().join(" "));
        let outcome = outcome.map_err(|error| error.to_string());
        assert_eq!(outcome.as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn follows_depends() {
        check(&["a; Depends: b, c; Pre-Depends: d", "b; Depends: c", "c", "d", "e"], "a", Ok("a:b,c,d b:c c d"));
        check(&["a; Depends: b; Recommends: c", "b; Depends: a", "c"], "a", Ok("a:b b:a"));
        check(&["a; Depends: b:any [amd64], c [arm64]", "b", "c"], "a", Ok("a:b b"));
        check(&["a; Depends: a"], "a", Ok("a"));
    }

    #[test]
    fn weighs_alternatives() {
        let three = ["a; Depends: x | b | c", "b", "c", "d; Depends: c", "e; Depends: b (>= 2) | c"];
        check(&three, "a", Ok("a:b b"));
        check(&three, "a c", Ok("a:c c"));
        check(&three, "a d", Ok("a:c c d:c"));
        check(&three, "e", Ok("c e:c"));
        check(&["a; Depends: b | c", "b; Conflicts: d", "c", "d"], "a d", Ok("a:c c d"));
        check(&["a; Depends: b | c", "b", "c", "d; Breaks: b"], "a d", Ok("a:c c d"));
    }

    #[test]
    fn takes_providers() {
        let mta = ["a; Depends: mta", "p; Provides: mta (= 2)", "q; Provides: mta; Priority: standard"];
        check(&mta, "a", Ok("a:q q"));
        check(&mta, "a p", Ok("a:p p"));
        check(&["a; Depends: mta (>= 2)", mta[1], mta[2]], "a", Ok("a:p p"));
        check(&["a; Depends: mta", "mta", mta[2]], "a", Ok("a:mta mta"));
        check(&["a; Provides: x; Depends: x"], "a", Ok("a"));
        check(&mta, "mta", Err("find package mta: it is a virtual one; name one of q, p instead"));
    }

    #[test]
    fn does_without_the_excluded() {
        check(&["a; Depends: b, c", "b; Depends: d", "c", "d"], "a -b", Ok("a:c c"));
        check(&["a; Depends: b | c", "b", "c"], "a -b", Ok("a"));
        check(&["a; Depends: x", "b; Provides: x", "c; Provides: x"], "a -b", Ok("a"));
        check(&["a; Depends: x"], "a -x", Ok("a"));
        check(&["a; Depends: b | c", "b", "c"], "a c -b", Ok("a:c c"));
        check(&["a"], "a -a", Err("select package a: it is both asked for and excluded"));
    }

    #[test]
    fn says_what_is_wrong() {
        check(
            &["openssh-server"],
            "openssh-sever",
            Err("find package openssh-sever: the suite has none of that name, did you mean openssh-server?"),
        );
        check(&["a"], "quite-different", Err("find package quite-different: the suite has none of that name"));
        check(
            &["a; Depends: b", "b; Depends: c", "c; Depends: d (>= 2) | e", "d"],
            "a",
            Err("resolve a → b → c: needs d (>= 2) or e, but d 1 is there and there is no e"),
        );
        check(
            &["a; Depends: v (>= 2)", "p; Provides: v (= 1)"],
            "a",
            Err("resolve a: needs v (>= 2), but v is provided by p in no such version"),
        );
        check(
            &["a; Depends: b", "b; Breaks: c (<< 2)", "c"],
            "a c",
            Err("combine b with c: b breaks c (<< 2) (b is there for a → b, c for c)"),
        );
        check(
            &["a; Conflicts: v; Provides: v", "b; Provides: v"],
            "a b",
            Err("combine a with b: a conflicts with v (a is there for a, b for b)"),
        );
        check(&["a; Conflicts: v; Provides: v"], "a", Ok("a"));
        check(&["a; Depends: b ("], "a", Err("read the relations of package a"));
    }
}
