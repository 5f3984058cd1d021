//! One declaration of a fixed row gives its layout, its typed view and its size table.

/// Words of a field are rounded up to this, so that every field may hold f64 or i64.
pub(crate) const FIELD_WORDS: usize = 2;

/// Words that `count` values of `size` bytes take.
pub(crate) const fn words_of(count: usize, size: usize) -> usize {
    (count * size)
        .div_ceil(size_of::<f32>())
        .next_multiple_of(FIELD_WORDS)
}

/// Takes the next `count` values off the front of `rest`.
pub(crate) fn take<'a, T: bytemuck::Pod>(rest: &mut &'a mut [f32], count: usize) -> &'a mut [T] {
    let (field, after) = std::mem::take(rest).split_at_mut(words_of(count, size_of::<T>()));
    *rest = after;
    bytemuck::cast_slice_mut(&mut field[..count * size_of::<T>() / size_of::<f32>()])
}

/// Declares a row: `one` fields hold a single Pod struct, `many` fields as many values as the expression over the
/// dimensions says. Makes `Counts` (how many values each field has), `Row<'a>` (the view) and `fields` (the table).
macro_rules! declare_row {
    (
        dims $dims:ident : $dims_type:ty;
        one { $( $one:ident : $one_type:ty = $one_what:literal; )* }
        many { $( $many:ident : [$many_type:ty; $count:expr] = $many_what:literal; )* }
    ) => {
        /// How many values each field of many has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        struct Counts { $( $many: usize, )* }

        impl Counts {
            fn new($dims: &$dims_type) -> Self {
                Self { $( $many: $count, )* }
            }

            /// Words of the row before padding to whole lines.
            fn words(&self) -> usize {
                0 $( + words_of(1, size_of::<$one_type>()) )* $( + words_of(self.$many, size_of::<$many_type>()) )*
            }

            fn fields(&self) -> Vec<FieldSize> {
                vec![
                    $( FieldSize { name: stringify!($one), bytes: 4 * words_of(1, size_of::<$one_type>()), what: $one_what }, )*
                    $( FieldSize { name: stringify!($many), bytes: 4 * words_of(self.$many, size_of::<$many_type>()), what: $many_what }, )*
                ]
            }
        }

        /// A row seen by its fields.
        #[derive(Debug)]
        pub(crate) struct Row<'a> {
            $( pub(crate) $one: &'a mut $one_type, )*
            $( pub(crate) $many: &'a mut [$many_type], )*
        }

        impl<'a> Row<'a> {
            fn split(counts: &Counts, words: &'a mut [f32]) -> Self {
                let mut rest = words;
                $( let $one = &mut take::<$one_type>(&mut rest, 1)[0]; )*
                $( let $many = take::<$many_type>(&mut rest, counts.$many); )*
                Self { $( $one, )* $( $many, )* }
            }
        }
    };
}
pub(crate) use declare_row;
