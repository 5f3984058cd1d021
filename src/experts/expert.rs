//! The experts by name.

use thiserror::Error;

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
    /// Linear regression around last value. Not served yet.
    Linear,
    /// Linear regression around the day's profile. Not served yet.
    LinearDay,
    /// Linear regression around the week's profile. Not served yet.
    LinearWeek,
    /// Linear regression around the hour's profile. Not served yet.
    LinearHour,
    /// The recurrent network around the mix of the others.
    Network,
}

/// A name that no expert has, or one that is not served yet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "no expert `{name}`; known are `last`, `seasonal`, `level`, `week_profile`, `day`, `week`, `hour`, `network` and the group `seasonal*`"
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

    /// Whether it can take part.
    #[must_use]
    pub const fn is_served(self) -> bool {
        !matches!(
            self,
            Self::Linear | Self::LinearDay | Self::LinearWeek | Self::LinearHour
        )
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
    /// All that are served.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Expert::ALL.into_iter().filter(|expert| expert.is_served()))
    }

    /// Those, and last value.
    #[must_use]
    pub fn of(experts: impl Iterator<Item = Expert>) -> Self {
        let mask = experts.fold(Expert::Last.bit(), |mask, expert| mask | expert.bit());
        Self { mask }
    }

    /// By name; none named = all. `seasonal*` names seasonal, level, week profile, day, week and hour.
    ///
    /// # Errors
    /// At the first name that is unknown or not served yet.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownExpert> {
        let mut mask = 0;
        for name in names {
            let of_name: u16 = Expert::ALL
                .into_iter()
                .filter(|expert| expert.is_served())
                .filter(|expert| {
                    expert.name() == name
                        || name == "all"
                        || (name == "seasonal*" && !matches!(expert, Expert::Last | Expert::Network))
                })
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

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = Expert> {
        Expert::ALL
            .into_iter()
            .filter(move |&expert| self.contains(expert))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expert_set_keeps_the_order_of_the_record_and_last_value() {
        let all = ExpertSet::all();
        assert_eq!(all.len(), 8);
        assert_eq!(all.index_of(Expert::Network), Some(7));
        assert_eq!(all.classical().len(), 7);
        let named = ExpertSet::from_names(["network", "day"]).unwrap();
        let names: Vec<_> = named.iter().map(Expert::name).collect();
        assert_eq!(names, ["last", "day", "network"]);
        assert_eq!(named.index_of(Expert::Week), None);
        assert_eq!(ExpertSet::from_names(["seasonal*"]).unwrap().len(), 7);
        assert_eq!(ExpertSet::from_names([]).unwrap(), all);
    }

    #[test]
    fn expert_set_refuses_unknown_and_unserved_names() {
        for name in ["naive", "linear", "linear*"] {
            let error = ExpertSet::from_names([name]).unwrap_err();
            assert!(error.to_string().contains(name));
        }
    }
}
