//! Numbers, shares, flags, lists, maps.
//!
//! In: places in the document. Out: values within their bounds, or faults.

use std::ops::RangeInclusive;

use crate::declare::kind::{Kind, Of, Value, of};
use crate::declare::reading::reader::At;
use crate::declare::shape::{Shape, TextShape};
use crate::units;

use super::rule::TextRule;

impl Value for bool {
    fn shape() -> Shape {
        Shape::Boolean
    }

    fn read(at: &At<'_>) -> Option<Self> {
        let flag = at.value().as_bool();
        if flag.is_none() {
            at.wrong("true or false is needed");
        }
        flag
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A flag.
pub(crate) const fn flag() -> Of<bool> {
    of()
}

/// A whole number in a range.
pub(crate) struct Int<T> {
    least: u64,
    most: u64,
    as_type: fn(u64) -> Option<T>,
    of_type: fn(&T) -> Option<u64>,
}

/// A whole number in a range, which must be one of `T`.
pub(crate) fn int<T: TryFrom<u64> + Copy + TryInto<u64>>(range: RangeInclusive<u64>) -> Int<T> {
    Int {
        least: *range.start(),
        most: *range.end(),
        as_type: |number| T::try_from(number).ok(),
        of_type: |number| (*number).try_into().ok(),
    }
}

impl<T> Kind for Int<T> {
    type Out = T;

    fn shape(&self) -> Shape {
        Shape::Integer(vec![(self.least, self.most)])
    }

    fn read(&self, at: &At<'_>) -> Option<T> {
        let number = at.integer().and_then(|number| u64::try_from(number).ok());
        let fits = number.filter(|number| (self.least..=self.most).contains(number));
        let number = fits.and_then(self.as_type);
        if number.is_none() {
            at.wrong(format!("a whole number from {} to {} is needed", self.least, self.most));
        }
        number
    }

    fn write(&self, out: &T) -> Option<String> {
        (self.of_type)(out).map(|number| number.to_string())
    }
}

/// A number in a range.
pub(crate) struct Number(f64, f64);

/// A number in a range.
pub(crate) const fn number(range: RangeInclusive<f64>) -> Number {
    Number(*range.start(), *range.end())
}

impl Kind for Number {
    type Out = f64;

    fn shape(&self) -> Shape {
        Shape::Number { least: self.0, above: false, most: self.1 }
    }

    fn read(&self, at: &At<'_>) -> Option<f64> {
        let number = at.number().filter(|number| (self.0..=self.1).contains(number));
        if number.is_none() {
            at.wrong(format!("a number from {} to {} is needed", self.0, self.1));
        }
        number
    }

    fn write(&self, out: &f64) -> Option<String> {
        Some(format!("{out:?}"))
    }
}

/// A share, 0..1: a number, or a text as `"25%"` or `"0.25"`.
pub(crate) struct Share {
    /// What is said of a share of zero; `None`: it may be zero.
    zero: Option<&'static str>,
}

/// A share from 0 to 1.
pub(crate) const fn share() -> Share {
    Share { zero: None }
}

/// A share above 0 and up to 1; `zero` says what none would mean.
pub(crate) const fn share_above_zero(zero: &'static str) -> Share {
    Share { zero: Some(zero) }
}

impl Share {
    fn text_shape(&self) -> TextShape {
        let pattern = if self.zero.is_some() { SHARE_ABOVE_ZERO } else { SHARE };
        TextShape {
            name: if self.zero.is_some() { "share_above_zero" } else { "share" },
            patterns: vec![pattern.into()],
            examples: &["25%", "0.1%", "0.25"],
            ..TextShape::plain("share")
        }
    }
}

/// 0% to 100%, 0 to 1.
const SHARE: &str =
    "^ *(0*([0-9]{1,2}(\\.[0-9]*)?|100(\\.0*)?|\\.[0-9]+) *%|0*(0(\\.[0-9]*)?|1(\\.0*)?|\\.[0-9]+)) *$";
/// The same, but for zero.
const SHARE_ABOVE_ZERO: &str = "^ *(0*([1-9][0-9]?(\\.[0-9]*)?|100(\\.0*)?|0?\\.[0-9]*[1-9][0-9]*) *%|0*(0?\\.[0-9]*[1-9][0-9]*|1(\\.0*)?)) *$";

impl Kind for Share {
    type Out = f64;

    fn shape(&self) -> Shape {
        let text = Shape::Text(self.text_shape());
        let number = Shape::Number { least: 0.0, above: self.zero.is_some(), most: 1.0 };
        Shape::Either(vec![number, text])
    }

    fn read(&self, at: &At<'_>) -> Option<f64> {
        let share = match at.text() {
            Some(text) => match units::parse_share(text) {
                Ok(share) => Some(share),
                Err(why) => {
                    at.wrong(why.to_string());
                    return None;
                }
            },
            None => at.number().filter(|share| (0.0..=1.0).contains(share)),
        };
        let Some(share) = share else {
            at.wrong("a number from 0 to 1 is needed");
            return None;
        };
        if let Some(zero) = self.zero.filter(|_| share <= 0.0) {
            at.fault(format!("`{}` is zero: {zero}", at.path), "a share above 0 and up to 1 is needed");
            return None;
        }
        if let Some(text) = at.text()
            && !self.text_shape().fits(text)
        {
            at.wrong("a share is written as \"25%\" or \"0.25\"");
            return None;
        }
        Some(share)
    }

    fn write(&self, out: &f64) -> Option<String> {
        Some(format!("{out:?}"))
    }
}

/// A list.
pub(crate) struct List<K> {
    of: K,
    least: usize,
    most: Option<usize>,
    unique: bool,
    allowed: &'static str,
}

/// A list; `allowed` is said of what is none.
pub(crate) const fn list<K: Kind>(of: K, allowed: &'static str) -> List<K> {
    List { of, least: 0, most: None, unique: false, allowed }
}

impl<T: Value> Value for Vec<T> {
    fn shape() -> Shape {
        values::<T>().shape()
    }

    fn read(at: &At<'_>) -> Option<Self> {
        values().read(at)
    }

    fn write(&self) -> Option<String> {
        values().write(self)
    }
}

const fn values<T: Value>() -> List<Of<T>> {
    list(of(), "a list of tables is needed: write [[…]]")
}

impl<K> List<K> {
    /// So many at least.
    pub(crate) const fn least(mut self, least: usize) -> Self {
        self.least = least;
        self
    }

    /// So many at most.
    pub(crate) const fn most(mut self, most: usize) -> Self {
        self.most = Some(most);
        self
    }

    /// Each once.
    pub(crate) const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }
}

impl<K: Kind> Kind for List<K> {
    type Out = Vec<K::Out>;

