//! Enumerations whose variants are words that users read and write: in settings, requests, answers
//! and logs. What the words stand for is left to where they are declared.

/// Declares an enumeration, each variant with its word. How it is read from its word and written as
/// it follows.
macro_rules! vocabulary {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$attribute])*
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every variant, in the order of the documentation.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The words in backticks, for an error message.
            pub const EXPECTED: &str = $crate::vocabulary::alternatives!($($word),+);

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The variant of this word; `None` if there is none.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|variant| variant.as_str() == word)
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use vocabulary;

/// Words in backticks: `` `continue`, `abandon` or `reactivate` ``.
macro_rules! alternatives {
    ($only:literal) => {
        concat!("`", $only, "`")
    };
    ($first:literal, $last:literal) => {
        concat!("`", $first, "` or `", $last, "`")
    };
    ($first:literal, $($more:literal),+) => {
        concat!("`", $first, "`, ", $crate::vocabulary::alternatives!($($more),+))
    };
}
pub(crate) use alternatives;
