//! One declaration of a fixed row gives its layout, its typed view and its size table.

use std::ops::Range;

use crate::engine::storage::Field;

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

/// What the values of a field are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyed {
    /// The stream alone: as many whatever is scored.
    Stream,
    /// Scored horizon: as many for each.
    Horizon,
    /// Scored horizon, then expert.
    Mix,
    /// Scored horizon, then level: one for each.
    Level,
    /// Scored horizon: so many forecasts in flight as the horizon needs.
    Flight,
    /// As `Flight`, where several horizons may have the same place.
    Origin,
    /// Scored horizon, or all of them together.
    Spread,
}

/// Which values of a row are found in a row of other dimensions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matches {
    /// Scored horizons there are, of the other row and of this one.
    pub(crate) horizons: (usize, usize),
    /// Places of the scored horizons that both have: in the other row, in this one.
    pub(crate) shared_horizons: Vec<(usize, usize)>,
    /// Levels there are, of the other row and of this one.
    pub(crate) levels: (usize, usize),
    /// Places of the levels that both have.
    pub(crate) shared_levels: Vec<(usize, usize)>,
    /// Where each shared horizon's slots lie in `pending`: in the other row, in this one.
    pub(crate) flights: Vec<(Range<usize>, Range<usize>)>,
    /// The same in `origins`.
    pub(crate) origins: Vec<(Range<usize>, Range<usize>)>,
    /// Whether all scored horizons have one spread.
    pub(crate) one_spread: bool,
    /// Whether both rows have the same experts.
    pub(crate) same_experts: bool,
    /// Whether the other row is of format 1, which has no fields of format 2.
    pub(crate) from_format_1: bool,
}

impl Matches {
    /// Copies what both have of a field; the rest stays.
    pub(crate) fn take_over<T: Copy>(&self, by: Keyed, from: &[T], to: &mut [T]) {
        match by {
            Keyed::Stream => to.copy_from_slice(from),
            Keyed::Horizon => {
                let (old, new) = (from.len() / self.horizons.0, to.len() / self.horizons.1);
                for &(i, k) in &self.shared_horizons {
                    to[k * new..(k + 1) * new].copy_from_slice(&from[i * old..(i + 1) * old]);
                }
            }
            Keyed::Level => {
                for &(i, k) in &self.shared_horizons {
                    for &(j, q) in &self.shared_levels {
                        to[k * self.levels.1 + q] = from[i * self.levels.0 + j];
                    }
                }
            }
            // Weights of other experts are carried by name.
            Keyed::Mix => {
                if self.same_experts {
                    self.take_over(Keyed::Horizon, from, to);
                }
            }
            Keyed::Spread => {
                let by = if self.one_spread {
                    Keyed::Stream
                } else {
                    Keyed::Horizon
                };
                self.take_over(by, from, to);
            }
            Keyed::Flight => copy_each(&self.flights, from, to),
            Keyed::Origin => copy_each(&self.origins, from, to),
        }
    }
}

fn copy_each<T: Copy>(places: &[(Range<usize>, Range<usize>)], from: &[T], to: &mut [T]) {
    for (old, new) in places {
        to[new.clone()].copy_from_slice(&from[old.clone()]);
    }
}

/// Fields of a row for its storage, from their bytes and codes.
pub(crate) fn codes_of(fields: Vec<(usize, String)>) -> Vec<Field> {
    let mut word = 0;
    let field = |(bytes, codes): (usize, String)| {
        let start = word;
        assert!(
            (bytes / size_of::<f32>()).is_multiple_of(codes.len()),
            "codes `{codes}` for {bytes} bytes"
        );
        word += words_of(1, bytes);
        Field {
            word: start,
            words: bytes / size_of::<f32>(),
            codes,
        }
    };
    fields.into_iter().map(field).collect()
}

