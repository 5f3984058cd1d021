//! The experts by name.

use thiserror::Error;

use crate::series::seasons::Which;

/// A forecaster in the mixture, in the order of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expert {
    /// The newest value.
    Last,
    /// The value of the target's step one season earlier.
    Seasonal,
    /// `Seasonal` and a learnt share of today's deviation from a season ago.
    Level,
    /// The week's profile.
    WeekProfile,
    /// The day's profile and a learnt share of the deviation from it.
    Day,
    /// The week's profile and a learnt share of the deviation from it.
    Week,
    /// The hour's profile and a learnt share of the deviation from it.
    Hour,
    /// Linear regression around last value.
    Linear,
    /// Linear regression around the day's profile.
    LinearDay,
    /// Linear regression around the week's profile.
    LinearWeek,
    /// Linear regression around the hour's profile.
    LinearHour,
    /// The recurrent network around the mix of the others.
    Network,
}

/// A name that no expert has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "no expert `{name}`; known are `last`, `seasonal`, `level`, `week_profile`, `day`, `week`, `hour`, `linear`, `linear_day`, `linear_week`, `linear_hour`, `network` and the groups `seasonal*`, `linear*`"
)]
pub struct UnknownExpert {
    /// As given.
    pub name: String,
}

impl Expert {
    /// All, in the order of the record.
    pub const ALL: [Self; 12] = [
        Self::Last,
        Self::Seasonal,
        Self::Level,
        Self::WeekProfile,
        Self::Day,
        Self::Week,
        Self::Hour,
        Self::Linear,
        Self::LinearDay,
        Self::LinearWeek,
        Self::LinearHour,
        Self::Network,
    ];

    /// Name in records and configs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Seasonal => "seasonal",
            Self::Level => "level",
            Self::WeekProfile => "week_profile",
            Self::Day => "day",
            Self::Week => "week",
            Self::Hour => "hour",
            Self::Linear => "linear",
            Self::LinearDay => "linear_day",
            Self::LinearWeek => "linear_week",
            Self::LinearHour => "linear_hour",
            Self::Network => "network",
        }
    }

    /// The season that it speaks of.
    #[must_use]
    pub const fn season(self) -> Option<Which> {
        match self {
            Self::Seasonal | Self::Level | Self::Day | Self::LinearDay => Some(Which::Main),
            Self::WeekProfile | Self::Week | Self::LinearWeek => Some(Which::Long),
            Self::Hour | Self::LinearHour => Some(Which::Short),
            Self::Last | Self::Linear | Self::Network => None,
        }
    }

    /// Whether it is a linear regression.
    #[must_use]
    pub const fn is_linear(self) -> bool {
        matches!(
            self,
            Self::Linear | Self::LinearDay | Self::LinearWeek | Self::LinearHour
        )
    }

    /// Whether a name of a configuration names it: its own, that of its group, `all`.
    pub(crate) fn is_named(self, name: &str) -> bool {
        match name {
            "all" => true,
            "seasonal*" => !self.is_linear() && !matches!(self, Self::Last | Self::Network),
            "linear*" => self.is_linear(),
            _ => self.name() == name,
        }
    }

    /// Whether its distance from the centre tells of disagreement (RECIPE §5: not last value, seasonal, week profile;
    /// and not the network, whose width is a feature of its own).
    #[must_use]
    pub const fn disagrees(self) -> bool {
        !matches!(
            self,
            Self::Last | Self::Seasonal | Self::WeekProfile | Self::Network
        )
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The experts of a pipeline, in the order of [`Expert::ALL`]; the network, where it takes part, is the last. Last value
/// always takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertSet {
    mask: u16,
}

impl ExpertSet {
    /// All.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Expert::ALL.into_iter())
    }

    /// Those, and last value.
    #[must_use]
    pub fn of(experts: impl Iterator<Item = Expert>) -> Self {
        let mask = experts.fold(Expert::Last.bit(), |mask, expert| mask | expert.bit());
        Self { mask }
    }

    /// By name; none named = all. `seasonal*` names seasonal, level, week profile, day, week and hour, `linear*` the linear
    /// regressions.
    ///
    /// # Errors
    /// At the first name that is unknown.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownExpert> {
        let mut mask = 0;
        for name in names {
            let of_name: u16 = Expert::ALL
                .into_iter()
                .filter(|expert| expert.is_named(name))
                .map(Expert::bit)
                .sum();
            if of_name == 0 {
                return Err(UnknownExpert {
                    name: name.to_owned(),
                });
            }
            mask |= of_name;
        }
        if mask == 0 {
            return Ok(Self::all());
        }
        Ok(Self {
            mask: mask | Expert::Last.bit(),
        })
    }

    /// The same without the network.
    #[must_use]
    pub const fn classical(self) -> Self {
        Self {
            mask: self.mask & !Expert::Network.bit(),
        }
    }

    /// Experts (E).
    #[must_use]
    pub const fn len(self) -> usize {
        self.mask.count_ones() as usize
    }

    /// Never: last value always takes part.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.mask == 0
    }

    /// Whether an expert takes part.
    #[must_use]
    pub const fn contains(self, expert: Expert) -> bool {
        self.mask & expert.bit() != 0
    }

    /// Place of an expert in arrays (E).
    #[must_use]
    pub const fn index_of(self, expert: Expert) -> Option<usize> {
        if self.contains(expert) {
            Some((self.mask & (expert.bit() - 1)).count_ones() as usize)
        } else {
            None
        }
    }

    /// Whether the hour's profile is read.
    #[must_use]
    pub const fn needs_hour(self) -> bool {
        self.contains(Expert::Hour) || self.contains(Expert::LinearHour)
    }

    /// Its linear regressions, in order.
    pub fn linear(self) -> impl Iterator<Item = Expert> {
        let linear = super::linear::LINEAR
            .iter()
            .fold(0, |mask, expert| mask | expert.bit());
        Self {
            mask: self.mask & linear,
        }
        .iter()
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = Expert> {
        let mut left = self.mask;
        std::iter::from_fn(move || {
            let next = Expert::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(*next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expert_set_keeps_the_order_of_the_record_and_last_value() {
        let all = ExpertSet::all();
        assert_eq!(all.len(), 12);
        assert_eq!(all.index_of(Expert::Network), Some(11));
        assert_eq!(all.classical().len(), 11);
        let named = ExpertSet::from_names(["network", "day"]).unwrap();
        let names: Vec<_> = named.iter().map(Expert::name).collect();
        assert_eq!(names, ["last", "day", "network"]);
        assert_eq!(named.index_of(Expert::Week), None);
        assert_eq!(ExpertSet::from_names(["seasonal*"]).unwrap().len(), 7);
        let linear = ExpertSet::from_names(["linear*"]).unwrap();
        assert_eq!((linear.len(), linear.linear().count()), (5, 4));
        assert_eq!(ExpertSet::from_names([]).unwrap(), all);
    }

    #[test]
    fn expert_set_refuses_unknown_names() {
        for name in ["naive", "linear_month", "lin*"] {
            let error = ExpertSet::from_names([name]).unwrap_err();
            assert!(error.to_string().contains(name));
        }
    }
}
