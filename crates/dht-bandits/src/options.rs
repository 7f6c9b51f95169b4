//! Macros that generate constructors and `with_…` methods of option structs. Later versions may add fields to these
//! structs.

/// Generates the constructor `new`, `Default`, and a `with_…` method for each field of an option struct. Fields before
/// the semicolon are the arguments of `new`; the others get their defaults.
macro_rules! options {
    ($type:ident::new() { $($fields:tt)* }) => {
        $crate::options::options!(@ "Creates the default options.", $type::new() { $($fields)* });
    };
    ($type:ident::new($($required:tt)+) { $($fields:tt)* }) => {
        $crate::options::options!(@ "Creates options with this value, and the defaults of other fields.", $type::new($($required)+) { $($fields)* });
    };
    (@ $doc:literal, $type:ident::new(
        $($required:ident / $set_required:ident: $required_type:ty = $required_default:expr),*
    ) {
        $($field:ident / $set:ident: $field_type:ty = $default:expr),* $(,)?
    }) => {
        impl $type {
            #[doc = $doc]
            pub const fn new($($required: $required_type),*) -> Self {
                Self { $($required,)* $($field: $default),* }
            }
        }

        impl Default for $type {
            fn default() -> Self {
                Self::new($($required_default),*)
            }
        }

        $crate::options::setters!(const fn, $type {
            $($required / $set_required: $required_type,)* $($field / $set: $field_type,)*
        });
    };
}
pub(crate) use options;

/// Generates a method `with_…` for each field of a struct.
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