/// Declares a row: `one` fields hold a single Pod struct, `many` fields as many values as the expression over the
/// dimensions says, `by` what they are kept ([`Keyed`]), `as` codes (`Storage`) that the words of a compact row rest by:
/// of one value, or of all; without them a field rests as it is. What stands behind `since 2` is not in rows of format 1, which are
/// thereby a beginning of those of today. Makes `Counts` (how many values each field has), `Row<'a>` (the view), `fields`
/// (the table) and `take_over` (from a row of other dimensions).
macro_rules! declare_row {
    (
        dims $dims:ident : $dims_type:ty;
        one { $( $one:ident : $one_type:ty as ($one_codes:expr) = $one_what:literal; )* }
        many { $( $many:ident : [$many_type:ty; $count:expr] by $by:ident as ($codes:expr) = $many_what:literal; )* }
        since 2
        one { $( $new:ident : $new_type:ty = $new_what:literal; )* }
        many { $( $more:ident : [$more_type:ty; $more_count:expr] by $more_by:ident as ($more_codes:expr) = $more_what:literal; )* }
    ) => {
        /// How many values each field of many has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct Counts { $( $many: usize, )* $( $more: usize, )* }

        impl Counts {
            fn new($dims: &$dims_type) -> Self {
                Self { $( $many: $count, )* $( $more: $more_count, )* }
            }

            /// Words of a row of format 1 before padding to whole lines.
            pub(super) fn words_1(&self) -> usize {
                0 $( + words_of(1, size_of::<$one_type>()) )* $( + words_of(self.$many, size_of::<$many_type>()) )*
            }

            /// Where `pending`, the last field of a row of format 1, begins.
            pub(super) fn start_of_pending(&self) -> usize {
                self.words_1() - words_of(self.pending, size_of::<f32>())
            }

            /// Words of the row before padding to whole lines.
            fn words(&self) -> usize {
                self.words_1()
                    $( + words_of(1, size_of::<$new_type>()) )*
                    $( + words_of(self.$more, size_of::<$more_type>()) )*
            }

            /// The fields in order: words in work, codes at rest.
            fn codes(&self, $dims: &$dims_type) -> Vec<(usize, String)> {
                vec![
                    $( (size_of::<$one_type>(), String::from($one_codes)), )*
                    $( (self.$many * size_of::<$many_type>(), String::from($codes)), )*
                    $( (size_of::<$new_type>(), String::from("x")), )*
                    $( (self.$more * size_of::<$more_type>(), String::from($more_codes)), )*
                ]
            }

            pub(super) fn fields(&self) -> Vec<FieldSize> {
                vec![
                    $( FieldSize { name: stringify!($one), bytes: 4 * words_of(1, size_of::<$one_type>()), what: $one_what }, )*
                    $( FieldSize { name: stringify!($many), bytes: 4 * words_of(self.$many, size_of::<$many_type>()), what: $many_what }, )*
                    $( FieldSize { name: stringify!($new), bytes: 4 * words_of(1, size_of::<$new_type>()), what: $new_what }, )*
                    $( FieldSize { name: stringify!($more), bytes: 4 * words_of(self.$more, size_of::<$more_type>()), what: $more_what }, )*
                ]
            }
        }

        /// A row seen by its fields.
        #[derive(Debug)]
        pub(crate) struct Row<'a> {
            $( pub(crate) $one: &'a mut $one_type, )*
            $( pub(crate) $many: &'a mut [$many_type], )*
            $( pub(crate) $new: &'a mut $new_type, )*
            $( pub(crate) $more: &'a mut [$more_type], )*
        }

        impl<'a> Row<'a> {
            fn split(counts: &Counts, words: &'a mut [f32]) -> Self {
                let mut rest = words;
                $( let $one = &mut take::<$one_type>(&mut rest, 1)[0]; )*
                $( let $many = take::<$many_type>(&mut rest, counts.$many); )*
                $( let $new = &mut take::<$new_type>(&mut rest, 1)[0]; )*
                $( let $more = take::<$more_type>(&mut rest, counts.$more); )*
                Self { $( $one, )* $( $many, )* $( $new, )* $( $more, )* }
            }

            /// Takes over what `other`, a row of other dimensions, holds of this one.
            pub(super) fn take_over(&mut self, other: &Row<'_>, by: &Matches) {
                $( *self.$one = *other.$one; )*
                $( by.take_over(Keyed::$by, other.$many, self.$many); )*
                if by.from_format_1 {
                    return;
                }
                $( *self.$new = *other.$new; )*
                $( by.take_over(Keyed::$more_by, other.$more, self.$more); )*
            }
        }
    };
}
pub(crate) use declare_row;
