//! A version of a pipeline's weights: immutable, shared by `Arc`.

use std::collections::BTreeMap;
use std::fmt;

use crate::engine::{Config, Error, Fit, ModelVersion, Priors, shape};
use crate::nn::{Network, Params, Shape, safetensors};

/// Where a version comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its number.
    pub version: ModelVersion,
    /// The version it was made from; `None` for a first or an imported one.
    pub parent: Option<ModelVersion>,
    /// Versions of one lineage descend from each other by online updates: their hidden states are exchangeable.
    pub lineage: u64,
    /// How it was made, for people: `first`, `online`, `rollback`, `import`.
    pub made: String,
}

/// A version of a pipeline's weights.
pub struct Model {
    /// Its number.
    pub version: ModelVersion,
    /// The version it was made from.
    pub parent: Option<ModelVersion>,
    /// Versions of one lineage descend from each other by online updates: states are carried on from one to another.
    pub lineage: u64,
    /// How it was made, for people: `first`, `online`, `rollback`, `import`.
    pub made: String,
    /// The weights, as they are trained and stored.
    pub params: Params,
    /// The same weights in their serving form.
    pub network: Network,
    /// How the weights fit; `None` where too little was compared, or they were trained elsewhere.
    pub fit: Option<Fit>,
    /// Where a new stream begins; `None`: as in a pipeline without a past.
    pub priors: Option<Priors>,
    /// Untrained: its forecast is the experts' mix, so that a weight on it is a weight on them.
    pub(crate) silent: bool,
}

impl Model {
    /// Whether it brings an ancestor's weights back because newer ones did harm.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        self.made == "rollback"
    }

    /// Whether its network is silent: never trained, output layers 0.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.made == "first"
    }

    /// Version 1 of a pipeline: seeded weights whose output layers are 0, so that it *is* the experts' mix.
    #[must_use]
    pub fn first(config: &Config, seed: u64) -> Self {
        let origin = Origin {
            version: ModelVersion(1),
            parent: None,
            lineage: seed,
            made: "first".into(),
        };
        Self::from_params(origin, Params::init(&shape(config), seed))
    }

    /// The serving form of `params` is made here, once.
    #[must_use]
    pub fn from_params(origin: Origin, params: Params) -> Self {
        let network = Network::new(&params);
        let silent = params.is_silent();
        let Origin {
            version,
            parent,
            lineage,
            made,
        } = origin;
        Self {
            version,
            parent,
            lineage,
            made,
            params,
            network,
            fit: None,
            priors: None,
            silent,
        }
    }

    /// With these priors.
    #[must_use]
    pub fn with_priors(self, priors: Option<Priors>) -> Self {
        Self { priors, ..self }
    }

    /// With this fit.
    #[must_use]
    pub fn with_fit(self, fit: Option<Fit>) -> Self {
        Self { fit, ..self }
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin {
            version: self.version,
            parent: self.parent,
            lineage: self.lineage,
            made: self.made.clone(),
        }
    }

    /// Whether it can serve a pipeline that needs `needed`.
    ///
    /// # Errors
    /// [`Error::Shape`], naming both shapes.
    pub fn fits(&self, needed: &Shape) -> Result<(), Error> {
        let found = self.params.shape();
        if found == needed {
            return Ok(());
        }
        Err(Error::Shape {
            found: describe(found),
            needed: describe(needed),
        })
    }

    /// Safetensors with the origin in the metadata; the same model gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut metadata = BTreeMap::new();
        metadata.insert(VERSION.to_owned(), self.version.0.to_string());
        if let Some(parent) = self.parent {
            metadata.insert(PARENT.to_owned(), parent.0.to_string());
        }
        metadata.insert(LINEAGE.to_owned(), format!("{:016x}", self.lineage));
        metadata.insert(MADE.to_owned(), self.made.clone());
        if let Some(fit) = self.fit {
            metadata.insert(FIT.to_owned(), fit.to_text());
        }
        if let Some(priors) = &self.priors {
            metadata.insert(PRIORS.to_owned(), priors.to_text());
        }
        safetensors::encode(&self.params, &metadata)
    }

    /// What [`Model::to_bytes`] wrote.
    ///
    /// # Errors
    /// Where `bytes` is no safetensors file of a network, its metadata does not name its origin, or a weight is not
    /// finite.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (params, metadata) = safetensors::decode(bytes)?;
        if !params.is_finite() {
            return Err(Error::NotFinite);
        }
        let text = |key: &'static str| metadata.get(key).ok_or(Error::Metadata { key, found: None });
        let number = |key: &'static str, radix: u32| {
            let found = text(key)?;
            u64::from_str_radix(found, radix).map_err(|_| Error::Metadata {
                key,
                found: Some(found.clone()),
            })
        };
        let origin = Origin {
            version: ModelVersion(number(VERSION, 10)?),
            parent: if metadata.contains_key(PARENT) {
                Some(ModelVersion(number(PARENT, 10)?))
            } else {
                None
            },
            lineage: number(LINEAGE, 16)?,
            made: text(MADE)?.clone(),
        };
        let priors = metadata.get(PRIORS).map(|text| {
            Priors::from_text(text).ok_or_else(|| Error::Metadata {
                key: PRIORS,
                found: Some(text.chars().take(SHOWN_MAX).collect()),
            })
        });
        let fit = metadata.get(FIT).and_then(|text| Fit::from_text(text));
        Ok(Self::from_params(origin, params)
            .with_priors(priors.transpose()?)
            .with_fit(fit))
    }
}

const VERSION: &str = "tidecast.version";
const PARENT: &str = "tidecast.parent";
const LINEAGE: &str = "tidecast.lineage";
const MADE: &str = "tidecast.made";
/// For people: text that is not understood is left out.
const FIT: &str = "tidecast.fit";
const PRIORS: &str = "tidecast.priors";
/// Characters of a bad entry that a message shows.
const SHOWN_MAX: usize = 32;

/// A shape in words.
fn describe(shape: &Shape) -> String {
    format!(
        "{:?} hidden {} layers {} inputs {} horizons {} skips {} head {} quantiles {:?}",
        shape.cell,
        shape.hidden,
        shape.layers,
        shape.inputs,
        shape.horizons,
        shape.skips,
        shape.head_hidden,
        shape.quantiles
    )
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("version", &self.version)
            .field("parent", &self.parent)
            .field("lineage", &self.lineage)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}
