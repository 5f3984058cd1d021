//! `tidecast models`: versions of weights in the store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::ConfigArgs;
use crate::cli::exit::BadData;
use crate::cli::output::line;
use crate::config::{Config, Pipeline};
use crate::engine::{self, Model, ModelVersion, Origin};
use crate::nn::{Shape, safetensors};
use crate::store::{ModelStore, Put, Store};

/// A network of 3 layers of 512 units has some 20 MB.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Versions of a pipeline's weights in the store: immutable files that PyTorch and others read (safetensors).
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Versions that are there, oldest first
    List(Common),
    /// One version: where it comes from, its shape, its tensors
    Show {
        #[command(flatten)]
        common: Common,
        /// Default: the newest
        #[arg(value_name = "VERSION")]
        version: Option<u64>,
    },
    /// Store a file as the newest version, in a lineage of its own; workers switch to it within about 30 s
    Import {
        #[command(flatten)]
        common: Common,
        /// Safetensors under PyTorch's names; its shape must be the pipeline's
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Write one version to a file
    Export {
        #[command(flatten)]
        common: Common,
        /// Default: the newest
        #[arg(long, value_name = "VERSION")]
        version: Option<u64>,
        /// Must not be there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    config: ConfigArgs,
    /// May be left out where the configuration has one pipeline only
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  tidecast models list --config plant.toml
  tidecast models show --config plant.toml 12
  tidecast models export --config plant.toml --version 12 plant-12.safetensors
  tidecast models import --config plant.toml trained-elsewhere.safetensors

Exit codes: 0 done, 1 the store cannot be used, 2 bad command line, 65 a file or version that cannot be used, 78 bad
configuration.";

/// # Errors
/// [`BadData`], [`Errors`](crate::config::Errors), or the store's.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::List(common) => list(&Shelf::open(common)?),
        Command::Show { common, version } => show(&Shelf::open(common)?, *version),
        Command::Import { common, file } => import(&Shelf::open(common)?, file),
        Command::Export {
            common,
            version,
            file,
        } => export(&Shelf::open(common)?, *version, file),
    }
}

/// The versions of one pipeline, and the shape that it needs.
struct Shelf {
    models: ModelStore,
    needed: Shape,
    pipeline: String,
}

impl Shelf {
    fn open(common: &Common) -> anyhow::Result<Self> {
        let config = common.config.load()?.config;
        let pipeline = chosen(&config, common.pipeline.as_deref())?;
        let name = pipeline.worker.pipeline.clone();
        let store = Arc::new(Store::open(&config.store)?);
        Ok(Self {
            models: ModelStore::new(store, &config.kafka.group, &name),
            needed: engine::shape(&pipeline.worker.engine),
            pipeline: name,
        })
    }

    fn model(&self, version: Option<u64>) -> anyhow::Result<Model> {
        let found = match version {
            Some(version) => self.models.load(ModelVersion(version)),
            None => self.models.newest(),
        };
        let found = found.map_err(|error| match error {
            crate::store::Error::Model { .. } => BadData(error.to_string()).into(),
            other => anyhow::Error::from(other),
        })?;
        found.ok_or_else(|| {
            let what = version.map_or_else(
                || "no version".to_owned(),
                |version| format!("no version {version}"),
            );
            BadData(format!(
                "the store has {what} of `{}`: `tidecast models list` shows what is there",
                self.pipeline
            ))
            .into()
        })
    }
}

