//! Constructors and `with_…` methods of option structs, to which fields may be added later.

/// Generates a constructor, `Default` and a `with_…` method for each field: `new` takes the fields before the
/// semicolon.
macro_rules! options {
    ($type:ident::new() { $($fields:tt)* }) => {
        $crate::options::options!(@ "Creates the default options.", $type::new() { $($fields)* });
    };
    ($type:ident::new($($given:tt)+) { $($fields:tt)* }) => {
        $crate::options::options!(@ "Creates options with this value, and the defaults of other fields.", $type::new($($given)+) { $($fields)* });
    };
    (@ $doc:literal, $type:ident::new(
        $($given:ident / $set_given:ident: $given_type:ty = $given_default:expr),*
    ) {
        $($field:ident / $set:ident: $field_type:ty = $default:expr),* $(,)?
    }) => {
        impl $type {
            #[doc = $doc]
            pub const fn new($($given: $given_type),*) -> Self {
                Self { $($given,)* $($field: $default),* }
            }
        }

        impl Default for $type {
            fn default() -> Self {
                Self::new($($given_default),*)
            }
        }

        $crate::options::setters!(const fn, $type {
            $($given / $set_given: $given_type,)* $($field / $set: $field_type,)*
        });
    };
}
pub(crate) use options;

/// Generates a `with_…` method for each field.
macro_rules! setters {
    ($keyword:ident fn, $type:ident { $($field:ident / $set:ident: $field_type:ty),* $(,)? }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub $keyword fn $set(mut self, $field: $field_type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
    (fn, $type:ident { $($field:ident / $set:ident: $field_type:ty),* $(,)? }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $set(mut self, $field: $field_type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}
pub(crate) use setters;