    fn shape(&self) -> Shape {
        let Self { least, most, unique, .. } = self;
        Shape::List { of: Box::new(self.of.shape()), least: *least, most: *most, unique: *unique }
    }

    fn read(&self, at: &At<'_>) -> Option<Vec<K::Out>> {
        let Some(elements) = at.elements() else {
            at.wrong(self.allowed);
            return None;
        };
        let elements: Vec<_> = elements.collect();
        let count = elements.len();
        if let Some(most) = self.most.filter(|most| count > *most) {
            at.fault(format!("there are {count} {}", last(&at.path)), format!("at most {most} are possible"));
        }
        if count < self.least {
            at.fault(format!("`{}` has {count} elements", at.path), self.allowed);
            return None;
        }
        let texts: Vec<_> = elements.iter().map(|element| element.text()).collect();
        let twice = |index: &usize| texts[*index].is_some() && texts[..*index].contains(&texts[*index]);
        if self.unique && (0..count).any(|index| twice(&index)) {
            at.fault(format!("`{}` has an element twice", at.path), self.allowed);
            return None;
        }
        Some(elements.iter().filter_map(|element| self.of.read(element)).collect())
    }

    fn write(&self, out: &Vec<K::Out>) -> Option<String> {
        let elements: Option<Vec<String>> = out.iter().map(|element| self.of.write(element)).collect();
        elements.map(|elements| format!("[{}]", elements.join(", ")))
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A table whose keys are the user's.
pub(crate) struct Map<K> {
    name: TextRule,
    of: K,
}

/// A table whose keys follow a rule, and whose values are of a kind.
pub(crate) const fn map<K: Kind>(name: TextRule, of: K) -> Map<K> {
    Map { name, of }
}

impl<K: Kind> Kind for Map<K> {
    type Out = Vec<(String, K::Out)>;

    fn shape(&self) -> Shape {
        Shape::Map(vec![(self.name.shape(), self.of.shape())])
    }

    fn read(&self, at: &At<'_>) -> Option<Self::Out> {
        let Some(table) = at.table() else {
            at.wrong("a table is needed");
            return None;
        };
        let mut pairs = Vec::new();
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if let Err((message, help)) = self.name.check(name) {
                table.fault(key.span(), message, help);
                continue;
            }
            let value = table.get(name).and_then(|at| self.of.read(&at));
            pairs.extend(value.map(|value| (name.to_owned(), value)));
        }
        Some(pairs)
    }

    fn write(&self, out: &Self::Out) -> Option<String> {
        out.is_empty().then(|| "{}".to_owned())
    }
}