pub(super) fn chosen<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Pipeline, BadData> {
    let names: Vec<&str> = config
        .pipelines
        .iter()
        .map(|pipeline| pipeline.worker.pipeline.as_str())
        .collect();
    let found = match (name, config.pipelines.as_slice()) {
        (Some(name), all) => all.iter().find(|pipeline| pipeline.worker.pipeline == name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let listed = names.join(", ");
    found.ok_or_else(|| match name {
        Some(name) => BadData(format!(
            "there is no pipeline `{name}`: `--pipeline` takes one of {listed}"
        )),
        None => BadData(format!(
            "there are several pipelines: name one by `--pipeline`, of {listed}"
        )),
    })
}

fn list(shelf: &Shelf) -> anyhow::Result<()> {
    line(&"VERSION  PARENT  LINEAGE           ORIGIN    WEIGHTS  FITS CONFIG")?;
    for version in shelf.models.list()? {
        match shelf.models.load(version) {
            Ok(None) => {} // pruned in between
            Ok(Some(model)) => {
                let parent = model
                    .parent
                    .map_or_else(|| "-".to_owned(), |parent| parent.0.to_string());
                let fits = if model.fits(&shelf.needed).is_ok() {
                    "yes"
                } else {
                    "another shape"
                };
                let (number, lineage, weights) = (version.0, model.lineage, model.params.as_slice().len());
                let origin = &model.made;
                line(&format_args!(
                    "{number:>7}  {parent:>6}  {lineage:016x}  {origin:<8}  {weights:>7}  {fits}"
                ))?;
            }
            Err(error) => line(&format_args!("{:>7}  unreadable: {error}", version.0))?,
        }
    }
    Ok(())
}

fn show(shelf: &Shelf, version: Option<u64>) -> anyhow::Result<()> {
    let model = shelf.model(version)?;
    let shape = model.params.shape();
    line(&format_args!("version   {}", model.version.0))?;
    line(&format_args!(
        "parent    {}",
        model
            .parent
            .map_or_else(|| "none".to_owned(), |parent| parent.0.to_string())
    ))?;
    line(&format_args!("lineage   {:016x}", model.lineage))?;
    line(&format_args!("origin    {}", model.made))?;
    line(&format_args!(
        "cell      {} × {} units, {} layers",
        shape.cell.as_str(),
        shape.hidden,
        shape.layers
    ))?;
    line(&format_args!(
        "inputs    {} recurrent, {} skips per horizon",
        shape.inputs, shape.skips
    ))?;
    line(&format_args!(
        "outputs   {} horizons × {} levels",
        shape.horizons,
        shape.quantiles.len()
    ))?;
    let fits = model.fits(&shelf.needed);
    line(&format_args!(
        "fits      {}",
        fits.map_or_else(|error| format!("not: {error}"), |()| "yes".to_owned())
    ))?;
    if let Some(fit) = model.fit {
        line(&format_args!("capacity  {fit}"))?;
    }
    line(&"\nTENSOR                       SHAPE            MEAN        RMS        MAX")?;
    let weights = model.params.as_slice();
    for tensor in shape.tensors() {
        let values = &weights[tensor.range.clone()];
        let count = values.len().max(1) as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let rms = (values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / count).sqrt();
        let max = values
            .iter()
            .fold(0_f64, |max, &value| max.max(f64::from(value).abs()));
        let dimensions = format!("{:?}", tensor.shape);
        line(&format_args!(
            "{:<27}  {dimensions:<12}  {mean:>9.5}  {rms:>9.5}  {max:>9.5}",
            tensor.name
        ))?;
    }
    Ok(())
}

fn import(shelf: &Shelf, file: &Path) -> anyhow::Result<()> {
    let shown = file.display();
    let bad = |why: String| BadData(format!("`{shown}` cannot be imported: {why}"));
    let size = fs::metadata(file).map_err(|error| bad(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(bad(format!(
            "it has {size} bytes, more than any network that is served"
        ))
        .into());
    }
    let bytes = fs::read(file).map_err(|error| bad(error.to_string()))?;
    let (params, _) =
        safetensors::decode(&bytes).map_err(|error| bad(format!("{:#}", anyhow::Error::from(error))))?;
    let newest = shelf.models.newest_version()?.map_or(0, |version| version.0);
    let origin = Origin {
        version: ModelVersion(newest + 1),
        parent: None,
        lineage: lineage(&bytes, newest + 1),
        made: "import".to_owned(),
    };
    let model = Model::from_params(origin, params);
    model
        .fits(&shelf.needed)
        .map_err(|error| bad(error.to_string()))?;
    match shelf.models.put(&model)? {
        Put::Stored => line(&format_args!(
            "stored as version {} of `{}`; workers switch to it within about 30 s",
            model.version.0, shelf.pipeline
        ))?,
        Put::Exists => anyhow::bail!(
            "version {} was stored by another process meanwhile: import again",
            model.version.0
        ),
    }
    Ok(())
}

/// FNV-1a over the file and the version: hidden states of other versions are not carried over to foreign weights.
fn lineage(bytes: &[u8], version: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ version.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes.iter().fold(start, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn export(shelf: &Shelf, version: Option<u64>, file: &Path) -> anyhow::Result<()> {
    let model = shelf.model(version)?;
    let shown = file.display();
    let mut target = fs::File::create_new(file).map_err(|error| {
        BadData(format!(
            "`{shown}` cannot be written, {error}: name a new file in a folder that is there"
        ))
    })?;
    std::io::Write::write_all(&mut target, &model.to_bytes())
        .with_context(|| format!("writing `{shown}`"))?;
    line(&format_args!(
        "version {} of `{}` written to {shown}",
        model.version.0, shelf.pipeline
    ))?;
    Ok(())
}
