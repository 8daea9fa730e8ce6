//! Values by the numbers of clients, for as long as each is there: memory follows those who are there, not those who come in all.
//!
//! In: values. Out: the same by their numbers. A number that is over stays so, which takes a bit.

/// Numbers that share a piece of memory, which goes when none of them is there.
const PAGE: usize = 64;

/// Values by number.
#[derive(Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    /// A bit for each number that is over, a word for each page.
    over: Vec<u64>,
    /// What who is over is shown as.
    scratch: Option<T>,
}

#[derive(Debug)]
struct Page<T> {
    /// How many of its values are there.
    count: usize,
    values: [Option<T>; PAGE],
}

const fn place(number: u32) -> (usize, usize) {
    (number as usize / PAGE, number as usize % PAGE)
}

impl<T> Pages<T> {
    /// For so many numbers; nothing is there.
    pub(super) fn new(numbers: u32) -> Self {
        let pages = (numbers as usize).div_ceil(PAGE);
        let none = || None;
        Self {
            pages: std::iter::repeat_with(none).take(pages).collect(),
            over: vec![0; pages],
            scratch: None,
        }
    }

    /// Whether a number is over.
    pub(super) fn is_over(&self, number: u32) -> bool {
        let (page, at) = place(number);
        self.over[page] & (1 << at) != 0
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (page, at) = place(number);
        self.pages[page].as_ref()?.values[at].as_ref()
    }

    /// The value of a number; where it has none, it gets one. Of a number that is over nothing is kept.
    pub(super) fn get_or_insert_with(&mut self, number: u32, make: impl FnOnce() -> T) -> &mut T {
        if self.is_over(number) {
            return self.scratch.insert(make());
        }
        let (page, at) = place(number);
        let empty = || Box::new(Page { count: 0, values: [const { None }; PAGE] });
        let page = self.pages[page].get_or_insert_with(empty);
        let Page { count, values } = &mut **page;
        values[at].get_or_insert_with(|| {
            *count += 1;
            make()
        })
    }

    /// A number is over. Answers with the value that it had.
    pub(super) fn end(&mut self, number: u32) -> Option<T> {
        let (page, at) = place(number);
        self.over[page] |= 1 << at;
        let kept = self.pages[page].as_mut()?;
        let value = kept.values[at].take()?;
        kept.count -= 1;
        if kept.count == 0 {
            self.pages[page] = None;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_those_who_are_there() {
        let mut pages = Pages::new(1_000_000);
        let held = |pages: &Pages<u32>| pages.pages.iter().flatten().count();
        for number in 0..1_000_000 {
            *pages.get_or_insert_with(number, || 0) += number;
            if number >= 100 {
                assert_eq!(pages.end(number - 100), Some(number - 100));
            }
            assert!(!number.is_multiple_of(1_000) || held(&pages) <= 3, "{}", held(&pages));
        }
        assert!(pages.is_over(0) && !pages.is_over(999_999));
        assert_eq!((pages.get(5), pages.get(999_999)), (None, Some(&999_999)));
        // Nothing is kept of who is over.
        *pages.get_or_insert_with(5, || 7) += 1;
        assert_eq!(*pages.get_or_insert_with(5, || 7), 7);
        assert_eq!((pages.get(5).copied(), pages.end(5)), (None, None));
    }
}
