//! What things are numbered by: one type per thing, so that mixing them up does not compile.
//!
//! [`Table`] is a list that only its own index opens, as rustc's `IndexVec` is.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut, Range};

/// The number of a thing in its list.
pub(crate) trait Numbered: Copy {
    /// The index of a position. What cannot be numbered shares the last index: `eligibility` keeps
    /// clusters far below that.
    fn new(position: usize) -> Self {
        Self::checked(position).unwrap_or_else(Self::last)
    }

    /// The index of a position; `None` if it cannot be numbered.
    fn checked(position: usize) -> Option<Self>;

    /// The last index.
    fn last() -> Self;

    /// The position in the list.
    fn position(self) -> usize;
}

macro_rules! index {
    ($(#[$doc:meta])* $name:ident($number:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name($number);

        impl Numbered for $name {
            fn checked(position: usize) -> Option<Self> {
                <$number>::try_from(position).ok().map(Self)
            }

            fn last() -> Self {
                Self(<$number>::MAX)
            }

            fn position(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index! {
    /// A usable instance, in the model's order.
    InstanceIndex(u32)
}
index! {
    /// A kind of task.
    KindIndex(u16)
}
index! {
    /// A service, in the inventory's order.
    ServiceIndex(u16)
}
index! {
    /// A class of instances: those that the same kinds may run on.
    ClassIndex(u16)
}
index! {
    /// A class of room: see `room`.
    RoomClassIndex(u16)
}
index! {
    /// A conflict key: see `model`.
    KeyIndex(u16)
}
index! {
    /// An Auto Scaling group that has a usable instance.
    GroupIndex(u16)
}
index! {
    /// An Availability Zone of one group.
    ZoneIndex(u16)
}

/// The indices of the positions in a range.
pub(crate) fn indices<I: Numbered>(positions: Range<usize>) -> impl Iterator<Item = I> {
    positions.map(I::new)
}

/// One entry per index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table<I, T> {
    entries: Vec<T>,
    index: PhantomData<I>,
}

impl<I: Numbered, T> Table<I, T> {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries, in order.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.entries.iter()
    }

    /// The entries, in order, to be changed.
    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.entries.iter_mut()
    }

    /// Every index, in order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = I> + use<I, T> {
        indices(0..self.entries.len())
    }

    /// Every index with its entry.
    pub(crate) fn enumerate(&self) -> impl Iterator<Item = (I, &T)> {
        self.indices().zip(&self.entries)
    }

    /// Adds an entry; returns its index.
    pub(crate) fn push(&mut self, entry: T) -> I {
        self.entries.push(entry);
        I::new(self.entries.len() - 1)
    }

    /// So many equal entries.
    pub(crate) fn filled(entry: T, len: usize) -> Self
    where
        T: Clone,
    {
        vec![entry; len].into()
    }

    /// Makes every entry equal.
    pub(crate) fn fill(&mut self, entry: T)
    where
        T: Clone,
    {
        self.entries.fill(entry);
    }
}

impl<I, T: Clone> Clone for Table<I, T> {
    fn clone(&self) -> Self {
        self.entries.clone().into()
    }

    // Keeps the memory that it has: the dual copies solutions all the time.
    fn clone_from(&mut self, source: &Self) {
        self.entries.clone_from(&source.entries);
    }
}

impl<I, T> Default for Table<I, T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<I, T> From<Vec<T>> for Table<I, T> {
    fn from(entries: Vec<T>) -> Self {
        Self { entries, index: PhantomData }
    }
}

impl<I, T> FromIterator<T> for Table<I, T> {
    fn from_iter<E: IntoIterator<Item = T>>(entries: E) -> Self {
        Vec::from_iter(entries).into()
    }
}

impl<I: Numbered, T> Index<I> for Table<I, T> {
    type Output = T;

    fn index(&self, index: I) -> &T {
        &self.entries[index.position()]
    }
}

impl<I: Numbered, T> IndexMut<I> for Table<I, T> {
    fn index_mut(&mut self, index: I) -> &mut T {
        &mut self.entries[index.position()]
    }
}
